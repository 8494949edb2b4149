"""Are all files there that the records name, and no others? What listings tell, none is opened."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ingest import storage
from ingest.audit.finding import Finding, differing
from ingest.audit.history import history_files
from ingest.pack.seal import STAGED, is_repacking, read_retries
from ingest.pack.sweep import is_leftover
from schemas.forecast import FORECAST_FILE
from schemas.manifest import (
    BUILD_FILE,
    DATASET_FILE,
    MANIFEST_FILE,
    PLAN_FILE,
    REPACKS,
    Commit,
    DatasetRecord,
    RetryRecord,
    commit_path,
    former_manifest_path,
    former_seal_path,
    plan_part_path,
    removed_path,
    repack_path,
    repacked_manifest_path,
    repacked_seal_path,
    retry_path,
)
from schemas.removal import CROISSANT_FILE, RECEIPTS, REMOVALS, REPORT
from schemas.tombstone import CERTIFICATES, TOMBSTONES

_SHARD_FOLDERS = ("plan", "commits", "shards", "ledger")
_KNOWN = (
    *(DATASET_FILE, MANIFEST_FILE, PLAN_FILE, BUILD_FILE, FORECAST_FILE, *_SHARD_FOLDERS),
    *("canaries", "generations", TOMBSTONES, CERTIFICATES, REMOVALS, REPACKS, RECEIPTS, REPORT),
    CROISSANT_FILE,
)
_NAMES_TOLD = 20
# What a repack has written anew but not named yet, or named no more but not deleted yet.
_REPACKED = re.compile(r"plan/\d{5,}(-[0-9a-f]{12})?\.parquet|" + REPACKS + "/" + STAGED.pattern)
_SHARD_NUMBER = re.compile(r"[^/]+/(\d{5,})[-.]")


@dataclass
class Listing:
    """What listings say; `missing`: paths that the manifest names and that are not there."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)


def check_listing(dataset: str, record: DatasetRecord, rows: Sequence[Commit]) -> Listing:
    """Files that are missing, have a wrong size, or are in no record.

    One listing a folder: asking for each of some 100,000 files by itself would take hours. Of what
    is under way, a retry or a repack, the files that no record names yet are a note.
    """
    listing = Listing()
    under_way = _UnderWay.of(dataset, record)
    num_waiting = 0
    for folder, expected in _named(rows):
        found = _list(dataset, folder)
        listing.findings += _compare(expected, found)
        listing.missing |= expected.keys() - found.keys()
        if folder == "commits":
            under_way.count_commits(found)
        extra = sorted(found.keys() - expected.keys())
        foreign = [path for path in extra if not under_way.names(path)]
        num_waiting += len(extra) - len(foreign)
        listing.findings += _foreign(foreign)
    for folder, named in _records(record):
        extra = sorted(_list(dataset, folder).keys() - named)
        listing.findings += _foreign(path for path in extra if not under_way.names(path))
    listing.findings += under_way.findings()
    listing.notes += under_way.notes(num_waiting)
    listing.notes += _strangers(dataset)
    return listing


def _list(dataset: str, folder: str) -> dict[str, int]:
    listed = storage.list_sizes(storage.join(dataset, folder))
    # An object named like the folder itself is how some consoles show a folder.
    return {f"{folder}/{name}": size for name, size in listed.items() if name}


def _named(rows: Sequence[Commit]) -> Iterator[tuple[str, Mapping[str, int | None]]]:
    """Each folder, the files in it that the manifest names, and sizes that it knows."""
    yield "plan", {row.plan_file: None for row in rows}
    yield "commits", {commit_path(row.shard): None for row in rows}
    yield "shards", {row.shard_file: row.shard_bytes for row in rows}
    yield "ledger", {row.ledger_file: row.ledger_bytes for row in rows}


def _records(record: DatasetRecord) -> Iterator[tuple[str, set[str]]]:
    """Other folders and what the seal names in them; that nothing is missing is checked elsewhere.

    Tombstones are named by certificates and removals, which are checked with them.
    """
    yield "canaries", set(record.certificate.canary_files if record.certificate else ())
    history = history_files(record)
    for folder in ("generations", REPACKS, RECEIPTS):
        yield folder, history


def _compare(expected: Mapping[str, int | None], found: Mapping[str, int]) -> list[Finding]:
    findings: list[Finding] = []
    for path, size in expected.items():
        if path not in found:
            findings.append(Finding(path, "expected a file, got none"))
        elif size is not None:
            findings += differing(path, num_bytes=(size, found[path]))
    return findings


def _foreign(paths: Iterable[str]) -> list[Finding]:
    return [Finding(path, "expected in no record, got a file") for path in paths]


def _strangers(dataset: str) -> list[str]:
    """A note of what lies beside the files and folders that a dataset has."""
    names = [name for name in storage.list_names(dataset) if name not in _KNOWN]
    if not names:
        return []
    more = f" and {len(names) - _NAMES_TOLD} more" if len(names) > _NAMES_TOLD else ""
    return [f"no part of the dataset: {', '.join(names[:_NAMES_TOLD])}{more}"]


@dataclass
class _UnderWay:
    """Work on a finished dataset that is not finished itself: its files are in no record yet.

    repack: its number; 0 if there is none. is_complete: whether the retry could be sealed.
    """

    retry: RetryRecord | None
    repack: int
    is_complete: bool = False

    @classmethod
    def of(cls, dataset: str, record: DatasetRecord) -> "_UnderWay":
        """What is under way; a record that cannot be read is foreign."""
        try:
            later = read_retries(dataset)[len(record.retries) :]
            repack = len(record.repacks) + 1 if is_repacking(dataset, record) else 0
        except ValueError:
            return cls(None, 0)
        return cls(later[0] if later else None, repack)

    def count_commits(self, paths: Iterable[str]) -> None:
        """See whether the retry could be sealed, by the commits that are there."""
        if self.retry is not None:
            first, count = self.retry.first_shard, self.retry.num_shards
            wanted = {commit_path(shard) for shard in range(first, first + count)}
            self.is_complete = wanted <= set(paths)

    def names(self, path: str) -> bool:
        """Whether a file belongs to what is under way."""
        if self.repack and (is_leftover(path) or _REPACKED.fullmatch(path)):
            return True
        if self.repack and path in _repack_files(self.repack):
            return True
        if self.retry is None:
            return False
        number = self.retry.generation
        if path in (
            retry_path(number),
            former_seal_path(number - 1),
            former_manifest_path(number - 1),
        ):
            return True
        found = _SHARD_NUMBER.match(path)
        shard = int(found.group(1)) if found else -1
        ours = path in (plan_part_path(shard), commit_path(shard)) or is_leftover(path)
        return ours and 0 <= shard - self.retry.first_shard < self.retry.num_shards

    def findings(self) -> list[Finding]:
        """A retry whose shards are all there belongs into the seal: or an old one was put back."""
        if self.retry is None or not self.is_complete:
            return []
        what = "expected in the seal, got a retry that is in none although all its shards are there"
        return [Finding(retry_path(self.retry.generation), what)]

    def notes(self, num_waiting: int) -> list[str]:
        """A sentence for each work that is under way."""
        notes = []
        if self.retry is not None:
            notes.append(
                f"retry {self.retry.generation} is under way: it is not part of the seal yet, nor "
                f"are its files; run `uncurated retry` again to go on"
            )
        if self.repack:
            notes.append("a repack is under way: run `uncurated repack` again to go on")
        if notes and num_waiting:
            notes.append(f"{num_waiting:,} files of what is under way are in no record yet")
        return notes


def _repack_files(number: int) -> tuple[str, ...]:
    return (
        repack_path(number),
        repacked_seal_path(number),
        repacked_manifest_path(number),
        removed_path(number),
    )
