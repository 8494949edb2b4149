"""A folder of images: every file below it is a candidate, whatever its name."""

from collections.abc import Iterator

import orjson

from ingest import storage
from ingest.sampling import sample_id
from schemas.candidate import Candidate, Carrier

_BATCH_ROWS = 8192


def read_folder(uri: str) -> Iterator[list[Candidate]]:
    """The files below a folder in the order of their paths; hidden ones are left out."""
    paths = [
        path
        for path in storage.list_files(uri)
        if not any(part.startswith(".") for part in path.split("/"))
    ]
    for begin in range(0, len(paths), _BATCH_ROWS):
        batch = enumerate(paths[begin : begin + _BATCH_ROWS], start=begin)
        yield [_candidate(uri, row, path) for row, path in batch]


def _candidate(uri: str, row: int, path: str) -> Candidate:
    url = storage.join(uri, path)
    return Candidate.model_construct(
        id=sample_id(uri, row, url),
        source=uri,
        row=row,
        url=url,
        carrier=Carrier.FILE,
        columns=orjson.dumps({"path": path}).decode(),
        problem=None,
        problem_detail=None,
    )
