"""Retries: are the generations what their records say, and does one row of a candidate count?

All generations cut the same global order into equal stretches, so that what became of a shard of
the plan lies in few shards of each later generation: nothing here looks at more at once.
"""

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest import storage
from ingest.audit.finding import Finding, differing
from ingest.sampling import shards_over
from schemas.candidate import Candidate
from schemas.manifest import (
    DATASET_FILE,
    Commit,
    DatasetRecord,
    RetryRecord,
    decode,
    generation_of,
    retry_path,
)
from schemas.tombstone import CERTIFICATES, Decontamination

# Findings, last outcomes, and outcomes that each generation took up again.
_Shard = tuple[list[Finding], Counter[str], dict[int, Counter[str]]]


def check_superseded(dataset: str, record: DatasetRecord, rows: Sequence[Commit]) -> list[Finding]:
    """Whether the ledgers say of each retry what its record says; reads all if there is one."""
    expected = record.plan.num_shards + sum(retry.num_shards for retry in record.retries)
    if not record.retries or len(rows) != expected:  # which is a finding of its own
        return []
    findings: list[Finding] = []
    last: Counter[str] = Counter()
    superseded = {retry.generation: Counter[str]() for retry in record.retries}
    check = partial(_check_shard, dataset, record, rows)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for found, outcomes, again in pool.map(check, range(record.plan.num_shards)):
            findings += found
            last.update(outcomes)
            for generation, counts in again.items():
                superseded[generation].update(counts)
    for retry in record.retries:
        # A candidate that is not in the plan, or out of its place, is missing here.
        found_counts = dict(superseded[retry.generation])
        path = retry_path(retry.generation)
        findings += differing(path, superseded=(found_counts, retry.superseded))
    # A later shard is seen from each of the first shards that it reaches into.
    findings = list(dict.fromkeys(findings))
    return findings + differing(DATASET_FILE, last_outcomes=(dict(last), record.outcomes))


def uncovered(dataset: str, record: DatasetRecord) -> list[str]:
    """A sentence for each later decontamination that has not seen the shards of a retry."""
    notes = []
    folder = storage.join(dataset, CERTIFICATES)
    for name in storage.list_files(folder):
        try:
            later = decode(Decontamination, storage.read_bytes(storage.join(folder, name)))
        except ValueError:
            continue  # `check_tombstones` tells.
        missed = [one for one in record.retries if one.merkle_root == later.merkle_root]
        if missed:
            notes.append(
                f"{CERTIFICATES}/{name} does not cover shards {missed[0].first_shard} to "
                f"{record.num_shards - 1}, which a retry added: run `uncurated decontaminate` again"
            )
    return notes


def _check_shard(dataset: str, record: DatasetRecord, rows: Sequence[Commit], shard: int) -> _Shard:
    """What became of the candidates of one shard of the plan, generation by generation."""
    findings: list[Finding] = []
    superseded: dict[int, Counter[str]] = {}
    try:
        planned, outcomes = _read_shard(dataset, rows[shard], record, findings)
        last = dict(zip(planned["id"].to_pylist(), outcomes, strict=True))
        for retry in record.retries:
            taken: dict[str, str] = {}
            for number in shards_over(shard, record.plan.num_shards, retry.num_shards):
                commit = rows[retry.first_shard + number]
                again, outcomes = _read_shard(dataset, commit, record, findings)
                places = pc.index_in(again["id"], planned["id"].combine_chunks())
                findings += _check_fields(commit, planned, again, places)
                ids = zip(again["id"].to_pylist(), outcomes, strict=True)
                ours = {one: outcome for one, outcome in ids if one in last}
                findings += _check_taken(retry, commit, ours, last, taken)
                taken |= ours
            superseded[retry.generation] = Counter(last[one] for one in taken)
            last |= taken
    except (OSError, pa.ArrowException, LookupError, ValueError) as error:
        path = rows[shard].ledger_file
        return [Finding(path, f"generations cannot be compared: {error}")], Counter(), {}
    return findings, Counter(last.values()), superseded


def _check_taken(
    retry: RetryRecord,
    commit: Commit,
    ours: dict[str, str],
    last: dict[str, str],
    taken: dict[str, str],
) -> list[Finding]:
    """Each candidate is taken once, and had an outcome that was asked for."""
    asked = ", ".join(retry.outcomes)
    twice = [f"candidate {one}: planned twice" for one in sorted(ours.keys() & taken.keys())]
    wrong = [
        f"candidate {one}: expected an outcome of {asked} before, got {last[one]}"
        for one in ours
        if last[one] not in retry.outcomes
    ]
    return [Finding(commit.plan_file, what) for what in (*twice, *wrong)]


def _check_fields(
    commit: Commit, planned: pa.Table, again: pa.Table, places: pa.ChunkedArray
) -> list[Finding]:
    """A candidate that is planned anew is what it was."""
    ours = pc.is_valid(places)
    again, before = again.filter(ours), planned.take(places.filter(ours))
    return [
        Finding(commit.plan_file, f"column {name} differs from the first plan's")
        for name in Candidate.model_fields
        if not before[name].equals(again[name])
    ]


def _read_shard(
    dataset: str, commit: Commit, record: DatasetRecord, findings: list[Finding]
) -> tuple[pa.Table, list[str]]:
    """The plan part of a shard and the outcomes in its ledger, which must have the same ids."""
    plan = pq.read_table(_buffer(dataset, commit.plan_file))
    columns = ["id", "generation", "outcome"]
    ledger = pq.read_table(_buffer(dataset, commit.ledger_file), columns=columns)
    if not plan["id"].equals(ledger["id"]):
        raise ValueError(f"expected the ids of {commit.plan_file}, got others")
    expected = {generation_of(commit.shard, record.retries)}
    found = set(ledger["generation"].to_pylist()) or expected
    findings += differing(commit.ledger_file, generation=(expected, found))
    return plan, ledger["outcome"].to_pylist()


def _buffer(dataset: str, path: str) -> pa.BufferReader:
    return pa.BufferReader(storage.read_bytes(storage.join(dataset, path)))
