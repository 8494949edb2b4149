"""Linear support vector machines on frozen features, one a class, for images that show several.

N images, M test images, D dimensions, R <= N of a rotated space, K classes.
Sources: Goyal et al. 2022, arXiv:2202.08360, after Owens et al. 2016 and Goyal et al. 2019,
arXiv:1905.01235; VISSL's code: positives weigh twice, features are scaled to length 1, the cost of
each class is the one with the best average precision (scikit-learn's) in three folds. In training
an object that is difficult is not there; in tests its images do not count for its class.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC
from torch import Tensor, from_numpy

from schemas.benchmarks.recipes import Svm
from train_entry.errors import DataError
from train_entry.evaluation.class_statistics import Mask
from train_entry.evaluation.classification import average_precision_scores
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.taps import best_tap, features_of, scores_of_taps, usable_taps

Rows = NDArray[np.float64]
_DIFFICULT = "difficult"
# VISSL's.
_CLASS_WEIGHT, _MAX_ITERATIONS, _LEAST_LENGTH = {True: 2, False: 1}, 2000, 1e-5
# Directions in which the training images do not differ by more than rounding.
_LEAST_EIGENVALUE = 1e-9
_COLUMNS_AT_ONCE = 4096
_MAX_THREADS = 8


def evaluate(recipe: Svm, splits: Mapping[str, Features]) -> list[Score]:
    """The mean average precision of the best tap on `test`, that of each class, then each tap's.

    The best is that on `val` if it is there, else that on the test set itself, as published. A
    label is a class or a tuple of them; `difficult`, if there, a tuple of classes that do not
    count. Raises DataError if a class is not to be learned, or not known from training.
    """
    train = splits["train"]
    classes = sorted({one for label in train.fields["label"] for one in several(label)})
    shown_NK = shown_classes(train.fields["label"], classes, "train")
    ranked: dict[str, dict[str, _Ranked]] = {"test": {}, "val": {}}
    for tap in usable_taps(recipe.taps, train):
        roles = [role for role in ranked if role in splits]
        parts = [features_of(splits[role], tap) for role in roles]
        told = class_scores(recipe, features_of(train, tap), shown_NK, parts)
        for role, scores_MK in zip(roles, told, strict=True):
            ranked[role][tap] = _ranked(splits[role], classes, role, scores_MK)
    found, on_val = (
        {tap: average_precision_scores(*one, classes, by_class=False) for tap, one in some.items()}
        for some in ranked.values()
    )
    values = {tap: scores[0].value for tap, scores in on_val.items()} or None
    best = best_tap({tap: scores[0].value for tap, scores in found.items()}, values)
    found[best] = average_precision_scores(*ranked["test"][best], classes)
    return scores_of_taps(found, values)


class _Ranked(NamedTuple):
    """Scores of a part's images, what they show, and what does not count of that, [M, K]."""

    scores: Tensor
    shown: Mask
    ignored: Mask


def _ranked(part: Features, classes: Sequence[Any], role: str, scores_MK: Tensor) -> _Ranked:
    shown_MK = shown_classes(part.fields["label"], classes, role)
    difficult = part.fields.get(_DIFFICULT, [()] * len(part))
    ignored_MK = shown_classes(difficult, classes, role)
    # An object that is difficult beside one that is not counts.
    return _Ranked(scores_MK, shown_MK, ignored_MK & ~shown_MK)


def several(label: Any) -> tuple[Any, ...]:
    """The classes that a label tells."""
    if label is None:
        return ()
    return tuple(label) if isinstance(label, tuple | list) else (label,)


def shown_classes(labels: Sequence[Any], classes: Sequence[Any], of: str) -> Mask:
    """Which classes each image shows; raises DataError for one that is not among them."""
    place_of = {name: place for place, name in enumerate(classes)}
    shown_NK = np.zeros((len(labels), len(classes)), bool)
    for image, label in enumerate(labels):
        for one in several(label):
            if one not in place_of:
                raise DataError(f"{of}: expected classes of the training images, got {one!r}")
            shown_NK[image, place_of[one]] = True
    return shown_NK


def class_scores(
    recipe: Svm, train: Tensor, shown_NK: Mask, parts: Sequence[Tensor]
) -> list[Tensor]:
    """How far on each class's side the images of each part are [M, K]; trained on `train`."""
    train_NR, others = rotated(train, parts)
    # The solver for the plain hinge draws from one generator, which threads would share.
    threads = min(_MAX_THREADS, os.cpu_count() or 1) if recipe.loss == "squared_hinge" else 1

    def of_class(column: int) -> list[Rows]:
        machine = fit_machine(recipe, train_NR, shown_NK[:, column])
        return [machine.decision_function(one) for one in others]

    with ThreadPoolExecutor(threads) as pool:
        columns = list(pool.map(of_class, range(shown_NK.shape[1])))
    return [from_numpy(np.stack(one, axis=1)) for one in zip(*columns, strict=True)]


def fit_machine(recipe: Svm, features_NR: Rows, positive_N: Mask) -> LinearSVC:
    """The machine of one class, with the best of the costs in a cross-validation.

    A class with fewer images than folds cannot be validated, and has the first of the costs.
    Raises DataError if all images or none of them show the class.
    """
    rarer = min(int(positive_N.sum()), int((~positive_N).sum()))
    if not rarer:
        raise DataError(f"expected images with and without each class, got {len(positive_N)} alike")
    machines = [_machine(recipe, cost) for cost in recipe.costs]
    if len(machines) == 1 or rarer < recipe.folds:
        return machines[0].fit(features_NR, positive_N)
    values = [
        cross_val_score(
            one, features_NR, positive_N, cv=recipe.folds, scoring="average_precision"
        ).mean()
        for one in machines
    ]
    return machines[int(np.argmax(values))].fit(features_NR, positive_N)


def _machine(recipe: Svm, cost: float) -> LinearSVC:
    return LinearSVC(
        C=cost,
        loss=recipe.loss,
        # The primal problem has the same solution, and its solver no randomness.
        dual=recipe.loss == "hinge",
        class_weight=_CLASS_WEIGHT,
        max_iter=_MAX_ITERATIONS,
        random_state=recipe.seed,
    )


def rotated(train: Tensor, parts: Sequence[Tensor]) -> tuple[Rows, list[Rows]]:
    """Features scaled to length 1, in at most as many dimensions as there are training images.

    A machine's weights are sums of training images; turned so that these have no other dimensions,
    it is the same machine, and a row of 56,560 numbers is one of 5011.
    """
    train_ND = train.flatten(1)
    num, dimensions = train_ND.shape
    if dimensions <= num:
        return _scaled(train_ND), [_scaled(one.flatten(1)) for one in parts]
    lengths = [_lengths(one.flatten(1)) for one in (train, *parts)]
    products = [
        _products(one.flatten(1), train_ND) / np.outer(length, lengths[0])
        for one, length in zip((train, *parts), lengths, strict=True)
    ]
    eigenvalues, vectors_NR = np.linalg.eigh(products[0])
    kept = eigenvalues > _LEAST_EIGENVALUE * eigenvalues[-1]
    turn_NR = vectors_NR[:, kept] / np.sqrt(eigenvalues[kept])
    train_NR, *others = (np.ascontiguousarray(one @ turn_NR) for one in products)
    return train_NR, others


def _scaled(features_ND: Tensor) -> Rows:
    features = features_ND.double().numpy()
    return np.ascontiguousarray(features / _lengths(features_ND)[:, None])


def _lengths(features_ND: Tensor) -> Rows:
    squares = np.zeros(len(features_ND))
    for some in features_ND.split(_COLUMNS_AT_ONCE, dim=1):
        squares += some.double().square().sum(dim=1).numpy()
    return np.sqrt(squares) + _LEAST_LENGTH


def _products(first_MD: Tensor, second_ND: Tensor) -> Rows:
    """All dot products [M, N], exact to double precision."""
    found = np.zeros((len(first_MD), len(second_ND)))
    columns = zip(
        first_MD.split(_COLUMNS_AT_ONCE, dim=1),
        second_ND.split(_COLUMNS_AT_ONCE, dim=1),
        strict=True,
    )
    for first, second in columns:
        found += (first.double() @ second.double().T).numpy()
    return found
