"""The certificate: against what a dataset was cleaned, what was found, and how well it was looked.

A build plants canaries, copies of evaluation images that it sends through the very same code as any
candidate, and counts how many it finds.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Annotated

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from schemas.arrow import Record, Share, Small, Text
from schemas.evaluation import Calibration, EvalIndexRecord, SetRecord
from schemas.outcome import Outcome

Z_95 = 1.96


class CanaryResult(Record):
    """What became of one canary; a row of `canaries/*.parquet`."""

    set: Text = Field(description="evaluation set of the original")
    name: Text = Field(description="name of the original in its set")
    kind: Text = Field(description="how the copy was made")
    params: Text = Field(description="the drawn parameters, JSON")
    protected: Annotated[bool, pa.bool_()] = Field(
        description="whether the original has a perceptual code at all"
    )
    outcome: Annotated[Outcome, pa.string()] = Field(
        description="`duplicate_exact` or `duplicate_near`: found; `kept`: missed"
    )
    nearest_eval: Text | None = Field(description="nearest evaluation image, `set/name`")
    nearest_eval_variant: Text | None = Field(description="which variant of it")
    nearest_eval_view: Text | None = Field(description="which view of the canary")
    nearest_eval_distance: Small | None = Field(description="its Hamming distance, bits")
    nearest_eval_correlation: Share | None = Field(description="of the aligned thumbnails")


class Recall(BaseModel):
    """A share of canaries that were found, with its 95 % interval (Wilson 1927)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tried: int
    found: int
    low: float
    high: float

    @classmethod
    def of(cls, found: int, tried: int) -> "Recall":
        """The recall of so many of so many; from 0 to 1 if none was tried."""
        low, high = wilson_interval(found, tried)
        return cls(tried=tried, found=found, low=round(low, 6), high=round(high, 6))


class SetCertificate(BaseModel):
    """What one evaluation set is protected by, and what was removed for its sake."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protected: SetRecord
    exact_copies: int = Field(description="removed: equal bytes or pixels")
    near_copies: int = Field(description="removed: looks like one of its images")
    recall: Recall = Field(description="canaries of its images that have codes")


class Certificate(BaseModel):
    """The proof of a decontamination, with the limits of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    index_sha256: str
    match_radius: int
    min_correlation: float
    num_candidates: int = Field(description="images that were looked up")
    sets: dict[str, SetCertificate]
    recall: Recall = Field(description="canaries of all images that have codes")
    recall_by_kind: dict[str, Recall] = Field(description="the same by how the copy was made")
    recall_of_flat: Recall = Field(description="canaries of images too flat for a code")
    residual: tuple[float, float] = Field(
        description="near copies that may still be in, if copies on the web are made as canaries "
        "are: found x (1 - recall) / recall, at both ends of the interval"
    )
    false_drops: tuple[float, float] | None = Field(
        description="images that may have been removed without being copies, from the background; "
        "null: the index was not calibrated"
    )
    canary_files: dict[str, str] = Field(description="SHA-256 of the files of canary results")


class CopyCounts(BaseModel):
    """What the commits of a dataset, or a later decontamination, counted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_candidates: int
    exact: dict[str, int]
    near: dict[str, int]


def certify(
    index: EvalIndexRecord,
    options: Mapping[str, float],
    counts: CopyCounts,
    canaries: Iterable[CanaryResult],
    canary_files: Mapping[str, str],
) -> Certificate:
    """The certificate of what was counted; `options`: those of MatchOptions."""
    results = list(canaries)
    coded = [one for one in results if one.protected]
    recall = _recall(coded)
    near = sum(counts.near.values())
    return Certificate(
        index_sha256=index.sha256,
        match_radius=index.radius(int(options["match_radius"])),
        min_correlation=options["min_correlation"],
        num_candidates=counts.num_candidates,
        sets={
            name: SetCertificate(
                protected=record,
                exact_copies=counts.exact.get(name, 0),
                near_copies=counts.near.get(name, 0),
                recall=_recall([one for one in coded if one.set == name]),
            )
            for name, record in sorted(index.sets.items())
        },
        recall=recall,
        recall_by_kind={
            kind: _recall([one for one in coded if one.kind == kind])
            for kind in sorted({one.kind for one in coded})
        },
        recall_of_flat=_recall([one for one in results if not one.protected]),
        residual=(_missed(near, recall.high), _missed(near, recall.low)),
        false_drops=_false_drops(index.calibration, counts.num_candidates),
        canary_files=dict(canary_files),
    )


def set_of(name: str) -> str:
    """The evaluation set of an image `set/name`."""
    return name.partition("/")[0]


def wilson_interval(found: float, total: float, z: float = Z_95) -> tuple[float, float]:
    """The 95 % interval of a share, from 0 to 1 without any trial (Wilson 1927).

    The numbers may be effective ones, so no integers. z: standard errors to each side, if not 95 %.
    """
    if total == 0:
        return 0.0, 1.0
    share, weight = found / total, z * z / total
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    # The ends of rounding, which may leave out the share itself.
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return min(low, share), max(high, share)


def _recall(results: list[CanaryResult]) -> Recall:
    copies = (Outcome.DUPLICATE_EXACT, Outcome.DUPLICATE_NEAR)
    return Recall.of(sum(one.outcome in copies for one in results), len(results))


def _missed(found: int, recall: float) -> float:
    return round(found * (1 - recall) / max(recall, 1e-6), 3)


def _false_drops(
    calibration: Calibration | None, num_candidates: int
) -> tuple[float, float] | None:
    if calibration is None or not calibration.num_images:
        return None
    low, high = wilson_interval(calibration.num_hits, calibration.num_images)
    return round(low * num_candidates, 3), round(high * num_candidates, 3)
