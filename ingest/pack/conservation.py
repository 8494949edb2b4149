"""Conservation: what the commits of a dataset add up to, and whether nothing was lost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from ingest.pack.commit import check_conservation
from schemas.manifest import Commit, PlanRecord, RepackRecord, RetryRecord
from schemas.merkle import dataset_root
from schemas.outcome import Outcome


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
    plan: PlanRecord,
    retries: Sequence[RetryRecord],
    repacks: Sequence[RepackRecord],
    rows: Sequence[Commit],
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
    parts = planned_digests(repacks, rows)
    _check_generation(plan, rows[: plan.num_shards], parts)
    for retry in retries:
        _check_generation(retry, rows[retry.first_shard :][: retry.num_shards], parts)
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


def planned_digests(repacks: Sequence[RepackRecord], rows: Sequence[Commit]) -> dict[int, str]:
    """SHA-256 of each shard's plan part as planned, before any repack has blanked URLs in it."""
    parts = {row.shard: row.plan_sha256 for row in rows}
    for repack in reversed(repacks):
        parts |= {int(shard): sha256 for shard, sha256 in repack.plan_parts.items()}
    return parts


def _check_generation(
    planned: PlanRecord | RetryRecord, rows: Sequence[Commit], planned_parts: Mapping[int, str]
) -> None:
    count = sum(row.num_candidates for row in rows)
    if count != planned.num_candidates:
        raise AssertionError(f"expected {planned.num_candidates} planned candidates, got {count}")
    parts = parts_digest([planned_parts[row.shard] for row in rows])
    if parts != planned.parts_sha256:
        raise AssertionError(f"expected plan parts {planned.parts_sha256}, got {parts}")


def parts_digest(digests: Sequence[str]) -> str:
    """SHA-256 over the digests of plan parts, in order."""
    return sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()
