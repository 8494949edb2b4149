"""Candidates that failed -> a new generation of plan parts; what is finished is never touched.

A candidate may have a row in several generations: the last one counts. `retry` takes those whose
last row has one of the outcomes asked for, and plans them into shards behind all others.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ingest import storage
from ingest.errors import SetupError
from ingest.pack.commit import read_commit
from ingest.pack.conservation import parts_digest
from ingest.pack.ledger_parts import read_part
from ingest.pack.seal import check_no_repack, read_manifest_bytes, read_retries
from ingest.plan_part import PlanRow, read_plan_part, to_row
from ingest.sampling import draw
from schemas.ledger import LedgerRow
from schemas.manifest import (
    DATASET_FILE,
    DatasetRecord,
    RetryRecord,
    digest,
    encode,
    former_manifest_path,
    former_seal_path,
    retry_path,
)
from schemas.outcome import Outcome

# What another day may change: neither what was had nor what can never be had.
RETRYABLE = tuple(word for word in Outcome if word.stage in ("consent", "network", "http"))
# A row on its way through a shuffle: generation, old outcome, and the candidate if it is wanted.
Row = tuple[int, str, PlanRow | None]


@dataclass(frozen=True)
class Ask:
    """Which candidates to take: those with one of `outcomes` that fulfil `where`, if any."""

    outcomes: tuple[str, ...]
    where: str = ""

    @classmethod
    def parse(cls, outcomes: str, where: str) -> "Ask":
        """The ask of a comma-separated list; raises SetupError for words that cannot be retried."""
        words = tuple(sorted({word.strip() for word in outcomes.split(",") if word.strip()}))
        wrong = [word for word in words if word not in RETRYABLE]
        if wrong or not words:
            raise SetupError(
                f"--outcomes: expected words among {', '.join(RETRYABLE)}, got "
                f"{', '.join(wrong) or 'none'}"
            )
        return cls(words, where.strip())


def rows_of_shard(dataset: str, shard: int, ask: Ask, seed: int) -> Iterator[tuple[str, Row]]:
    """(id, row) of each candidate of a shard that is wanted, or that a retry has made anew."""
    commit = read_commit(dataset, shard)
    if commit is None:
        raise SetupError(f"expected a finished dataset, shard {shard} of {dataset} is not")
    ledger = read_part(dataset, commit.ledger_file, list(LedgerRow.model_fields))
    wanted = wanted_ids(ledger, ask)
    candidates = {}
    if wanted:
        planned, _ = read_plan_part(dataset, commit.plan_file)
        candidates = {one.id: one for one in planned if one.id in wanted}
    columns = (ledger[name].to_pylist() for name in ("id", "generation", "outcome"))
    for candidate_id, generation, outcome in zip(*columns, strict=True):
        if candidate_id in wanted:
            order = draw(candidate_id, seed)[1]
            yield candidate_id, (generation, outcome, to_row(order, candidates[candidate_id]))
        elif generation:
            yield candidate_id, (generation, outcome, None)


def wanted_ids(ledger: pa.Table, ask: Ask) -> set[str]:
    """The ids in a ledger part that are asked for; raises SetupError for SQL that does not fit."""
    outcomes = pa.array(ask.outcomes, pa.string())
    found = ledger.filter(pa.compute.is_in(ledger["outcome"], outcomes))
    if not ask.where:
        return set(found["id"].to_pylist())
    # Only who names a condition pays for it.
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET enable_external_access = false")
        connection.register("ledger", found)
        try:
            # Parsed as an expression, so that it is one, whatever it holds.
            rows = connection.table("ledger").filter(ask.where).project("id").fetchall()
        except duckdb.Error as error:
            columns = ", ".join(LedgerRow.model_fields)
            raise SetupError(
                f"--where: expected a SQL condition on the ledger's columns ({columns}), got "
                f"{ask.where!r}: {error}"
            ) from error
    return {row[0] for row in rows}


def last_row(rows: Iterable[Row]) -> tuple[str, PlanRow] | None:
    """Old outcome and candidate of the row that counts, if it is wanted."""
    _, outcome, candidate = max(rows, key=lambda row: row[0])
    return None if candidate is None else (outcome, candidate)


def next_generation(dataset: str, seal: DatasetRecord) -> int:
    """The number of the generation to plan; raises SetupError while another is not finished."""
    retries = read_retries(dataset)
    check_no_repack(dataset, seal)
    if len(retries) > len(seal.retries):
        last = retries[-1]
        raise SetupError(
            f"expected a finished dataset, generation {last.generation} of {dataset} is under way"
        )
    return len(retries) + 1


def seal_retry(
    dataset: str,
    seal: DatasetRecord,
    ask: Ask,
    parts: Sequence[tuple[int, int, str]],
    superseded: dict[str, int],
) -> RetryRecord:
    """Write the record of a planned generation; raises SetupError if another run was faster."""
    content = storage.read_bytes(storage.join(dataset, DATASET_FILE))
    generation = next_generation(dataset, seal)
    ordered = sorted(parts)
    record = RetryRecord(
        generation=generation,
        outcomes=ask.outcomes,
        where=ask.where,
        first_shard=seal.num_shards,
        num_shards=len(ordered),
        num_candidates=sum(part[1] for part in ordered),
        superseded=dict(sorted(superseded.items())),
        parts_sha256=parts_digest([part[2] for part in ordered]),
        seal_sha256=digest(content),
        merkle_root=seal.merkle_root,
    )
    numbers = [part[0] for part in ordered]
    expected = list(range(seal.num_shards, seal.num_shards + len(ordered)))
    if numbers != expected or record.num_candidates != sum(superseded.values()):
        raise AssertionError(f"expected plan parts {expected} of {superseded}, got {ordered}")
    former = {
        former_seal_path(generation - 1): content,
        former_manifest_path(generation - 1): read_manifest_bytes(dataset, seal),
    }
    for path, kept in former.items():
        storage.create_bytes(storage.join(dataset, path), kept)
    uri = storage.join(dataset, retry_path(generation))
    if not storage.create_bytes(uri, encode(record)):
        raise SetupError(f"{uri}: expected none while planning, got one: another run was faster")
    return record


def merged_options(recorded: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The options of a build as recorded, with those given now in their place, nested alike."""
    merged = dict(recorded)
    for name, value in given.items():
        before = merged.get(name)
        nested = isinstance(before, dict) and isinstance(value, dict)
        merged[name] = merged_options(before, value) if nested else value  # type: ignore[arg-type]
    return merged
