"""A classifier of ImageNet-1k, or of another set, on images unlike those it was trained on.

N images, C classes of the classifier. Nothing is trained on the shifted set. Where several labels
are right, one of them will do; images without a right label are left out. A mask lets only those
classes compete that the shifted set has.
Sources: SEER's released configurations (which sets are masked); Beyer et al. 2020,
arXiv:2006.07159 (ReaL: several right labels, or none); Barbu et al. 2019 (ObjectNet); Newcombe
1998, "Interval estimation for the difference between independent proportions", method 10.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.benchmarks.recipes import Shift
from train_entry.errors import DataError
from train_entry.evaluation import disparity
from train_entry.evaluation.class_statistics import interval, macro_f1
from train_entry.evaluation.corruptions import (
    CORRUPTION,
    SEVERITY,
    corruption_scores,
    has_corruptions,
)
from train_entry.evaluation.linear_probe import fit
from train_entry.evaluation.scores import Features, Score, mean_score

Places = NDArray[np.int64]
Right = Sequence[frozenset[int]]
_IMAGES_AT_ONCE = 4096
_MACRO_F1, _CORRUPTION, _SEVERAL = "macro_f1", "mean_corruption_error", "top1_multi_label"
_NO_LABEL: tuple[Any, ...] = (None, (), [])
_log = logging.getLogger(__name__)


class Classifier(Protocol):
    """What gives a score [N, C] to each class for each image."""

    @property
    def classes(self) -> Sequence[Any]: ...
    def scores(self, part: Features) -> Tensor: ...


def evaluate(recipe: Shift, splits: Mapping[str, Features]) -> list[Score]:
    """Top-1 on the shifted set, after whatever the recipe's metric is, and by group.

    splits: `train`, of the set whose classifier is tested, and `test`; `reference`, if there, is
    that set's own test, and how much less the classifier gets right on `test` is told as `drop`.
    """
    return shifted_scores(recipe, fit(recipe.probe, splits["train"]), splits)


def shifted_scores(
    recipe: Shift, classifier: Classifier, splits: Mapping[str, Features]
) -> list[Score]:
    """As `evaluate`, of a classifier that is there already."""
    test, classes = splits["test"], list(classifier.classes)
    kept = _with_label(test)
    right = right_classes([test.fields["label"][place] for place in kept], classes)
    competing = sorted(frozenset().union(*right)) if recipe.class_mask else None
    predicted_N = predicted_classes(classifier, test, competing)[kept]
    hits_N = _hits(predicted_N, right)
    # Features stay where they are: they may be more than memory.
    told = Features(test.names, {}, test.fields).take(kept)
    whole = mean_score(_SEVERAL if recipe.metric == _SEVERAL else "top1", hits_N)
    scores = [whole]
    if recipe.metric == _CORRUPTION and not has_corruptions(told.fields):
        raise DataError(
            f"{_CORRUPTION}: expected fields {CORRUPTION} and {SEVERITY} of the images, got "
            f"{', '.join(told.fields)}"
        )
    if has_corruptions(told.fields):
        found = corruption_scores(told, hits_N)
        scores = found + scores if recipe.metric == _CORRUPTION else scores + found
    # The first of several right ones; -1 is a class that the classifier does not know.
    true_N = np.array([min(some, default=-1) for some in right], np.int64)
    if recipe.metric == _MACRO_F1:
        scores.insert(0, _macro_f1_score(true_N, predicted_N))
    for group, places in _groups(told.fields.get("split", ())):
        scores.append(mean_score(whole.metric, hits_N[places]).of(group=group))
        if recipe.metric == _MACRO_F1:
            scores.append(_macro_f1_score(true_N[places], predicted_N[places]).of(group=group))
    if "reference" in splits:
        scores += _drop(whole, classifier, splits["reference"], competing, recipe.classes_of)
    return scores


def right_classes(labels: Sequence[Any], classes: Sequence[Any]) -> Right:
    """Which of the classes, by place, are right for each label.

    A label is the name of a class, or its place among sorted names, or a tuple of these. What is
    neither is no class of the classifier, which then cannot be right. Raises DataError if that is
    so of all labels, or for a place beyond the last class.
    """
    place_of = {name: place for place, name in enumerate(classes)}
    # Where classes are numbers themselves, a number is a name.
    by_place = all(isinstance(name, str) for name in classes)

    def place(label: Any) -> int | None:
        if label in place_of or not by_place:
            return place_of.get(label)
        text = str(label)
        if not text.isdecimal():
            return None
        if int(text) >= len(classes):
            raise DataError(f"expected a place among {len(classes)} classes, got {text}")
        return int(text)

    found = []
    for label in labels:
        several = label if isinstance(label, tuple | list) else (label,)
        places = [place(one) for one in several]
        found.append(frozenset(one for one in places if one is not None))
    if labels and not any(found):
        raise DataError(
            f"expected labels that the classifier knows, such as {classes[0]!r}, got {labels[0]!r}"
        )
    return found


def predicted_classes(
    classifier: Classifier, part: Features, competing: Sequence[int] | None
) -> Places:
    """The place of the class [N] with the highest score among the competing ones, None: all."""
    chosen = torch.arange(len(classifier.classes)) if competing is None else torch.tensor(competing)
    found = []
    for begin in range(0, len(part), _IMAGES_AT_ONCE):
        rows = slice(begin, begin + _IMAGES_AT_ONCE)
        # Views, not copies.
        taps = {tap: values[rows] for tap, values in part.taps.items()}
        scores_NC = classifier.scores(Features(part.names[rows], taps, {})).cpu()
        found.append(chosen[scores_NC[:, chosen].argmax(dim=1)])
    places: Places = torch.cat(found).numpy()
    return places


def difference(first: Score, second: Score) -> tuple[float, float]:
    """The interval of how much greater the first of two independent shares is than the second."""
    found = disparity.difference(_estimate(first), _estimate(second))
    return found.low, found.high


def _estimate(score: Score) -> disparity.Estimate:
    low, high = (math.nan if one is None else one for one in (score.low, score.high))
    return disparity.Estimate(score.value, low, high)


def _drop(
    shifted: Score,
    classifier: Classifier,
    reference: Features,
    competing: Sequence[int] | None,
    of: str,
) -> list[Score]:
    """What is lost of the top-1 on the reference, of the same classes if they are masked; that."""
    right = right_classes(reference.fields["label"], list(classifier.classes))
    among = None if competing is None else frozenset(competing)
    hits_N = _hits(predicted_classes(classifier, reference, competing), right)
    counted = [bool(one) and (among is None or not among.isdisjoint(one)) for one in right]
    if not any(counted):
        raise DataError(f"{of}: expected images of the {len(among or ())} classes, got none")
    setting = of if among is None else f"{of}, {len(among)} classes"
    there = mean_score("reference_top1", hits_N[counted]).of(setting=setting)
    low, high = difference(there, shifted)
    lost = there.value - shifted.value
    return [Score("drop", lost, low, high, shifted.num_images, setting=setting), there]


def _with_label(part: Features) -> list[int]:
    """The places of images that have a label; raises DataError if none has."""
    kept = [place for place, one in enumerate(part.fields["label"]) if one not in _NO_LABEL]
    if not kept:
        raise DataError(f"expected images with labels, got {len(part)} without")
    if len(kept) < len(part):
        _log.info("%d of %d images have no right label", len(part) - len(kept), len(part))
    return kept


def _macro_f1_score(true_N: Places, predicted_N: Places) -> Score:
    statistic, num = macro_f1(true_N, predicted_N), len(true_N)
    return Score(_MACRO_F1, statistic(np.ones(num)), *interval(statistic, num, num), num)


def _hits(predicted_N: Places, right: Right) -> NDArray[np.bool_]:
    return np.array([one in some for one, some in zip(predicted_N.tolist(), right, strict=True)])


def _groups(values: Sequence[Any]) -> list[tuple[str, Places]]:
    named = np.array([str(one) for one in values])
    return [(str(name), np.flatnonzero(named == name)) for name in np.unique(named)]
