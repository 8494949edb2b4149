"""What is told of classified images beside shares: means over classes, agreement, rankings.

N images, K classes, M kinds of (right, predicted) pairs that occur. Each statistic is a function of
how often each image was drawn, so that the bootstrap need not classify or sort again.
Sources: Cohen 1968 (weighted kappa); Hanley & McNeil 1982 (the area as a share of pairs);
Everingham et al. 2010, doi:10.1007/s11263-009-0275-4, as VOC has it since 2010 (average precision).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from schemas.certificate import wilson_interval
from train_entry.evaluation.intervals import bootstrap

Places = NDArray[np.int64]
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]
# Of the number of times [N] that each image was drawn.
Statistic = Callable[[Values], float]


def interval(statistic: Statistic, num: int, trials: int) -> tuple[float, float]:
    """The 95 % interval by the bootstrap over N images.

    Where no draw differs, as if all is right, it is Wilson's of so many trials: the images, or
    those of the rarer class.
    """
    low, high = bootstrap(lambda drawn: statistic(_counts(drawn, num)), num)
    if low == high and 0 <= low <= 1:
        return wilson_interval(low * trials, trials)
    return low, high


def _counts(drawn: Places, num: int) -> Values:
    return np.bincount(drawn, minlength=num).astype(np.float64)


class _Pairs:
    """The pairs of right and predicted class that occur, [M] each, and which pair an image is."""

    def __init__(self, right_N: Places, predicted_N: Places) -> None:
        # Classes that are not known, -1 and below, stand behind the others; nobody predicts them.
        known = int(max(right_N.max(), predicted_N.max())) + 1
        self.num = known - min(int(right_N.min()), 0)
        codes = np.where(right_N < 0, known - 1 - right_N, right_N) * self.num + predicted_N
        found, self.of_image = np.unique(codes, return_inverse=True)
        self.right, self.predicted = np.divmod(found, self.num)
        self.hit = self.right == self.predicted

    def weights(self, counts_N: Values) -> Values:
        return np.bincount(self.of_image, counts_N, len(self.hit)).astype(np.float64)

    def by_class(self, classes_M: Places, weights_M: Values) -> Values:
        return np.bincount(classes_M, weights_M, self.num).astype(np.float64)


def mean_per_class(right_N: Places, predicted_N: Places) -> Statistic:
    """The mean, over classes that are there, of the share of a class's images that are right.

    Classes that the classifier does not know, below 0, count too: none of their images is right.
    """
    pairs = _Pairs(right_N, predicted_N)

    def statistic(counts_N: Values) -> float:
        weights_M = pairs.weights(counts_N)
        hits = pairs.by_class(pairs.right, weights_M * pairs.hit)
        there = pairs.by_class(pairs.right, weights_M)
        return float((hits[there > 0] / there[there > 0]).mean())

    return statistic


def macro_f1(right_N: Places, predicted_N: Places) -> Statistic:
    """The mean F1 of the classes that are right for some image, as WILDS has it."""
    pairs = _Pairs(right_N, predicted_N)

    def statistic(counts_N: Values) -> float:
        weights_M = pairs.weights(counts_N)
        hits = pairs.by_class(pairs.right, weights_M * pairs.hit)
        there = pairs.by_class(pairs.right, weights_M)
        said = pairs.by_class(pairs.predicted, weights_M)
        return float((2 * hits / np.maximum(there + said, 1))[there > 0].mean())

    return statistic


def quadratic_kappa(right_N: Places, predicted_N: Places) -> Statistic:
    """Agreement of grades beyond chance, errors weighted by squared distance; at most 1.

    Grades are the places of their classes; all are known. No number if there is only one.
    """
    right, predicted = right_N.astype(np.float64), predicted_N.astype(np.float64)
    squares_N = (right - predicted) ** 2

    def statistic(counts_N: Values) -> float:
        total = counts_N.sum()
        # The mean squared distance of a right and a predicted grade that are drawn independently.
        chance = (counts_N @ right**2 + counts_N @ predicted**2) / total
        chance -= 2 * (counts_N @ right) * (counts_N @ predicted) / total**2
        # Of one grade alone this is nothing but rounding.
        return float(1 - (counts_N @ squares_N) / total / chance) if chance > 1e-9 else np.nan

    return statistic


def roc_auc(positive_N: Mask, scores_N: Values) -> Statistic:
    """The share of pairs of a positive and a negative of which the positive scores more.

    Equal scores are half a pair. No number if there are only positives or only negatives.
    """
    order = np.argsort(scores_N, kind="stable")
    positive = positive_N[order]
    rank = _tie_groups(scores_N[order])

    def statistic(counts_N: Values) -> float:
        counts = counts_N[order]
        positives = np.bincount(rank, counts * positive)
        negatives = np.bincount(rank, counts * ~positive)
        pairs = positives.sum() * negatives.sum()
        below = np.cumsum(negatives) - negatives / 2
        return float(positives @ below / pairs) if pairs else np.nan

    return statistic


def _tie_groups(sorted_N: Values) -> Places:
    """A number from 0 for each distinct value, in order."""
    steps = np.diff(sorted_N, prepend=sorted_N[:1]) != 0
    numbers: Places = np.cumsum(steps)
    return numbers


def average_precision(
    scores_NK: Values, shown_NK: Mask, counted_NK: Mask
) -> Callable[[Values], Values]:
    """The average precision [K] of each class's ranking, of how often each image was drawn.

    It is the area below the curve of precision by recall, made to fall: at each recall the best
    precision at that or a higher one. This is what VOC has since 2010 and VISSL for VOC 2007, not
    the mean at 11 recalls of 2007, nor scikit-learn's, which does not make it fall. Images that are
    not counted, those of difficult objects, are left out of the class's ranking. Images of equal
    scores enter together. No number for a class that no image shows.
    """
    order_KN = np.argsort(-scores_NK, axis=0, kind="stable").T
    ranked_KN = np.take_along_axis(scores_NK.T, order_KN, axis=1)
    shown_KN = np.take_along_axis((shown_NK & counted_NK).T, order_KN, axis=1)
    counted_KN = np.take_along_axis(counted_NK.T, order_KN, axis=1)
    last_KN = np.ones_like(shown_KN)
    last_KN[:, :-1] = ranked_KN[:, :-1] != ranked_KN[:, 1:]

    def statistic(counts_N: Values) -> Values:
        counts_KN = counts_N[order_KN]
        hits_KN = counts_KN * shown_KN
        found_KN = np.cumsum(counts_KN * counted_KN, axis=1)
        precision_KN = np.cumsum(hits_KN, axis=1) / np.maximum(found_KN, 1)
        precision_KN *= last_KN
        falling_KN = np.maximum.accumulate(precision_KN[:, ::-1], axis=1)[:, ::-1]
        positives_K = hits_KN.sum(axis=1)
        areas_K = np.full(len(hits_KN), np.nan)
        there = positives_K > 0
        areas_K[there] = (hits_KN * falling_KN).sum(axis=1)[there] / positives_K[there]
        return areas_K

    return statistic
