"""Retries: are the generations what their records say, and does one row of a candidate count?"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from ingest import storage
from ingest.audit.finding import Finding, differing
from ingest.audit.ledger_parts import read_parts
from ingest.errors import SetupError
from schemas.manifest import (
    DATASET_FILE,
    Commit,
    DatasetRecord,
    decode,
    digest,
    encode,
    former_seal_path,
    generation_of,
    retry_path,
)
from schemas.outcome import Outcome
from schemas.tombstone import CERTIFICATES, Decontamination

_COLUMNS = ("id", "generation", "outcome")


def check_generations(dataset: str, record: DatasetRecord, rows: Sequence[Commit]) -> list[Finding]:
    """What is wrong with the records of retries, the seals before them, and superseded rows."""
    findings: list[Finding] = []
    for retry in record.retries:
        path = retry_path(retry.generation)
        findings += _check_file(dataset, path, digest(encode(retry)))
        findings += _check_file(dataset, former_seal_path(retry.generation - 1), retry.seal_sha256)
    if not record.retries:
        return findings
    try:
        superseded, odd = _count_superseded(dataset, record, rows)
    except SetupError as error:
        return [*findings, Finding(DATASET_FILE, str(error))]
    for retry in record.retries:
        found = dict(superseded[retry.generation])
        path = retry_path(retry.generation)
        findings += differing(path, superseded=(found, retry.superseded))
    return findings + odd


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


def _count_superseded(
    dataset: str, record: DatasetRecord, rows: Sequence[Commit]
) -> tuple[dict[int, Counter[str]], list[Finding]]:
    """By generation the outcomes that it took up again, and rows that break the rules.

    Memory holds the ids that were retried.
    """
    first = record.retries[0].first_shard
    later = [row.ledger_file for row in rows if row.shard >= first]
    generations: defaultdict[str, list[int]] = defaultdict(list)
    for _, part in read_parts(dataset, later, _COLUMNS):
        for candidate, generation in zip(
            part["id"].to_pylist(), part["generation"].to_pylist(), strict=True
        ):
            generations[candidate].append(generation)
    superseded: defaultdict[int, Counter[str]] = defaultdict(Counter)
    findings = []
    shards = {row.ledger_file: row.shard for row in rows}
    for path, part in read_parts(dataset, shards, _COLUMNS):
        expected = generation_of(shards[path], record.retries)
        for candidate, generation, outcome in zip(
            *(part[name].to_pylist() for name in _COLUMNS), strict=True
        ):
            if generation != expected:
                findings.append(
                    Finding(path, f"{candidate}: expected generation {expected}, got {generation}")
                )
            after = [one for one in generations.get(candidate, ()) if one > generation]
            if after:
                superseded[min(after)][outcome] += 1
                if outcome == Outcome.KEPT:
                    findings.append(Finding(path, f"{candidate}: kept, and yet asked anew"))
    return superseded, findings


def _check_file(dataset: str, path: str, sha256: str) -> list[Finding]:
    try:
        content = storage.read_bytes(storage.join(dataset, path))
    except FileNotFoundError:
        return [Finding(path, "expected a file, got none")]
    return differing(path, sha256=(sha256, digest(content)))
