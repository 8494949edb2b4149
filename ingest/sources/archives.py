"""WAT and WARC archives as inputs: image links of pages to fetch, and images that they hold.

A candidate's row is the offset of its record, so that it can be looked up with one range request.
"""

from collections.abc import Callable, Iterable, Iterator

from ingest import storage
from ingest.sources.archive_records import ArchiveProblem
from ingest.sources.candidates import in_batches, stored_candidate, stretch, url_candidate
from ingest.sources.common_crawl import ArchivedImage, ArchiveLink, read_warc, read_wat
from ingest.sources.piece import PIECE_BYTES, Piece, stretches
from schemas.candidate import Candidate, Carrier
from schemas.options import PlanOptions
from schemas.outcome import Outcome

WAT, WARC = "wat", "warc"
_Found = ArchiveLink | ArchivedImage | ArchiveProblem


def split_archive(kind: str) -> Callable[[str, PlanOptions], Iterator[Piece]]:
    """How archives of a kind are split: by bytes, for any split gives the same records."""

    def split(uri: str, options: PlanOptions) -> Iterator[Piece]:
        for begin, end in stretches(storage.size(uri), PIECE_BYTES):
            yield Piece(uri, kind, begin, end)

    return split


def read_archive(piece: Piece, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The images and links of the records that begin in a piece; broken records too."""
    found: Iterable[_Found]
    if piece.kind == WAT:
        found = read_wat(piece.uri, piece.begin, piece.end)
    else:
        wanted = options.archive_records
        found = read_warc(piece.uri, piece.begin, piece.end, wanted != "images", wanted != "links")
    return in_batches(_candidate(piece.uri, one) for one in found)


def _candidate(source: str, found: _Found) -> Candidate:
    if isinstance(found, ArchiveLink):
        return url_candidate(source, found.record_offset, found.url, found.columns)
    place: tuple[Carrier, str, str | None]
    if isinstance(found, ArchivedImage):
        place = (Carrier.WARC, source, stretch(found.record_offset, found.record_length))
        return stored_candidate(source, found.record_offset, found.url, found.columns, place)
    place = (Carrier.WARC, source, stretch(found.record_offset, 0))
    problem = (Outcome.MALFORMED_ROW, found.detail)
    return stored_candidate(source, found.record_offset, source, {}, place, problem)
