"""Removals after the fact: are their files what the records of them say?"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from ingest import storage
from ingest.audit.finding import Finding, differing
from ingest.audit.history import former_roots
from ingest.errors import SetupError
from ingest.pack.ledger_parts import read_parts
from ingest.removal.remove import list_removals
from schemas.arrow import read_parquet_bytes
from schemas.manifest import Commit, DatasetRecord, decode, digest, encode
from schemas.outcome import Outcome
from schemas.removal import REMOVALS, Removal, removal_path
from schemas.tombstone import CERTIFICATES, TOMBSTONES, Decontamination, Tombstone

_KINDS: dict[str, type[Decontamination] | type[Removal]] = {
    CERTIFICATES: Decontamination,
    REMOVALS: Removal,
}


def check_tombstones(
    dataset: str, record: DatasetRecord, rows: Sequence[Commit] = ()
) -> tuple[list[Finding], int]:
    """What is wrong with the tombstones of a dataset, and how many samples have one.

    Files that a repack has obeyed are gone; all others are named by a record, and by one only.
    rows: of the manifest, if the ledgers may be read: their shards must hold what is removed.
    """
    findings = _check_numbers(dataset, record)
    obeyed = {one for repack in record.repacks for one in repack.tombstone_files.items()}
    roots = former_roots(record)
    named = set[str]()
    file_of: dict[tuple[int, str], str] = {}
    for path, later in _records(dataset, findings):
        if later.merkle_root not in roots:
            expected = " or ".join(sorted(roots))
            findings.append(
                Finding(path, f"merkle_root: expected {expected}, got {later.merkle_root}")
            )
        files = {path for path, _ in later.tombstone_files.items() - obeyed}
        twice = sorted(named & files)
        findings += [Finding(path, f"{one}: expected in one record, got in two") for one in twice]
        named |= files
        if len(files) == len(later.tombstone_files):
            own = {
                (one.shard, one.id): file
                for file, sha256 in later.tombstone_files.items()
                for one in _read(dataset, file, sha256, findings)
            }
            findings += differing(path, num_removed=(later.num_removed, len(own)))
            file_of |= own
    if rows:
        findings += _check_kept(dataset, rows, file_of)
    return findings + _check_listing(dataset, named), len(file_of)


def _check_numbers(dataset: str, record: DatasetRecord) -> list[Finding]:
    """Requests are numbered without a gap: one of which record and tombstones are gone shows.

    Those that a repack has obeyed are known by its record, and are checked with it.
    """
    found = set(list_removals(dataset))
    missing = set(range(1, max(found, default=0))) - found
    obeyed = {path for repack in record.repacks for path in repack.records}
    paths = [removal_path(one) for one in sorted(missing)]
    return [Finding(path, "expected a file, got none") for path in paths if path not in obeyed]


def _check_kept(
    dataset: str, rows: Sequence[Commit], file_of: Mapping[tuple[int, str], str]
) -> list[Finding]:
    """A tombstone of a sample that its shard does not hold takes nothing out."""
    ledgers = {row.shard: row.ledger_file for row in rows}
    shards = sorted({shard for shard, _ in file_of} & ledgers.keys())
    kept: set[tuple[int, str]] = set()
    try:
        parts = read_parts(dataset, [ledgers[one] for one in shards], ["id", "outcome"])
        for shard, (_, part) in zip(shards, parts, strict=True):
            own = part.filter(pc.equal(part["outcome"], Outcome.KEPT.value))
            kept |= {(shard, one) for one in own["id"].to_pylist()}
    except (SetupError, LookupError, pa.ArrowException, ValueError):
        return []  # The audit of the shards tells.
    return [
        Finding(
            file_of[one], f"sample {one[1]}: expected among the kept of shard {one[0]}, got none"
        )
        for one in file_of
        if one not in kept
    ]


def _records(
    dataset: str, findings: list[Finding]
) -> Iterator[tuple[str, Decontamination | Removal]]:
    """Path and content of each record of removed samples."""
    for folder, model in _KINDS.items():
        for name in storage.list_files(storage.join(dataset, folder)):
            path = f"{folder}/{name}"
            content = storage.read_bytes(storage.join(dataset, path))
            try:
                record = decode(model, content)
            except (ValidationError, UnicodeDecodeError) as error:
                findings.append(Finding(path, f"expected a valid {model.__name__}, got {error}"))
                continue
            findings += differing(path, canonical_sha256=(digest(encode(record)), digest(content)))
            if isinstance(record, Removal):
                findings += differing(path, name=(removal_path(record.removal), path))
            yield path, record


def _check_listing(dataset: str, named: Collection[str]) -> list[Finding]:
    names = storage.list_names(storage.join(dataset, TOMBSTONES))
    found = [f"{TOMBSTONES}/{name}" for name in names]
    what = "expected in a record whose removals are not done yet, got in none"
    return [Finding(path, what) for path in found if path not in named]


def _read(dataset: str, path: str, sha256: str, findings: list[Finding]) -> list[Tombstone]:
    try:
        content = storage.read_bytes(storage.join(dataset, path))
        findings += differing(path, sha256=(sha256, digest(content)))
        return Tombstone.from_table(read_parquet_bytes(content))
    except FileNotFoundError:
        findings.append(Finding(path, "expected a file, got none"))
    except (pa.ArrowException, OSError, ValidationError) as error:
        findings.append(Finding(path, f"expected a table of tombstones, got {error}"))
    return []
