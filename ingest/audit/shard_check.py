"""One shard against its commit: plan part, ledger, and the shard itself by its format."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest import storage
from ingest.audit.arrow_check import check_arrow
from ingest.audit.file_check import hash_file
from ingest.audit.finding import Finding, differing
from ingest.audit.fingerprint_check import SAMPLE_COLUMNS
from ingest.audit.leaves import kept_rows, ledger_leaves, rows_of
from ingest.audit.sample_check import Look, no_look
from ingest.audit.tar_check import check_tar
from schemas.arrow import read_parquet_bytes
from schemas.candidate import Candidate, Reference
from schemas.certificate import set_of
from schemas.ledger import LedgerRow
from schemas.manifest import Commit, digest
from schemas.merkle import Tree
from schemas.outcome import Outcome

_CHECKS = {"tar": check_tar, "arrow": check_arrow}
_KNOWN = pa.array([outcome.value for outcome in Outcome])


def read_ledger(dataset: str, commit: Commit, findings: list[Finding]) -> pa.Table | None:
    """The ledger part of a shard; None, and a finding, if it cannot be read."""
    return _read_table(dataset, commit.ledger_file, commit.ledger_sha256, LedgerRow, findings)


def check_plan(dataset: str, commit: Commit, ledger: pa.Table | None) -> list[Finding]:
    """What is wrong with the plan part of a shard, and with what its ledger makes of it."""
    findings: list[Finding] = []
    plan = _read_table(dataset, commit.plan_file, commit.plan_sha256, Candidate, findings)
    if plan is not None and ledger is not None:
        findings += _check_conservation(commit, plan, ledger)
    return findings


def check_ledger(commit: Commit, ledger: pa.Table) -> list[Finding]:
    """What is wrong with a ledger part: outcomes, counts, columns that contradict each other."""
    findings: list[Finding] = []
    is_known = pc.is_in(ledger["outcome"], _KNOWN)
    if not pc.all(is_known).as_py():
        words = ledger["outcome"].to_pylist()
        findings += [
            Finding(commit.ledger_file, f"row {row}: expected an outcome, got {words[row]!r}")
            for row in _rows_where(pc.invert(is_known))
        ]
    is_kept = pc.fill_null(pc.equal(ledger["outcome"], Outcome.KEPT.value), False)
    findings += [
        Finding(
            commit.ledger_file,
            f"row {row}: outcome {ledger['outcome'][row].as_py()!r}, but offset is set: "
            f"{ledger['offset_bytes'][row].is_valid}",
        )
        for row in _rows_where(pc.xor(is_kept, pc.is_valid(ledger["offset_bytes"])))
    ]
    return findings + differing(
        commit.ledger_file,
        num_rows=(commit.num_candidates, ledger.num_rows),
        outcomes=(commit.outcomes, _counts(ledger["outcome"])),
        exact_copies=(commit.exact_copies, _copies(ledger, Outcome.DUPLICATE_EXACT)),
        near_copies=(commit.near_copies, _copies(ledger, Outcome.DUPLICATE_NEAR)),
        other_shards=(set(), set(ledger["shard"].unique().to_pylist()) - {commit.shard}),
        num_kept=(commit.num_kept, pc.sum(is_kept).as_py() or 0),
        image_bytes=(
            commit.image_bytes,
            pc.sum(ledger["length_bytes"].filter(is_kept)).as_py() or 0,
        ),
    )


def check_root(commit: Commit, ledger: pa.Table, findings: list[Finding]) -> Tree | None:
    """The Merkle tree that a ledger part gives, which must have the root of the commit.

    None, and a finding, if it gives none.
    """
    try:
        tree = Tree(ledger_leaves(ledger))
    except ValueError as error:
        findings.append(Finding(commit.ledger_file, str(error)))
        return None
    root = (commit.merkle_root, tree.root.hex())
    findings += differing(commit.ledger_file, merkle_root_of_its_samples=root)
    return tree


def check_bytes(dataset: str, commit: Commit, ledger: pa.Table | None) -> list[Finding]:
    """Digest and size of a shard; if they are wrong, its samples are looked at, to name them."""
    try:
        sha256, num_bytes = hash_file(storage.join(dataset, commit.shard_file))
    except FileNotFoundError:
        return [Finding(commit.shard_file, "expected a file, got none")]
    if (sha256, num_bytes) == (commit.shard_sha256, commit.shard_bytes):
        return []
    return check_samples(dataset, commit, ledger)


def check_samples(
    dataset: str, commit: Commit, ledger: pa.Table | None, look: Look = no_look
) -> list[Finding]:
    """Digest, size and structure of a shard, and each of its samples, in one pass.

    ledger: None if it cannot be read. look: gets each sample as found.
    """
    extension = commit.shard_file.rpartition(".")[2]
    if extension not in _CHECKS:
        known = " or ".join(_CHECKS)
        return [Finding(commit.shard_file, f"expected a file in {known}, got {extension!r}")]
    kept = None if ledger is None else list(rows_of(kept_rows(ledger), SAMPLE_COLUMNS))
    try:
        with storage.open_input(storage.join(dataset, commit.shard_file)) as file:
            return _CHECKS[extension](commit, file, kept, look)
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
        # Else broken UTF-8 is an error only where a value is looked at.
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        findings.append(Finding(path, f"expected a parquet file, got {error}"))
        return None
    if not table.schema.equals(record.arrow_schema()):
        expected = ", ".join(record.arrow_schema().names)
        findings.append(Finding(path, f"expected columns {expected}, got {table.schema}"))
        return None
    return table


def _rows_where(flags: pa.ChunkedArray) -> Iterator[int]:
    """The rows of which something holds; the common case is none."""
    # Arrow's own `indices_nonzero` has been seen to crash on a column without chunks.
    yield from np.flatnonzero(flags.to_numpy()).tolist()


def _counts(words: pa.ChunkedArray) -> dict[str, int]:
    counted = pc.value_counts(words)
    return dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))


def _copies(ledger: pa.Table, outcome: Outcome) -> dict[str, int]:
    """Removed copies by evaluation set."""
    own = ledger.filter(pc.equal(ledger["outcome"], outcome.value))
    return dict(Counter(set_of(name or "") for name in own["nearest_eval"].to_pylist()))


def _check_conservation(commit: Commit, plan: pa.Table, ledger: pa.Table) -> list[Finding]:
    """Each planned candidate has exactly one ledger row, at the same place."""
    if not plan["id"].equals(ledger["id"]):
        planned, recorded = plan["id"].to_pylist(), ledger["id"].to_pylist()
        unequal = list(_unequal(Counter(planned), Counter(recorded)))
        if unequal:
            return [
                Finding(
                    commit.ledger_file,
                    f"candidate {sample_id}: planned {count} times, recorded {got}",
                )
                for sample_id, count, got in unequal
            ]
    return [
        Finding(commit.ledger_file, f"column {name} differs from the plan part")
        for name in Reference.model_fields
        if not plan[name].equals(ledger[name])
    ]


def _unequal(planned: Counter[str], recorded: Counter[str]) -> Iterator[tuple[str, int, int]]:
    for sample_id in sorted(planned.keys() | recorded.keys()):
        if planned[sample_id] != recorded[sample_id]:
            yield sample_id, planned[sample_id], recorded[sample_id]
