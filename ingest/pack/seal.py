"""The records around the shards: `build.json` before the first, manifest and seal at the end."""

import re
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from ingest import storage
from ingest.canary_run import num_batches, read_results
from ingest.errors import SetupError
from ingest.options_record import option_differences
from ingest.pack.conservation import check_complete, totals
from ingest.pack.sweep import sweep_leftovers, sweep_records
from schemas.arrow import parquet_bytes, read_parquet_bytes
from schemas.certificate import Certificate, CopyCounts, certify
from schemas.evaluation import EvalIndexRecord
from schemas.manifest import (
    BUILD_FILE,
    DATASET_FILE,
    FINGERPRINT_VERSION,
    MANIFEST_FILE,
    PLAN_FILE,
    REPACKS,
    BuildRecord,
    Commit,
    DatasetRecord,
    PlanRecord,
    RepackRecord,
    RetryRecord,
    decode,
    digest,
    encode,
    former_manifests,
    repack_path,
    retry_path,
    version_of,
)
from schemas.options import BuildOptions
from schemas.outcome import Outcome

# What a repack has done of a shard, as long as it is not finished: `ingest.removal.rewrite`.
STAGED = re.compile(r"\d{4,}-[0-9a-f]{12}-\d{5,}\.json")
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
    """The record of a finished dataset; None if it is not finished.

    Raises SetupError for a damaged one.
    """
    try:
        return decode(DatasetRecord, storage.read_bytes(storage.join(dataset, DATASET_FILE)))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        what = f"expected a valid {DATASET_FILE}, got {error}: audit first"
        raise SetupError(f"{dataset}: {what}") from error


def read_finished(dataset: str) -> DatasetRecord:
    """The record of a finished dataset; raises SetupError if it is not finished, or damaged."""
    seal = read_seal(dataset)
    if seal is None:
        raise SetupError(f"expected a finished dataset, got none at {dataset}")
    return seal


def read_manifest(dataset: str) -> list[Commit]:
    """The commits of a finished dataset, by shard; raises SetupError without a sound manifest."""
    try:
        content = read_manifest_bytes(dataset, read_seal(dataset))
        return Commit.from_table(read_parquet_bytes(content))
    except (OSError, pa.ArrowException, ValueError) as error:
        what = f"expected a valid {MANIFEST_FILE}, got {error}: audit first"
        raise SetupError(f"{dataset}: {what}") from error


def read_manifest_bytes(dataset: str, seal: DatasetRecord | None) -> bytes:
    """The manifest that belongs to a seal; raises FileNotFoundError.

    While a retry or repack is being sealed its manifest is there before its seal: the former one
    counts.
    """
    content = storage.read_bytes(storage.join(dataset, MANIFEST_FILE))
    if seal is None or digest(content) == seal.manifest_sha256:
        return content
    for path in former_manifests(seal):
        try:
            former = storage.read_bytes(storage.join(dataset, path))
        except FileNotFoundError:
            continue
        if digest(former) == seal.manifest_sha256:
            return former
    return content


def seal_dataset(dataset: str, commits: Sequence[Commit]) -> DatasetRecord:
    """Write the manifest, then `dataset.json`; raises AssertionError if it does not add up."""
    plan_bytes = storage.read_bytes(storage.join(dataset, PLAN_FILE))
    build_bytes = storage.read_bytes(storage.join(dataset, BUILD_FILE))
    plan, build = decode(PlanRecord, plan_bytes), decode(BuildRecord, build_bytes)
    rows, retries = sorted(commits, key=lambda commit: commit.shard), read_retries(dataset)
    repacks = read_repacks(dataset)
    check_complete(plan, retries, repacks, rows)
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
        repacks=repacks,
        version=version_of(retries, repacks),
        num_shards=len(rows),
        **totals(rows, retries),
    ).sealed()
    storage.write_bytes(storage.join(dataset, DATASET_FILE), encode(record))
    # Only now is it sure that no attempt is under way.
    sweep_leftovers(dataset, rows)
    sweep_records(dataset, rows)
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
    # What was removed later had been looked up too; copies of other indices' sets are not ours.
    looked_up = (Outcome.KEPT, Outcome.DUPLICATE_EXACT, Outcome.DUPLICATE_NEAR, Outcome.REMOVED)
    counts = CopyCounts(
        num_candidates=sum(outcomes[word] for word in looked_up),
        exact={name: exact[name] for name in index.sets if exact[name]},
        near={name: near[name] for name in index.sets if near[name]},
    )
    return certify(index, build.options["match"], counts, results, digests)


def read_retries(dataset: str) -> tuple[RetryRecord, ...]:
    """The generations of a dataset after the plan's own, in order, the last one finished or not."""
    retries: list[RetryRecord] = []
    while True:
        uri = storage.join(dataset, retry_path(len(retries) + 1))
        try:
            retries.append(decode(RetryRecord, storage.read_bytes(uri)))
        except FileNotFoundError:
            return tuple(retries)


def read_repacks(dataset: str) -> tuple[RepackRecord, ...]:
    """The repacks of a dataset in order, the last one finished or not."""
    repacks: list[RepackRecord] = []
    while True:
        uri = storage.join(dataset, repack_path(len(repacks) + 1))
        try:
            repacks.append(decode(RepackRecord, storage.read_bytes(uri)))
        except FileNotFoundError:
            return tuple(repacks)


def is_repacking(dataset: str, seal: DatasetRecord) -> bool:
    """Whether a repack has written files that no record names yet, or is not finished."""
    names = storage.list_names(storage.join(dataset, REPACKS))
    return any(map(STAGED.fullmatch, names)) or len(read_repacks(dataset)) > len(seal.repacks)


def check_no_repack(dataset: str, seal: DatasetRecord) -> None:
    """Raise SetupError while a repack is not finished."""
    if len(read_repacks(dataset)) > len(seal.repacks):
        raise SetupError(
            f"expected a finished dataset, a repack of {dataset} is under way: run "
            "`uncurated repack` again, which continues"
        )


def manifest_bytes(rows: Sequence[Commit]) -> bytes:
    """The manifest's parquet file; the same commits give the same bytes."""
    return parquet_bytes(Commit.to_table(rows))


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
