"""The records of a dataset against each other: seal, plan, build, manifest, certificate."""

from typing import Any, TypeVar

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from ingest import storage
from ingest.audit.finding import Finding, differing
from ingest.pack.conservation import check_complete, totals
from ingest.pack.seal import certificate, decontamination, read_manifest_bytes
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
    decode,
    digest,
    encode,
)

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def read_record(dataset: str, findings: list[Finding]) -> DatasetRecord | None:
    """The seal, checked in itself; None, and a finding, if it cannot be read."""
    record = _read(DatasetRecord, dataset, DATASET_FILE, findings)
    if record is not None:
        findings += differing(
            DATASET_FILE,
            schema_version=(SCHEMA_VERSION, record.schema_version),
            record_sha256=(record.sealed().record_sha256, record.record_sha256),
            decontamination=(decontamination(record.plan, record.build), record.decontamination),
            lineage=(record.plan.lineage(), record.lineage),
        )
    return record


def check_plan_and_build(dataset: str, record: DatasetRecord) -> list[Finding]:
    """Whether `plan.json` and `build.json` are those in the seal."""
    findings: list[Finding] = []
    plan = _read(PlanRecord, dataset, PLAN_FILE, findings, record.plan_sha256)
    build = _read(BuildRecord, dataset, BUILD_FILE, findings, record.build_sha256)
    findings += differing(PLAN_FILE, content=(record.plan, plan or record.plan))
    findings += differing(BUILD_FILE, content=(record.build, build or record.build))
    return findings


def read_rows(
    dataset: str, record: DatasetRecord, findings: list[Finding]
) -> tuple[list[Commit], str] | None:
    """The rows of the manifest and its SHA-256; None, and a finding, if it cannot be read."""
    try:
        content = read_manifest_bytes(dataset, record)
    except FileNotFoundError:
        findings.append(Finding(MANIFEST_FILE, "expected a file, got none"))
        return None
    sha256 = digest(content)
    findings += differing(MANIFEST_FILE, sha256=(record.manifest_sha256, sha256))
    try:
        return Commit.from_table(read_parquet_bytes(content)), sha256
    except (pa.ArrowException, OSError, ValueError) as error:
        findings.append(Finding(MANIFEST_FILE, f"expected a table of commits, got {error}"))
        return None


def check_totals(record: DatasetRecord, rows: list[Commit]) -> list[Finding]:
    """Conservation, and what the manifest adds up to, against the seal."""
    findings: list[Finding] = []
    try:
        check_complete(record.plan, record.retries, record.repacks, rows)
    except AssertionError as error:
        findings.append(Finding(MANIFEST_FILE, f"conservation: {error}"))
    pairs: dict[str, tuple[Any, Any]] = {
        name: (value, getattr(record, name)) for name, value in totals(rows, record.retries).items()
    }
    return findings + differing(DATASET_FILE, num_shards=(len(rows), record.num_shards), **pairs)


def check_certificate(dataset: str, record: DatasetRecord, rows: list[Commit]) -> list[Finding]:
    """The canary files by their digests; if they are sound, the certificate by recomputing it."""
    files = record.certificate.canary_files if record.certificate else {}
    findings: list[Finding] = []
    for path, sha256 in files.items():
        try:
            content = storage.read_bytes(storage.join(dataset, path))
            findings += differing(path, sha256=(sha256, digest(content)))
        except FileNotFoundError:
            findings.append(Finding(path, "expected a file, got none"))
    if findings:
        return findings
    try:
        expected = certificate(dataset, record.build, rows)
    except (AssertionError, OSError) as error:
        return [Finding(DATASET_FILE, f"certificate: {error}")]
    return differing(DATASET_FILE, certificate=(expected, record.certificate))


def _read(
    model: type[AnyModel],
    dataset: str,
    path: str,
    findings: list[Finding],
    sha256: str | None = None,
) -> AnyModel | None:
    """A JSON document in its canonical form; None, and a finding, if it cannot be read."""
    try:
        content = storage.read_bytes(storage.join(dataset, path))
        document = decode(model, content)
    except FileNotFoundError:
        findings.append(Finding(path, "expected a file, got none"))
        return None
    except (ValidationError, UnicodeDecodeError) as error:
        findings.append(Finding(path, f"expected a valid {model.__name__}, got {error}"))
        return None
    findings += differing(
        path,
        sha256=(sha256 or digest(content), digest(content)),
        canonical_sha256=(digest(encode(document)), digest(content)),
    )
    return document
