"""Figures of images that were classified, from a score of each class for each image.

N images, K classes. Which class is right is told by its place, int64 [N], below 0 for one that
the classifier does not know, which is then wrong; or, where several are right, by a mask [N, K].
"""

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from train_entry.errors import ConfigError, DataError
from train_entry.evaluation.class_statistics import (
    Mask,
    Places,
    Statistic,
    Values,
    average_precision,
    interval,
    macro_f1,
    mean_per_class,
    quadratic_kappa,
    roc_auc,
)
from train_entry.evaluation.intervals import mean_interval
from train_entry.evaluation.scores import Score, mean_score

TOP1, TOP1_MULTI_LABEL, WORST_GROUP = "top1", "top1_multi_label", "worst_group"
ROC_AUC, KAPPA, MAP, AVERAGE_PRECISION = "roc_auc", "quadratic_kappa", "map", "average_precision"
_OF_PAIRS = {"mean_per_class": mean_per_class, "macro_f1": macro_f1, KAPPA: quadratic_kappa}
# `map` is of rankings of images, not of classes: `average_precision_scores`.
METRICS = (TOP1, TOP1_MULTI_LABEL, WORST_GROUP, ROC_AUC, *_OF_PAIRS)
_TOP = 5
# Whoever or whatever this is said of is in no group.
_UNTOLD = frozenset({"", "None", "nan"})
Fields = Mapping[str, Sequence[Any]]


def classification_scores(
    metric: str,
    scores_NK: Tensor,
    right: Places | Mask,
    fields: Fields,
    group_by: Sequence[str] = (),
) -> list[Score]:
    """The metric first, then top-1 and, of more than five classes, top-5, then figures by group.

    fields: of the images; group_by: those whose values are groups, whose figures are of the metric,
    of top-1 where that is a share. Raises ConfigError for a metric that is none of `METRICS`, and
    DataError if there are no images, a field is missing, or the metric has no value.
    """
    found = _Classified.of(metric, scores_NK, right)
    groups = groups_of(fields, group_by, len(right))
    if metric == WORST_GROUP:
        scores = [worst_group_score(found.hits, groups), mean_score(TOP1, found.hits)]
    elif metric in (TOP1, TOP1_MULTI_LABEL):
        scores = [found.score()]
    else:
        scores = [found.score(), mean_score(TOP1, found.hits)]
    if scores_NK.shape[1] > _TOP:
        scores.append(mean_score(f"top{_TOP}", found.top_hits))
    for group, places in groups.items():
        some = found.take(places)
        if np.isfinite(some.value()):
            scores.append(some.score().of(group=group))
    return scores


def classification_value(
    metric: str,
    scores_NK: Tensor,
    right: Places | Mask,
    fields: Fields,
    group_by: Sequence[str] = (),
) -> float:
    """The metric alone, without its interval: to choose by. Raises as `classification_scores`."""
    found = _Classified.of(metric, scores_NK, right)
    if metric == WORST_GROUP:
        groups = groups_of(fields, group_by, len(right))
        return worst_group_score(found.hits, groups).value
    return found.value()


class _Classified(NamedTuple):
    """What became of each image, [N]. positive: scores of the second of two classes."""

    metric: str
    right: Places
    predicted: Places
    hits: Mask
    top_hits: Mask
    positive: Values | None

    @classmethod
    def of(cls, metric: str, scores_NK: Tensor, right: Places | Mask) -> "_Classified":
        """Raises ConfigError for a metric, and DataError for images, that cannot be."""
        _check(metric, scores_NK, right)
        order = scores_NK.topk(min(_TOP, scores_NK.shape[1]), dim=1).indices.cpu().numpy()
        # The first of equal scores, which `topk` does not promise.
        predicted_N = scores_NK.argmax(dim=1).cpu().numpy()
        if right.ndim == 1:
            hits_N, top_hits_N = predicted_N == right, (order == right[:, None]).any(axis=1)
        else:
            hits_N = np.take_along_axis(right, predicted_N[:, None], axis=1)[:, 0]
            top_hits_N = np.take_along_axis(right, order, axis=1).any(axis=1)
        positive_N = None
        if metric == ROC_AUC:
            wide_NK = scores_NK.double().cpu().numpy()
            positive_N = wide_NK[:, 1] - wide_NK[:, 0]
        # No statistic is of masks, whose images have no one right class.
        right_N = np.array(right if right.ndim == 1 else np.zeros(len(right)), np.int64)
        return cls(metric, right_N, predicted_N, hits_N, top_hits_N, positive_N)

    def take(self, places: Places) -> "_Classified":
        """Some of the images."""
        positive = None if self.positive is None else self.positive[places]
        right, predicted = self.right[places], self.predicted[places]
        hits, top_hits = self.hits[places], self.top_hits[places]
        return _Classified(self.metric, right, predicted, hits, top_hits, positive)

    def statistic(self) -> Statistic | None:
        """The metric by how often each image is drawn; None if it is a share of hits."""
        if self.metric in _OF_PAIRS:
            return _OF_PAIRS[self.metric](self.right, self.predicted)
        if self.positive is not None:
            return roc_auc(self.right == 1, self.positive)
        return None

    def value(self) -> float:
        statistic = self.statistic()
        return float(self.hits.mean()) if statistic is None else statistic(np.ones(len(self.hits)))

    def score(self) -> Score:
        """The metric with its interval; top-1 if it is that of a worst group."""
        statistic, num = self.statistic(), len(self.hits)
        if statistic is None:
            return mean_score(TOP1 if self.metric == WORST_GROUP else self.metric, self.hits)
        value = statistic(np.ones(num))
        if not np.isfinite(value):
            raise DataError(f"{self.metric}: expected images of several classes, got {num} of one")
        positives = int((self.right == 1).sum())
        trials = min(positives, num - positives) if self.metric == ROC_AUC else num
        return Score(self.metric, value, *interval(statistic, num, trials), num)


def _check(metric: str, scores_NK: Tensor, right: Places | Mask) -> None:
    num, num_classes = scores_NK.shape
    if metric not in METRICS:
        raise ConfigError(f"metric: expected one of {', '.join(METRICS)}, got {metric!r}")
    if not num or len(right) != num:
        raise DataError(f"expected images and a label of each, got {num} and {len(right)}")
    if (right.ndim == 2) != (metric == TOP1_MULTI_LABEL):
        raise DataError(f"{metric}: expected {'one class' if right.ndim == 2 else 'all classes'}")
    if metric == ROC_AUC and num_classes != 2:
        raise DataError(f"{metric}: expected 2 classes, got {num_classes}")
    if metric in (ROC_AUC, KAPPA) and (right < 0).any():
        raise DataError(f"{metric}: expected labels that the training images have, got others")


def groups_of(fields: Fields, group_by: Sequence[str], num: int) -> dict[str, Places]:
    """The places of the images of each group, by its name; of several fields, with the field's.

    Images of which a field tells nothing are in no group of it. Raises DataError if it is missing.
    """
    groups: dict[str, Places] = {}
    for field in group_by:
        if field not in fields:
            raise DataError(
                f"{field}: expected this field of {num} images, got {', '.join(fields)}"
            )
        values = np.array([str(one) for one in fields[field]])
        for value in np.unique(values).tolist():
            if value not in _UNTOLD:
                name = value if len(group_by) == 1 else f"{field} {value}"
                groups[name] = np.flatnonzero(values == value)
    return groups


def worst_group_score(hits_N: Mask, groups: Mapping[str, Places]) -> Score:
    """The least top-1 of a group; the setting says which group it is.

    The group that looks worst is not always the one that is. The interval is what the intervals of
    all groups leave possible, which are wide enough to hold at once, as independent ones (Šidák).
    Raises DataError if there are no groups.
    """
    if not groups:
        raise DataError(
            "worst_group: expected groups of images, got none; name a field in group_by"
        )
    z = NormalDist().inv_cdf((1 + 0.95 ** (1 / len(groups))) / 2)
    ends = np.array([mean_interval(hits_N[places], z=z) for places in groups.values()])
    values = {name: float(hits_N[places].mean()) for name, places in groups.items()}
    worst = min(values, key=lambda name: values[name])
    low, high = ends.min(axis=0).tolist()
    setting = f"worst of {len(groups)} groups: {worst}"
    return Score(WORST_GROUP, values[worst], low, high, len(hits_N), setting=setting)


def average_precision_scores(
    scores_NK: Tensor,
    shown_NK: Mask,
    ignored_NK: Mask,
    classes: Sequence[Any],
    *,
    by_class: bool = True,
) -> list[Score]:
    """The mean average precision, then each class's; `average_precision` says which one.

    ignored_NK: images that do not count for a class. Classes that no counted image shows have no
    part in the mean. Raises DataError if that is so of all.
    """
    columns = np.flatnonzero((shown_NK & ~ignored_NK).any(axis=0))
    if not len(columns):
        raise DataError(f"expected images that show one of {len(classes)} classes, got none")
    wide_NK = scores_NK.double().cpu().numpy()[:, columns]
    shown_NK, counted_NK = shown_NK[:, columns], ~ignored_NK[:, columns]
    scores = [_mean_average_precision(MAP, wide_NK, shown_NK, counted_NK)]
    for place, column in enumerate(columns.tolist() if by_class else ()):
        one = slice(place, place + 1)
        score = _mean_average_precision(
            AVERAGE_PRECISION, wide_NK[:, one], shown_NK[:, one], counted_NK[:, one]
        )
        scores.append(score.of(group=str(classes[column])))
    return scores


def _mean_average_precision(
    metric: str, scores_NK: Values, shown_NK: Mask, counted_NK: Mask
) -> Score:
    of_classes = average_precision(scores_NK, shown_NK, counted_NK)
    num, num_positives = len(scores_NK), int((shown_NK & counted_NK).sum(axis=0).min())

    def statistic(counts_N: Values) -> float:
        values_K = of_classes(counts_N)
        there = np.isfinite(values_K)
        return float(values_K[there].mean()) if there.any() else np.nan

    value = statistic(np.ones(num))
    return Score(metric, value, *interval(statistic, num, num_positives), num)


def classes_of(labels: Sequence[Any]) -> list[Any]:
    """The classes, sorted; raises DataError unless images have one each, and there are two."""
    wrong = next((one for one in labels if one is None or isinstance(one, tuple | list)), ...)
    if wrong is not ...:
        raise DataError(f"label: expected one class an image, got {wrong!r}")
    classes = sorted(set(labels))
    if len(classes) < 2:
        raise DataError(f"label: expected images of 2 classes or more, got {classes}")
    return classes


def places_of_labels(labels: Sequence[Any], classes: Sequence[Any]) -> NDArray[np.int64]:
    """The place [N] of each label among the classes; those that are not there are -1, -2, ...

    Raises DataError if none is there: no score of the classifier would mean anything.
    """
    place_of = {name: place for place, name in enumerate(classes)}
    strangers: dict[Any, int] = {}
    for label in labels:
        if label not in place_of:
            strangers.setdefault(label, -1 - len(strangers))
    if len(labels) and not place_of.keys() & set(labels):
        raise DataError(
            f"label: expected classes of the training images, such as {classes[0]!r}, got "
            f"{', '.join(map(repr, list(strangers)[:3]))}"
        )
    place_of |= strangers
    return np.array([place_of[label] for label in labels], np.int64)
