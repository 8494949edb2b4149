"""Are all files there that the manifest names? What listings tell, without opening any file."""

from collections.abc import Iterator, Mapping, Sequence

from ingest import storage
from ingest.audit.finding import Finding, differing
from schemas.manifest import Commit, commit_path

# Paths in the dataset, with sizes where commits have them.
_Sizes = Mapping[str, int | None]


def check_files(dataset: str, rows: Sequence[Commit]) -> tuple[list[Finding], int]:
    """Files that are missing or have a wrong size; and how many shards and ledgers no row names.

    One listing a folder: asking for each of some 100,000 files by itself would take hours.
    """
    findings: list[Finding] = []
    num_uncommitted = 0
    for folder, expected in _named(rows):
        listed = storage.list_sizes(storage.join(dataset, folder))
        found = {f"{folder}/{name}": size for name, size in listed.items()}
        findings += _compare(expected, found)
        if folder in ("shards", "ledger"):
            num_uncommitted += len(found.keys() - expected.keys())
    return findings, num_uncommitted


def _named(rows: Sequence[Commit]) -> Iterator[tuple[str, _Sizes]]:
    """Each folder and the files in it that the manifest names; one folder at a time."""
    yield "plan", {row.plan_file: None for row in rows}
    yield "commits", {commit_path(row.shard): None for row in rows}
    yield "shards", {row.shard_file: row.shard_bytes for row in rows}
    yield "ledger", {row.ledger_file: row.ledger_bytes for row in rows}


def _compare(expected: _Sizes, found: Mapping[str, int]) -> list[Finding]:
    findings: list[Finding] = []
    for path, size in expected.items():
        if path not in found:
            findings.append(Finding(path, "expected a file, got none"))
        elif size is not None:
            findings += differing(path, num_bytes=(size, found[path]))
    return findings
