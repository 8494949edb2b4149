"""Deletes what no commit names: left by interrupted attempts, or replaced by a repack."""

import logging
import re
from collections.abc import Iterable, Iterator, Sequence

from ingest import storage
from schemas.manifest import Commit

_log = logging.getLogger(__name__)

_CONTENT = {
    "shards": re.compile(r"shards/\d{5,}-[0-9a-f]{12}\.(tar|arrow)"),
    "ledger": re.compile(r"ledger/\d{5,}-[0-9a-f]{12}\.parquet"),
}
# As `ingest.storage.local` names a file that has no name yet.
_PARTIAL = re.compile(r"\w+/\.[\w.-]+\.\w{8}" + re.escape(storage.PARTIAL_SUFFIX))
# As `ingest.storage.gcs` names what it puts a large file together from.
_PART = re.compile(r"\w+/\.parts/[0-9a-f]+/\d{2,}")
_PLAN_PART = re.compile(r"plan/(\d{5,})\.parquet")
_RECORD_FOLDERS = ("plan", "commits", "canaries")


def is_leftover(path: str) -> bool:
    """Whether a path of a dataset is named as an attempt to write a shard or ledger part would."""
    folder = path.partition("/")[0]
    return folder in _CONTENT and bool(
        _CONTENT[folder].fullmatch(path) or _PARTIAL.fullmatch(path) or _PART.fullmatch(path)
    )


def sweep_leftovers(dataset: str, commits: Sequence[Commit]) -> int:
    """Delete shards and ledger parts that no commit names; how many there were.

    commits: all of a finished dataset, so that no attempt is under way. What is named otherwise
    than ours is left alone.
    """
    named = {path for row in commits for path in (row.shard_file, row.ledger_file)}
    paths = _files(dataset, _CONTENT)
    return _remove(dataset, [path for path in paths if path not in named and is_leftover(path)])


def sweep_records(dataset: str, commits: Sequence[Commit]) -> int:
    """Delete plan parts of shards that a dataset does not have, and partial files beside records.

    They are left when a plan, or a retry, is given up and made anew with fewer shards. To be called
    while it is sealed: later, another retry may be in planning. How many there were.
    """
    shards = {row.shard for row in commits}
    extra = []
    for path in _files(dataset, _RECORD_FOLDERS):
        part = _PLAN_PART.fullmatch(path)
        if _PARTIAL.fullmatch(path) or (part and int(part.group(1)) not in shards):
            extra.append(path)
    return _remove(dataset, extra)


def _files(dataset: str, folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        names = storage.list_files(storage.join(dataset, folder))
        yield from (f"{folder}/{name}" for name in names)


def _remove(dataset: str, paths: Sequence[str]) -> int:
    for path in paths:
        storage.remove(storage.join(dataset, path))
    if paths:
        _log.info("deleted %d files in %s that no commit names", len(paths), dataset)
    return len(paths)
