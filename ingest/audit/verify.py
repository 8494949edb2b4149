"""Recompute what a dataset claims: digests, conservation, offsets, roots, schema versions."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from ingest import storage
from ingest.audit.finding import Finding, differing
from ingest.audit.generations import check_records, check_superseded, uncovered
from ingest.audit.listing import check_files
from ingest.audit.shard_check import check_shard
from ingest.audit.tombstones import check_tombstones
from ingest.pack.seal import (
    certificate,
    check_complete,
    decontamination,
    read_manifest_bytes,
    totals,
)
from schemas.arrow import read_parquet_bytes
from schemas.manifest import (
    BUILD_FILE,
    DATASET_FILE,
    MANIFEST_FILE,
    PLAN_FILE,
    SCHEMA_VERSION,
    BuildRecord,
    Commit,
    DatasetRecord,
    PlanRecord,
    commit_path,
    decode,
    digest,
    encode,
)

AnyModel = TypeVar("AnyModel", bound=BaseModel)

NOT_READ = (
    "shard and ledger bytes were not read, nor plan parts and commits: of these only names and "
    "sizes were compared with the manifest; an audit without --quick reads everything"
)


@dataclass
class AuditReport:
    """What was verified, and all that is wrong; `quick`: no shard, ledger or plan part was read."""

    dataset: str
    quick: bool = False
    record: DatasetRecord | None = None
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    num_uncommitted: int = 0
    num_removed: int = 0

    def lines(self) -> Iterator[str]:
        """The report as text, findings last."""
        if self.record is not None:
            record = self.record
            yield f"dataset: {self.dataset}"
            yield (
                f"candidates: {record.num_candidates:,} = "
                + " + ".join(f"{count:,} {word}" for word, count in record.outcomes.items())
            )
            yield f"kept: {record.num_kept:,} images, {record.image_bytes:,} bytes"
            yield f"decontamination: {record.decontamination}"
            yield f"Merkle root: {record.merkle_root}"
            for retry in record.retries:
                yield (
                    f"retry {retry.generation}: {retry.num_candidates:,} candidates asked anew, "
                    f"shards {retry.first_shard} to {retry.first_shard + retry.num_shards - 1}"
                )
        if self.num_removed:
            yield f"removed after the fact: {self.num_removed:,} images have tombstones"
        if self.num_uncommitted:
            yield f"note: {self.num_uncommitted} files that no commit names (interrupted attempts)"
        yield from (f"note: {note}" for note in self.notes)
        for finding in self.findings:
            yield f"WRONG {finding}"
        if self.quick:
            yield f"NOT VERIFIED: {NOT_READ}"
        verified = "records and listings verified, contents not" if self.quick else "verified"
        yield "verdict: " + (f"{len(self.findings)} mismatches" if self.findings else verified)


def audit(
    dataset: str, on_shard: Callable[[str], None] = lambda name: None, *, quick: bool = False
) -> AuditReport:
    """The report on a sealed dataset; reads every byte of it, or only its records if `quick`."""
    report = AuditReport(dataset, quick)
    record = _read(DatasetRecord, DATASET_FILE, report)
    if record is None:
        return report
    report.record = record
    report.findings += differing(
        DATASET_FILE,
        schema_version=(SCHEMA_VERSION, record.schema_version),
        record_sha256=(record.sealed().record_sha256, record.record_sha256),
        decontamination=(decontamination(record.plan, record.build), record.decontamination),
        lineage=(record.plan.lineage(), record.lineage),
    )
    plan = _read(PlanRecord, PLAN_FILE, report, record.plan_sha256)
    build = _read(BuildRecord, BUILD_FILE, report, record.build_sha256)
    report.findings += differing(PLAN_FILE, content=(record.plan, plan or record.plan))
    report.findings += differing(BUILD_FILE, content=(record.build, build or record.build))
    rows = _read_manifest(record, report)
    if rows is None:
        return report
    _check_totals(record, rows, report)
    _check_certificate(record, rows, report)
    _check_versions(record, rows, report)
    report.findings += check_records(dataset, record, rows)
    found, report.num_uncommitted = check_files(dataset, rows)
    if quick:
        report.findings += found
    else:
        _read_contents(record, rows, report, on_shard)
    roots = {record.merkle_root, *(retry.merkle_root for retry in record.retries)}
    found, report.num_removed = check_tombstones(dataset, roots)
    report.findings += found
    report.notes += uncovered(dataset, record)
    return report


def _read(
    model: type[AnyModel], path: str, report: AuditReport, sha256: str | None = None
) -> AnyModel | None:
    """A JSON document in its canonical form; None, and a finding, if it cannot be read."""
    try:
        content = storage.read_bytes(storage.join(report.dataset, path))
        document = decode(model, content)
    except FileNotFoundError:
        report.findings.append(Finding(path, "expected a file, got none"))
        return None
    except (ValidationError, UnicodeDecodeError) as error:
        report.findings.append(Finding(path, f"expected a valid {model.__name__}, got {error}"))
        return None
    report.findings += differing(
        path,
        sha256=(sha256 or digest(content), digest(content)),
        canonical_sha256=(digest(encode(document)), digest(content)),
    )
    return document


def _read_manifest(record: DatasetRecord, report: AuditReport) -> list[Commit] | None:
    try:
        content = read_manifest_bytes(report.dataset, record)
    except FileNotFoundError:
        report.findings.append(Finding(MANIFEST_FILE, "expected a file, got none"))
        return None
    report.findings += differing(MANIFEST_FILE, sha256=(record.manifest_sha256, digest(content)))
    try:
        return Commit.from_table(read_parquet_bytes(content))
    except (pa.ArrowException, OSError, ValidationError) as error:
        report.findings.append(Finding(MANIFEST_FILE, f"expected a table of commits, got {error}"))
        return None


def _check_totals(record: DatasetRecord, rows: list[Commit], report: AuditReport) -> None:
    try:
        check_complete(record.plan, record.retries, rows)
    except AssertionError as error:
        report.findings.append(Finding(MANIFEST_FILE, f"conservation: {error}"))
    pairs: dict[str, tuple[Any, Any]] = {
        name: (value, getattr(record, name)) for name, value in totals(rows, record.retries).items()
    }
    report.findings += differing(DATASET_FILE, num_shards=(len(rows), record.num_shards), **pairs)


def _check_certificate(record: DatasetRecord, rows: list[Commit], report: AuditReport) -> None:
    """The canary files by their digests; if they are sound, the certificate by recomputing it."""
    files = record.certificate.canary_files if record.certificate else {}
    findings: list[Finding] = []
    for path, sha256 in files.items():
        try:
            content = storage.read_bytes(storage.join(report.dataset, path))
            findings += differing(path, sha256=(sha256, digest(content)))
        except FileNotFoundError:
            findings.append(Finding(path, "expected a file, got none"))
    report.findings += findings
    if not findings:
        try:
            expected = certificate(report.dataset, record.build, rows)
            report.findings += differing(DATASET_FILE, certificate=(expected, record.certificate))
        except (AssertionError, OSError) as error:
            report.findings.append(Finding(DATASET_FILE, f"certificate: {error}"))


def _check_versions(record: DatasetRecord, rows: list[Commit], report: AuditReport) -> None:
    """All shards are of this layout and were built under the one build record."""
    for row in rows:
        report.findings += differing(
            commit_path(row.shard),
            schema_version=(SCHEMA_VERSION, row.schema_version),
            build_sha256=(record.build_sha256, row.build_sha256),
            format=(_format(record.build), row.shard_file.rpartition(".")[2]),
        )


def _read_contents(
    record: DatasetRecord,
    rows: list[Commit],
    report: AuditReport,
    on_shard: Callable[[str], None],
) -> None:
    """Read all commits, plan parts, ledgers and shards."""
    dataset = report.dataset
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for row, found in zip(rows, pool.map(partial(_check_row, dataset), rows), strict=True):
            report.findings += found
            on_shard(row.shard_file)
    report.findings += check_superseded(dataset, record, rows)


def _check_row(dataset: str, row: Commit) -> list[Finding]:
    """What is wrong with one shard, its ledger, plan part and commit."""
    path, findings = commit_path(row.shard), list[Finding]()
    try:
        content = storage.read_bytes(storage.join(dataset, path))
        findings += differing(path, sha256=(digest(encode(row)), digest(content)))
    except FileNotFoundError:
        findings.append(Finding(path, "expected a file, got none"))
    return findings + check_shard(dataset, row)


def _format(build: BuildRecord) -> str | None:
    """The recorded format of the shards."""
    pack = build.options.get("pack")
    return pack.get("format") if isinstance(pack, dict) else None
