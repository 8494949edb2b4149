"""Mean corruption error: how much a classifier errs on damaged images, AlexNet's errors being 1.

N images, damaged ones counted each.
Source: Hendrycks & Dietterich 2019, arXiv:1903.12261, section 4.1.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train_entry.errors import DataError
from train_entry.evaluation.intervals import mean_interval
from train_entry.evaluation.scores import Features, Score, mean_score

CORRUPTION, SEVERITY = "corruption", "severity"
SEVERITIES = (1, 2, 3, 4, 5)
# The top-1 error of AlexNet, mean over five severities, as the authors' github.com/hendrycks/
# robustness has it; checked against its errors by severity, whose means these are.
ALEXNET_ERRORS = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}


def corruption_scores(part: Features, hits_N: NDArray[np.bool_]) -> list[Score]:
    """The mean corruption error first, then each corruption's, then top-1 by corruption, severity.

    hits_N: whether each image was classified right. The setting says how many of the 15 corruptions
    are there; the four extra ones have no part in the mean. Intervals draw whole originals, with
    all their damaged versions. Raises DataError if a corruption lacks a severity.
    """
    kinds = np.array([str(one) for one in part.fields[CORRUPTION]])
    severities = _severities(part.fields[SEVERITY])
    originals = np.unique([PurePath(name).name for name in part.names], return_inverse=True)[1]
    errors_N = (~hits_N).astype(np.float64)
    known = [kind for kind in ALEXNET_ERRORS if (kinds == kind).any()]
    by_kind = {kind: _weights(kinds == kind, severities, kind) for kind in known}
    scores = [
        _weighted("corruption_error", errors_N, weights, originals).of(group=kind)
        for kind, weights in by_kind.items()
    ]
    if known:
        mean_N = sum(by_kind.values(), np.zeros(len(part))) / len(known)
        setting = f"{len(known)} of {len(ALEXNET_ERRORS)} corruptions"
        whole = _weighted("mean_corruption_error", errors_N, mean_N, originals)
        scores.insert(0, whole.of(setting=setting))
    groups = [(str(kind), kinds == kind) for kind in np.unique(kinds)]
    groups += [(f"severity {one}", severities == one) for one in np.unique(severities)]
    return scores + [mean_score("top1", hits_N[some]).of(group=name) for name, some in groups]


def has_corruptions(fields: Mapping[str, Sequence[Any]]) -> bool:
    """Whether it is known what was done to each image, and how much."""
    return CORRUPTION in fields and SEVERITY in fields


def _severities(values: Sequence[Any]) -> NDArray[np.int64]:
    try:
        return np.array([int(one) for one in values], np.int64)
    except (TypeError, ValueError) as error:
        raise DataError(f"severity: expected whole numbers: {error}") from error


def _weights(
    chosen_N: NDArray[np.bool_], severities: NDArray[np.int64], kind: str
) -> NDArray[np.float64]:
    """With what each image's error counts: the mean of all severities, AlexNet's being 1."""
    found = sorted({int(one) for one in severities[chosen_N]})
    if found != list(SEVERITIES):
        raise DataError(
            f"{kind}: expected severities 1 to 5, as AlexNet's errors are the mean of, got "
            f"{', '.join(map(str, found))}"
        )
    weights_N = np.zeros(len(chosen_N))
    for severity in SEVERITIES:
        these = chosen_N & (severities == severity)
        weights_N[these] = 1 / (these.sum() * len(SEVERITIES) * ALEXNET_ERRORS[kind])
    return weights_N


def _weighted(
    metric: str,
    errors_N: NDArray[np.float64],
    weights_N: NDArray[np.float64],
    originals: NDArray[np.int64],
) -> Score:
    """A weighted sum of errors as a mean over originals, so that these can be drawn."""
    counted = weights_N > 0
    units = np.unique(originals[counted], return_inverse=True)[1]
    sums = np.bincount(units, (errors_N * weights_N)[counted]).astype(np.float64)
    low, high = mean_interval(sums * len(sums))
    return Score(metric, float(sums.sum()), low, high, int(counted.sum()))
