"""Removals after the fact: are their files what the later certificates say?"""

from collections.abc import Collection

import pyarrow as pa
from pydantic import ValidationError

from ingest import storage
from ingest.audit.finding import Finding, differing
from schemas.arrow import read_parquet_bytes
from schemas.manifest import decode, digest, encode
from schemas.tombstone import CERTIFICATES, TOMBSTONES, Decontamination, Tombstone


def check_tombstones(dataset: str, roots: Collection[str]) -> tuple[list[Finding], int]:
    """What is wrong with the tombstones of a dataset, and how many there are.

    roots: the Merkle root of the dataset, and those that it had before its retries.
    """
    findings: list[Finding] = []
    num_removed = 0
    named: set[str] = set()
    folder = storage.join(dataset, CERTIFICATES)
    for name in storage.list_files(folder):
        path = f"{CERTIFICATES}/{name}"
        content = storage.read_bytes(storage.join(folder, name))
        try:
            record = decode(Decontamination, content)
        except (ValidationError, UnicodeDecodeError) as error:
            findings.append(Finding(path, f"expected a valid Decontamination, got {error}"))
            continue
        findings += differing(path, canonical_sha256=(digest(encode(record)), digest(content)))
        if record.merkle_root not in roots:
            expected = " or ".join(sorted(roots))
            findings.append(
                Finding(path, f"merkle_root: expected {expected}, got {record.merkle_root}")
            )
        counts = [
            _count(dataset, file, sha, findings) for file, sha in record.tombstone_files.items()
        ]
        findings += differing(path, num_removed=(record.num_removed, sum(counts)))
        num_removed += sum(counts)
        named.update(record.tombstone_files)
    for name in storage.list_files(storage.join(dataset, TOMBSTONES)):
        if f"{TOMBSTONES}/{name}" not in named:
            findings.append(
                Finding(f"{TOMBSTONES}/{name}", "expected in a certificate, got in none")
            )
    return findings, num_removed


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
