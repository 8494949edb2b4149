"""A folder of images: every file below it is a candidate, whatever its name."""

from collections.abc import Iterator
from pathlib import Path

import orjson

from ingest import storage
from ingest.sampling import sample_id
from ingest.sources.row import BATCH_ROWS
from schemas.candidate import Candidate, Carrier
from schemas.outcome import Outcome


def read_folder(uri: str) -> Iterator[list[Candidate]]:
    """The files below a folder in the order of their paths; hidden ones are left out."""
    paths = [
        path
        for path in storage.list_files(uri)
        if not any(part.startswith(".") for part in path.split("/"))
        and not _is_device(storage.join(uri, path))
    ]
    for begin in range(0, len(paths), BATCH_ROWS):
        batch = enumerate(paths[begin : begin + BATCH_ROWS], start=begin)
        yield [_candidate(uri, row, path) for row, path in batch]


def _is_device(uri: str) -> bool:
    """Whether this is a local pipe, socket or device, which may never end: no regular file.

    Broken links and links to folders are none: they end as `unreadable`, for all to see.
    """
    name = uri.removeprefix("file://")
    if "://" in name:
        return False
    path = Path(name)
    return not path.is_file() and path.exists() and not path.is_dir()


def _candidate(uri: str, row: int, path: str) -> Candidate:
    name = path.encode("utf-8", "replace").decode()
    problem = None if name == path else Outcome.MALFORMED_ROW
    url = storage.join(uri, name)
    return Candidate.model_construct(
        id=sample_id(uri, row, url),
        source=uri,
        row=row,
        url=url,
        carrier=Carrier.FILE,
        columns=orjson.dumps({"path": name}).decode(),
        problem=problem,
        problem_detail=f"expected a file name in UTF-8, got {path!r}" if problem else None,
    )
