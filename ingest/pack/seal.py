"""The records around the shards: `build.json` before the first, manifest and seal at the end."""

import io
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import pyarrow.parquet as pq

from ingest import storage
from ingest.canary_run import num_batches, read_results
from ingest.errors import SetupError
from ingest.options_record import option_differences
from ingest.pack.commit import check_conservation
from schemas.arrow import read_parquet_bytes
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
    RetryRecord,
    decode,
    digest,
    encode,
    former_manifest_path,
    retry_path,
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
    content = read_manifest_bytes(dataset, read_seal(dataset))
    return Commit.from_table(read_parquet_bytes(content))


def read_manifest_bytes(dataset: str, seal: DatasetRecord | None) -> bytes:
    """The manifest that belongs to a seal; raises FileNotFoundError.

    While a retry is being sealed its manifest is there before its seal: the former one counts.
    """
    content = storage.read_bytes(storage.join(dataset, MANIFEST_FILE))
    if seal is None or digest(content) == seal.manifest_sha256:
        return content
    try:
        former = storage.read_bytes(storage.join(dataset, former_manifest_path(len(seal.retries))))
    except FileNotFoundError:
        return content
    return former if digest(former) == seal.manifest_sha256 else content


def seal_dataset(dataset: str, commits: Sequence[Commit]) -> DatasetRecord:
    """Write the manifest, then `dataset.json`; raises AssertionError if it does not add up."""
    plan_bytes = storage.read_bytes(storage.join(dataset, PLAN_FILE))
    build_bytes = storage.read_bytes(storage.join(dataset, BUILD_FILE))
    plan, build = decode(PlanRecord, plan_bytes), decode(BuildRecord, build_bytes)
    rows, retries = sorted(commits, key=lambda commit: commit.shard), read_retries(dataset)
    check_complete(plan, retries, rows)
    manifest = manifest_bytes(rows)
    storage.write_bytes(storage.join(dataset, MANIFEST_FILE), manifest)
    record = DatasetRecord(
        plan=plan,
        build=build,
        plan_sha256=digest(plan_bytes),
        build_sha256=digest(build_bytes),
        manifest_sha256=digest(manifest),
        decontamination=decontamination(plan, build),
        certificate=certificate(dataset, build, rows),
        lineage=plan.lineage(),
        retries=retries,
        num_shards=len(rows),
        **totals(rows, retries),
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


def totals(rows: Sequence[Commit], retries: Sequence[RetryRecord]) -> dict[str, Any]:
    """What the commits of a dataset add up to: fields of DatasetRecord.

    Of a candidate that was retried only the last outcome counts.
    """
    outcomes: Counter[str] = Counter()
    for row in rows:
        outcomes.update(row.outcomes)
    for retry in retries:
        outcomes.subtract(retry.superseded)
    return {
        "num_candidates": outcomes.total(),
        "num_kept": sum(row.num_kept for row in rows),
        "image_bytes": sum(row.image_bytes for row in rows),
        "outcomes": {word.value: outcomes[word] for word in Outcome if outcomes[word]},
        "merkle_root": dataset_root(
            [(row.shard, bytes.fromhex(row.merkle_root)) for row in rows]
        ).hex(),
    }


def check_complete(
    plan: PlanRecord, retries: Sequence[RetryRecord], rows: Sequence[Commit]
) -> None:
    """Raise AssertionError unless these are all shards and conserve the planned candidates.

    Those of each generation hold what was planned for it; and what retries took up again, and no
    more, is counted once again, so that the last outcomes add up to the plan's candidates.
    """
    numbers = [row.shard for row in rows]
    expected = plan.num_shards + sum(retry.num_shards for retry in retries)
    if numbers != list(range(expected)):
        raise AssertionError(f"expected shards 0 to {expected - 1}, got {numbers[:20]}")
    for row in rows:
        check_conservation(row)
    _check_generation(plan, rows[: plan.num_shards])
    for retry in retries:
        _check_generation(retry, rows[retry.first_shard :][: retry.num_shards])
        again = sum(retry.superseded.values())
        if again != retry.num_candidates:
            raise AssertionError(
                f"generation {retry.generation}: expected {retry.num_candidates} superseded "
                f"outcomes, got {again}"
            )
    found = totals(rows, retries)
    negative = any(count < 0 for count in found["outcomes"].values())
    if found["num_candidates"] != plan.num_candidates or negative:
        raise AssertionError(
            f"expected {plan.num_candidates} candidates with one outcome each, got {found}"
        )


def _check_generation(planned: PlanRecord | RetryRecord, rows: Sequence[Commit]) -> None:
    count = sum(row.num_candidates for row in rows)
    if count != planned.num_candidates:
        raise AssertionError(f"expected {planned.num_candidates} planned candidates, got {count}")
    parts = parts_digest([row.plan_sha256 for row in rows])
    if parts != planned.parts_sha256:
        raise AssertionError(f"expected plan parts {planned.parts_sha256}, got {parts}")


def parts_digest(digests: Sequence[str]) -> str:
    """SHA-256 over the digests of plan parts, in order."""
    return sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()


def read_retries(dataset: str) -> tuple[RetryRecord, ...]:
    """The generations of a dataset after the plan's own, in order, the last one finished or not."""
    retries: list[RetryRecord] = []
    while True:
        uri = storage.join(dataset, retry_path(len(retries) + 1))
        try:
            retries.append(decode(RetryRecord, storage.read_bytes(uri)))
        except FileNotFoundError:
            return tuple(retries)


def manifest_bytes(rows: Sequence[Commit]) -> bytes:
    """The manifest's parquet file; the same commits give the same bytes."""
    buffer = io.BytesIO()
    pq.write_table(Commit.to_table(rows), buffer, compression="zstd")
    return buffer.getvalue()


def decontamination(plan: PlanRecord, build: BuildRecord) -> str:
    """What the dataset was cleaned against, in words."""
    index = build.eval_index
    if index is None:
        lineage = ", ".join(plan.lineage())
        return f"{NOT_DECONTAMINATED} anew; out of {lineage}" if lineage else NOT_DECONTAMINATED
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
