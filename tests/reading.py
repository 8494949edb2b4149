"""Shared by tests of sources: all candidates of an input, piece by piece as `plan` reads it."""

from ingest.sources import count_rows, read_candidates, split_input
from ingest.sources.piece import UNCOUNTED
from schemas.candidate import Candidate
from schemas.options import PlanOptions


def read_input(uri, **options):
    """All candidates of one input, each validated; what is counted is what is read."""
    plan_options = PlanOptions(input=(str(uri),), **options)
    found, row = [], 0
    for piece in split_input(str(uri), plan_options):
        if piece.first_row == UNCOUNTED:
            piece = piece._replace(first_row=row)
        read = [one for batch in read_candidates(piece, plan_options) for one in batch]
        assert count_rows(piece, plan_options) == len(read)
        found += read
        row += len(read)
    return [Candidate.model_validate(one.model_dump()) for one in found]
