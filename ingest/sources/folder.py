"""A folder of images: every file below it is a candidate, whatever its name."""

from collections.abc import Iterator
from pathlib import Path

from ingest import storage
from ingest.sources.candidates import in_batches, stored_candidate
from ingest.sources.piece import Piece
from schemas.candidate import Candidate, Carrier
from schemas.options import PlanOptions
from schemas.outcome import Outcome

KIND = "folder"


def split_folder(uri: str, options: PlanOptions) -> list[Piece]:
    """The folder as one piece: its listing gives all that is read of it."""
    return [Piece(uri, KIND)]


def read_folder(piece: Piece, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The files below a folder in the order of their paths; hidden ones are left out."""
    uri = piece.uri
    paths = (
        path
        for path in storage.list_files(uri)
        if not any(part.startswith(".") for part in path.split("/"))
        and not _is_device(storage.join(uri, path))
    )
    return in_batches(_candidate(uri, row, path) for row, path in enumerate(paths))


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
    problem = None
    if name != path:
        problem = (Outcome.MALFORMED_ROW, f"expected a file name in UTF-8, got {path!r}")
    url = storage.join(uri, name)
    return stored_candidate(uri, row, url, {"path": name}, (Carrier.FILE, url, None), problem)
