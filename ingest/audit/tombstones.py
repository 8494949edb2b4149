"""Removals after the fact: are their files what the records of them say?"""

from collections.abc import Collection, Iterator

import pyarrow as pa
from pydantic import ValidationError

from ingest import storage
from ingest.audit.finding import Finding, differing
from ingest.audit.history import former_roots
from schemas.arrow import read_parquet_bytes
from schemas.manifest import DatasetRecord, decode, digest, encode
from schemas.removal import REMOVALS, Removal
from schemas.tombstone import CERTIFICATES, TOMBSTONES, Decontamination, Tombstone

_KINDS: dict[str, type[Decontamination] | type[Removal]] = {
    CERTIFICATES: Decontamination,
    REMOVALS: Removal,
}


def check_tombstones(dataset: str, record: DatasetRecord) -> tuple[list[Finding], int]:
    """What is wrong with the tombstones of a dataset, and how many there are.

    Files that a repack has obeyed are gone; all others are named by a record, and by one only.
    """
    findings: list[Finding] = []
    obeyed = {one for repack in record.repacks for one in repack.tombstone_files.items()}
    roots = former_roots(record)
    num_removed, named = 0, set[str]()
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
            counts = [
                _count(dataset, file, sha256, findings)
                for file, sha256 in later.tombstone_files.items()
            ]
            findings += differing(path, num_removed=(later.num_removed, sum(counts)))
            num_removed += sum(counts)
    return findings + _check_listing(dataset, named), num_removed


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
            yield path, record


def _check_listing(dataset: str, named: Collection[str]) -> list[Finding]:
    names = storage.list_names(storage.join(dataset, TOMBSTONES))
    found = [f"{TOMBSTONES}/{name}" for name in names]
    what = "expected in a record whose removals are not done yet, got in none"
    return [Finding(path, what) for path in found if path not in named]


def _count(dataset: str, path: str, sha256: str, findings: list[Finding]) -> int:
    try:
        content = storage.read_bytes(storage.join(dataset, path))
        findings += differing(path, sha256=(sha256, digest(content)))
        return len(Tombstone.from_table(read_parquet_bytes(content)))
    except FileNotFoundError:
        findings.append(Finding(path, "expected a file, got none"))
    except (pa.ArrowException, OSError, ValidationError) as error:
        findings.append(Finding(path, f"expected a table of tombstones, got {error}"))
    return 0
