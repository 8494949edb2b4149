"""The records around the shards: `build.json` before the first, manifest and seal at the end."""

import io
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.canary_run import num_batches, read_results
from ingest.errors import SetupError
from ingest.options_record import option_differences
from ingest.pack.commit import check_conservation
from schemas.certificate import Certificate, CopyCounts, certify
from schemas.evaluation import EvalIndexRecord
from schemas.manifest import (
    BUILD_FILE,
    DATASET_FILE,
    FINGERPRINT_VERSION,
    MANIFEST_FILE,
    PLAN_FILE,
    BuildRecord,
    Commit,
    DatasetRecord,
    PlanRecord,
    decode,
    digest,
    encode,
)
from schemas.merkle import dataset_root
from schemas.options import BuildOptions
from schemas.outcome import Outcome

NOT_DECONTAMINATED = "not decontaminated"
_VERSIONED = ("uncurated", "numpy", "pillow", "pyarrow", "pycurl", "simplejpeg")


def begin_build(options: BuildOptions, eval_index: EvalIndexRecord | None) -> str:
    """Write `build.json` or check it against the one that is there; its SHA-256.

    Raises SetupError that names each differing option with both values.
    """
    dataset = options.output
    record = BuildRecord(
        options=options.recorded(),
        plan_sha256=digest(storage.read_bytes(storage.join(dataset, PLAN_FILE))),
        fingerprint=FINGERPRINT_VERSION,
        eval_index=eval_index,
        versions={name: version(name) for name in _VERSIONED},
    )
    uri = storage.join(dataset, BUILD_FILE)
    if storage.create_bytes(uri, encode(record)):
        return digest(encode(record))
    content = storage.read_bytes(uri)
    recorded = decode(BuildRecord, content)
    differences = option_differences(_comparable(recorded), _comparable(record))
    if differences:
        raise SetupError(f"{uri} was begun otherwise: " + "; ".join(differences))
    return digest(content)


def read_seal(dataset: str) -> DatasetRecord | None:
    """The record of a finished dataset; None if it is not finished."""
    try:
        return decode(DatasetRecord, storage.read_bytes(storage.join(dataset, DATASET_FILE)))
    except FileNotFoundError:
        return None


def read_manifest(dataset: str) -> list[Commit]:
    """The commits of a finished dataset, by shard; raises FileNotFoundError."""
    content = storage.read_bytes(storage.join(dataset, MANIFEST_FILE))
    return Commit.from_table(pq.read_table(pa.BufferReader(content)))


def seal_dataset(dataset: str, commits: Sequence[Commit]) -> DatasetRecord:
    """Write the manifest, then `dataset.json`; raises AssertionError if it does not add up."""
    plan_bytes = storage.read_bytes(storage.join(dataset, PLAN_FILE))
    build_bytes = storage.read_bytes(storage.join(dataset, BUILD_FILE))
    plan, build = decode(PlanRecord, plan_bytes), decode(BuildRecord, build_bytes)
    rows = sorted(commits, key=lambda commit: commit.shard)
    check_complete(plan, rows)
    manifest = manifest_bytes(rows)
    storage.write_bytes(storage.join(dataset, MANIFEST_FILE), manifest)
    record = DatasetRecord(
        plan=plan,
        build=build,
        plan_sha256=digest(plan_bytes),
        build_sha256=digest(build_bytes),
        manifest_sha256=digest(manifest),
        decontamination=decontamination(build),
        certificate=certificate(dataset, build, rows),
        num_shards=len(rows),
        **totals(rows),
    ).sealed()
    storage.write_bytes(storage.join(dataset, DATASET_FILE), encode(record))
    return record


def certificate(dataset: str, build: BuildRecord, rows: Sequence[Commit]) -> Certificate | None:
    """What the commits and the canaries of a dataset tell; None if it was not matched."""
    index = build.eval_index
    if index is None:
        return None
    results, digests = read_results(dataset, num_batches(index))
    expected = sum(record.num_canaries for record in index.sets.values())
    if len(results) != expected:
        raise AssertionError(f"expected {expected} canaries, got {len(results)}")
    outcomes: Counter[str] = Counter()
    exact: Counter[str] = Counter()
    near: Counter[str] = Counter()
    for row in rows:
        outcomes.update(row.outcomes)
        exact.update(row.exact_copies)
        near.update(row.near_copies)
    looked_up = (Outcome.KEPT, Outcome.DUPLICATE_EXACT, Outcome.DUPLICATE_NEAR)
    counts = CopyCounts(
        num_candidates=sum(outcomes[word] for word in looked_up), exact=exact, near=near
    )
    return certify(index, build.options["match"], counts, results, digests)


def totals(rows: Sequence[Commit]) -> dict[str, Any]:
    """What the commits of a dataset add up to: fields of DatasetRecord."""
    outcomes: Counter[str] = Counter()
    for row in rows:
        outcomes.update(row.outcomes)
    return {
        "num_candidates": sum(row.num_candidates for row in rows),
        "num_kept": sum(row.num_kept for row in rows),
        "image_bytes": sum(row.image_bytes for row in rows),
        "outcomes": {word.value: outcomes[word] for word in Outcome if outcomes[word]},
        "merkle_root": dataset_root(
            [(row.shard, bytes.fromhex(row.merkle_root)) for row in rows]
        ).hex(),
    }


def check_complete(plan: PlanRecord, rows: Sequence[Commit]) -> None:
    """Raise AssertionError unless these are all shards of the plan and conserve its candidates."""
    numbers = [row.shard for row in rows]
    if numbers != list(range(plan.num_shards)):
        raise AssertionError(f"expected shards 0 to {plan.num_shards - 1}, got {numbers[:20]}")
    for row in rows:
        check_conservation(row)
    planned = sum(row.num_candidates for row in rows)
    if planned != plan.num_candidates:
        raise AssertionError(f"expected {plan.num_candidates} planned candidates, got {planned}")
    parts = sha256(b"".join(bytes.fromhex(row.plan_sha256) for row in rows)).hexdigest()
    if parts != plan.parts_sha256:
        raise AssertionError(f"expected plan parts {plan.parts_sha256}, got {parts}")


def manifest_bytes(rows: Sequence[Commit]) -> bytes:
    """The manifest's parquet file; the same commits give the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(Commit.to_table(rows), buffer, compression="zstd")
    return buffer.getvalue()


def decontamination(build: BuildRecord) -> str:
    """What the dataset was cleaned against, in words."""
    index = build.eval_index
    if index is None:
        return NOT_DECONTAMINATED
    sets = ", ".join(f"{name} ({one.num_images})" for name, one in sorted(index.sets.items()))
    match = build.options["match"]
    return (
        f"against {sets}; radius {index.radius(match['match_radius'])} of 256 bits, correlation "
        f"{match['min_correlation']}; index sha256 {index.sha256}"
    )


def _comparable(record: BuildRecord) -> dict[str, Any]:
    index = record.eval_index
    return {
        **record.options,
        "plan": record.plan_sha256,
        "fingerprint": record.fingerprint,
        "eval_index": index.sha256 if index else None,
    }
