"""How differently groups of people are served: differences, ratios, and their 95 % intervals.

A difference's interval follows from those of the groups' means (MOVER): where these do not shrink
to nothing at 0 and 1, nor does it, as resampling would. The observed spread of the best and the
worst of several groups is above the true one, and exists where there is none; drawing again adds to
that. Its interval is therefore what all pairs at once leave possible, and starts at 0 unless some
pair differs; it covers the true spread at least as often as 95 %.
Source: Newcombe 1998 (two shares); Zou & Donner 2008, doi:10.1002/sim.3095 (any means); Kramer 1956
(all pairs at once).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import studentized_range  # type: ignore[import-untyped]  # it has no types

from schemas.certificate import Z_95
from train_entry.evaluation.intervals import Clusters, mean_interval, share_interval

Values = Sequence[float] | NDArray[Any]
Groups = Mapping[str, Values]
ClustersOfGroups = Mapping[str, Clusters | None]


class Estimate(NamedTuple):
    """A value with its interval, of 95 % unless said otherwise."""

    value: float
    low: float
    high: float


def group_mean(values: Values, clusters: Clusters | None = None, *, z: float = Z_95) -> Estimate:
    """A group's mean. clusters: of each value, whom it belongs to; for values of 0 and 1 alone.

    z: standard errors to each side. Raises ValueError for no values.
    """
    found = np.asarray(values, np.float64)
    if not len(found):
        raise ValueError("expected a value or more of each group, got none")
    if clusters is None:
        return Estimate(float(found.mean()), *mean_interval(found, z=z))
    if not np.isin(found, (0.0, 1.0)).all():
        raise ValueError("clusters: expected values of 0 and 1, got others")
    return Estimate(float(found.mean()), *share_interval(found, clusters, z=z))


def contrast(weighted: Sequence[tuple[float, Estimate]]) -> Estimate:
    """A sum of independent estimates, each times its weight, such as a difference: 1 and -1."""
    value = sum(weight * one.value for weight, one in weighted)
    below = above = 0.0
    for weight, one in weighted:
        ends = sorted((weight * one.low, weight * one.high))
        below += max(weight * one.value - ends[0], 0.0) ** 2
        above += max(ends[1] - weight * one.value, 0.0) ** 2
    return Estimate(value, value - math.sqrt(below), value + math.sqrt(above))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """The first less the second, of different people."""
    return contrast([(1.0, first), (-1.0, second)])


def spread(values_by_group: Groups, clusters_by_group: ClustersOfGroups | None = None) -> Estimate:
    """The greatest mean of a group less the smallest, 0 of a single group.

    Raises ValueError if there is no group, or one without values.
    """
    means = _at_once(values_by_group, clusters_by_group)
    values = [one.value for one in means]
    pairs = [difference(first, second) for first, second in permutations(means, 2)]
    return Estimate(
        max(values) - min(values),
        max((pair.low for pair in pairs if pair.low > 0), default=0.0),
        max((pair.high for pair in pairs), default=0.0),
    )


def ratio(values_by_group: Groups, clusters_by_group: ClustersOfGroups | None = None) -> Estimate:
    """The smallest mean of a group by the greatest, 0 to 1; of means of 0 and more.

    1 means that all are served alike. Not a number, and possibly anything, if all means are 0.
    """
    means = _at_once(values_by_group, clusters_by_group)
    values = [one.value for one in means]
    pairs = [_quotient(first, second) for first, second in permutations(means, 2)]
    return Estimate(
        min(values) / max(values) if max(values) > 0 else math.nan,
        min((pair.low for pair in pairs), default=1.0),
        min((pair.high for pair in pairs if pair.high < 1), default=1.0),
    )


def against_others(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Of each group, its value less the mean of the values of the others; signed.

    Raises ValueError for fewer than two groups.
    """
    others = len(estimates) - 1
    if others < 1:
        raise ValueError(f"expected two groups or more, got {', '.join(estimates) or 'none'}")
    return {
        name: contrast(
            [(1.0 if one == name else -1.0 / others, found) for one, found in estimates.items()]
        )
        for name in estimates
    }


def _at_once(values_by_group: Groups, clusters_by_group: ClustersOfGroups | None) -> list[Estimate]:
    """The groups' means, with limits that hold for the differences of all pairs at once."""
    if not values_by_group:
        raise ValueError("expected a group or more, got none")
    z = _reach(len(values_by_group))
    clusters = clusters_by_group or {}
    return [group_mean(values, clusters.get(name), z=z) for name, values in values_by_group.items()]


@cache
def _reach(num_groups: int) -> float:
    """Standard errors within which all differences of so many means lie 95 times of 100."""
    if num_groups < 3:
        return Z_95
    return float(studentized_range.ppf(0.95, num_groups, np.inf)) / math.sqrt(2)


def _quotient(first: Estimate, second: Estimate) -> Estimate:
    """The first by the second, through their logarithms; up to infinity if the second may be 0."""
    logarithms = [_through(math.log, one) for one in (first, second) if one.low > 0]
    if len(logarithms) == 2:
        return _through(math.exp, difference(*logarithms))
    # An interval that starts at 0 has no logarithm there: both ends at their worst instead.
    high = first.high / second.low if second.low > 0 else math.inf
    value = first.value / second.value if second.value > 0 else math.nan
    return Estimate(value, first.low / second.high if second.high > 0 else 0.0, high)


def _through(function: Callable[[float], float], estimate: Estimate) -> Estimate:
    return Estimate(*(function(one) for one in estimate))
