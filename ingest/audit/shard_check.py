"""One shard against its commit: plan part, ledger, and the shard itself by its format."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from ingest import storage
from ingest.audit.arrow_check import check_arrow
from ingest.audit.finding import Finding, differing
from ingest.audit.sample_check import SAMPLE_FIELDS
from ingest.audit.tar_check import check_tar
from schemas.arrow import read_parquet_bytes
from schemas.candidate import Candidate, Reference
from schemas.certificate import set_of
from schemas.ledger import LedgerRow
from schemas.manifest import Commit, digest
from schemas.outcome import Outcome

_CHECKS = {"tar": check_tar, "arrow": check_arrow}


def check_shard(dataset: str, commit: Commit) -> list[Finding]:
    """All that is wrong with the files of one shard."""
    findings: list[Finding] = []
    plan = _read_table(dataset, commit.plan_file, commit.plan_sha256, Candidate, findings)
    ledger = _read_table(dataset, commit.ledger_file, commit.ledger_sha256, LedgerRow, findings)
    if ledger is not None:
        findings += _check_ledger(commit, ledger)
        if plan is not None:
            findings += _check_conservation(commit, plan, ledger)
    return findings + _check_file(dataset, commit, None if ledger is None else _kept_rows(ledger))


def _check_file(dataset: str, commit: Commit, kept: list[dict[str, Any]] | None) -> list[Finding]:
    extension = commit.shard_file.rpartition(".")[2]
    if extension not in _CHECKS:
        known = " or ".join(_CHECKS)
        return [Finding(commit.shard_file, f"expected a file in {known}, got {extension!r}")]
    try:
        with storage.open_input(storage.join(dataset, commit.shard_file)) as file:
            return _CHECKS[extension](commit, file, kept)
    except FileNotFoundError:
        return [Finding(commit.shard_file, "expected a file, got none")]


def _read_table(
    dataset: str, path: str, expected_sha256: str, record: Any, findings: list[Finding]
) -> pa.Table | None:
    try:
        content = storage.read_bytes(storage.join(dataset, path))
    except FileNotFoundError:
        findings.append(Finding(path, "expected a file, got none"))
        return None
    findings += differing(path, sha256=(expected_sha256, digest(content)))
    try:
        table = read_parquet_bytes(content)
    except (pa.ArrowException, OSError) as error:
        findings.append(Finding(path, f"expected a parquet file, got {error}"))
        return None
    if not table.schema.equals(record.arrow_schema()):
        expected = ", ".join(record.arrow_schema().names)
        findings.append(Finding(path, f"expected columns {expected}, got {table.schema}"))
        return None
    return table


def _check_ledger(commit: Commit, ledger: pa.Table) -> list[Finding]:
    words = ledger["outcome"].to_pylist()
    known = {outcome.value for outcome in Outcome}
    findings = [
        Finding(commit.ledger_file, f"row {row}: expected an outcome, got {word!r}")
        for row, word in enumerate(words)
        if word not in known
    ]
    placed = [offset is not None for offset in ledger["offset_bytes"].to_pylist()]
    findings += [
        Finding(commit.ledger_file, f"row {row}: outcome {word!r}, but offset is set: {has_offset}")
        for row, (word, has_offset) in enumerate(zip(words, placed, strict=True))
        if (word == Outcome.KEPT.value) != has_offset
    ]
    numbers = set(ledger["shard"].to_pylist()) - {commit.shard}
    findings += differing(
        commit.ledger_file,
        num_rows=(commit.num_candidates, ledger.num_rows),
        outcomes=(commit.outcomes, dict(_ordered(Counter(words)))),
        exact_copies=(commit.exact_copies, _copies(ledger, Outcome.DUPLICATE_EXACT)),
        near_copies=(commit.near_copies, _copies(ledger, Outcome.DUPLICATE_NEAR)),
        other_shards=(set(), numbers),
    )
    return findings


def _copies(ledger: pa.Table, outcome: Outcome) -> dict[str, int]:
    """Removed copies by evaluation set."""
    rows = zip(ledger["outcome"].to_pylist(), ledger["nearest_eval"].to_pylist(), strict=True)
    return dict(Counter(set_of(name or "") for word, name in rows if word == outcome.value))


def _ordered(counted: Counter[str]) -> Iterator[tuple[str, int]]:
    """Counts in the order of the vocabulary, foreign words last."""
    order = [outcome.value for outcome in Outcome]
    for word in sorted(
        counted, key=lambda word: order.index(word) if word in order else len(order)
    ):
        yield word, counted[word]


def _check_conservation(commit: Commit, plan: pa.Table, ledger: pa.Table) -> list[Finding]:
    """Each planned candidate has exactly one ledger row, at the same place."""
    planned, recorded = plan["id"].to_pylist(), ledger["id"].to_pylist()
    findings = [
        Finding(commit.ledger_file, f"candidate {sample_id}: planned {count} times, recorded {got}")
        for sample_id, count, got in _unequal(Counter(planned), Counter(recorded))
    ]
    if findings:
        return findings
    return [
        Finding(commit.ledger_file, f"column {name} differs from the plan part")
        for name in Reference.model_fields
        if not plan[name].equals(ledger[name])
    ]


def _unequal(planned: Counter[str], recorded: Counter[str]) -> Iterator[tuple[str, int, int]]:
    for sample_id in sorted(planned.keys() | recorded.keys()):
        if planned[sample_id] != recorded[sample_id]:
            yield sample_id, planned[sample_id], recorded[sample_id]


def _kept_rows(ledger: pa.Table) -> list[dict[str, Any]]:
    names = [*SAMPLE_FIELDS, "columns", "offset_bytes", "length_bytes", "outcome"]
    rows = ledger.select(names).to_pylist()
    kept = [row for row in rows if row["outcome"] == Outcome.KEPT.value]
    return sorted(kept, key=lambda row: row["offset_bytes"] or 0)
