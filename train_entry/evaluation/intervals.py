"""95 % intervals: of shares, of means, and of anything by the bootstrap; all of them seeded.

N units (images, queries, people) that were drawn independently, or in clusters.
Source: Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapters 12 (bootstrap-t) and
14 (BCa); Hesterberg 2015, arXiv:1411.5279, section 4.3 (small samples); Wilson 1927; Franco et al.
2019, doi:10.1093/jssam/smy019 (shares of clusters). What they cover is tested by simulation.
"""

from collections.abc import Callable, Hashable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # type: ignore[import-untyped]  # it has no types

from schemas.certificate import Z_95, wilson_interval

Places = NDArray[np.int64]
Values = NDArray[np.float64]
Interval = tuple[float, float]
Clusters = Sequence[Hashable] | NDArray[Any]
ROUNDS = 1000
_TAIL = 0.025
# Numbers drawn at once: 16 MiB of places, and twice that of values.
_DRAWN_AT_ONCE = 1 << 22
# So few distinct values are drawn by their counts, whatever the number of units.
_FEW = 256
# Of so many units, a correction for skewness that is smaller than the error of ROUNDS draws, in
# standard errors, is not worth the draws.
_MANY = 1000
_SMALL_CORRECTION = 0.05
# A draw with less spread than this part of the sample's has missed its few outliers.
_LEAST_SPREAD = 0.25
_JACKKNIFE_GROUPS = 100
_NORMAL = NormalDist()


def mean_interval(
    values: NDArray[Any], *, rounds: int = ROUNDS, seed: int = 0, z: float = Z_95
) -> Interval:
    """The interval of a mean: Wilson's of 0 and 1, the studentised bootstrap of other values.

    It stays within 0 to 1 if all values do. Where the values do not differ, and there is nothing to
    resample, it is Wilson's of as many trials, which is wide enough for all values from 0 to 1.
    z: standard errors to each side, if not 95 %; the bootstrap's limits are moved in proportion.
    """
    values = np.asarray(values, np.float64)
    if np.isin(values, (0.0, 1.0)).all():
        return wilson_interval(float(values.sum()), len(values), z)
    mean, within = float(values.mean()), bool((values >= 0).all() and (values <= 1).all())
    if np.ptp(values) <= 1e-12 * abs(mean):
        return wilson_interval(mean * len(values), len(values), z) if within else (mean, mean)
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    below, above = _studentised(values, rounds, seed) if _skewed(values) else (-Z_95, Z_95)
    limits = mean - np.array([above, below]) * error * z / Z_95
    return _ordered(limits.clip(0, 1) if within else limits)


def _skewed(values: Values) -> bool:
    """Whether a normal would not do; the correction is the first of Edgeworth's."""
    num = len(values)
    skewness = float((((values - values.mean()) / values.std()) ** 3).mean())
    correction = abs(skewness) * (2 * Z_95**2 + 1) / (6 * num**0.5)
    return num < _MANY or correction > _SMALL_CORRECTION


def _studentised(values: Values, rounds: int, seed: int) -> Interval:
    """The 2.5 and 97.5 % points of what resampled means are off, in their standard errors."""
    centred = (values - values.mean()) / values.std()
    sums, squares = _resampled_sums(centred, rounds, np.random.default_rng(seed))
    num = len(values)
    means = sums / num
    spreads = np.sqrt(np.maximum(squares / num - means**2, _LEAST_SPREAD**2))
    return _ordered(np.quantile(means / spreads * (num - 1) ** 0.5, (_TAIL, 1 - _TAIL)))


def _resampled_sums(
    values: Values, rounds: int, generator: np.random.Generator
) -> tuple[Values, Values]:
    """Sums of values and of their squares, of so many draws with replacement."""
    num = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= min(_FEW, num // 2):
        times = generator.multinomial(num, counts / num, size=rounds)
        return np.einsum("rv,v->r", times, distinct), np.einsum("rv,v->r", times, distinct**2)
    sums, squares = np.empty(rounds), np.empty(rounds)
    step = max(1, _DRAWN_AT_ONCE // num)
    for start in range(0, rounds, step):
        shape = (min(step, rounds - start), num)
        drawn = values[generator.integers(num, size=shape, dtype=np.int32)]
        sums[start : start + step] = drawn.sum(axis=1)
        squares[start : start + step] = np.einsum("rn,rn->r", drawn, drawn)
    return sums, squares


def share_interval(hits: Values, clusters: Clusters | None = None, *, z: float = Z_95) -> Interval:
    """The interval of a share of hits (1) among units: Wilson's.

    clusters: of each unit, such as the person it shows; it then counts as many trials as would vary
    as much as the clusters do, and as many as there are clusters where all or none are hits.
    """
    hits = np.asarray(hits, np.float64)
    trials = float(len(hits)) if clusters is None else _effective_trials(hits, clusters)
    return wilson_interval(float(hits.mean()) * trials if trials else 0.0, trials, z)


def _effective_trials(hits: Values, clusters: Clusters) -> float:
    codes = cluster_codes(clusters)
    num, num_clusters = len(hits), int(codes.max(initial=-1)) + 1
    share = float(hits.mean()) if num else 0.0
    if num_clusters < 2 or share in (0.0, 1.0):
        return float(num_clusters)
    excess = np.bincount(codes, hits - share, num_clusters)
    variance = float((excess**2).sum()) / num**2 * num_clusters / (num_clusters - 1)
    return float(min(num, share * (1 - share) / max(variance, 1e-300)))


def bootstrap(
    statistic: Callable[[Places], float], num: int, *, rounds: int = ROUNDS, seed: int = 0
) -> Interval:
    """The BCa interval of a statistic of N units, told by the places of those that were drawn.

    Some of them come more than once, and for the acceleration fewer than N are told at a time.
    Draws of which the statistic is no number are left out; all of them: so are both limits.
    """
    generator = np.random.default_rng(seed)
    everyone = np.arange(num)
    value = statistic(everyone)
    found = np.array([statistic(generator.integers(num, size=num)) for _ in range(rounds)])
    found = found[np.isfinite(found)]
    if not len(found) or not np.isfinite(value):
        return float("nan"), float("nan")
    order = generator.permutation(num)
    groups = np.array_split(order, min(num, _JACKKNIFE_GROUPS))
    without = [statistic(np.setdiff1d(everyone, group)) for group in groups if len(group) < num]
    return _bca(value, found, np.array(without), num)


def _bca(value: float, found: Values, without: Values, num: int) -> Interval:
    """Percentiles, corrected for bias, for a spread that depends on the value, and for small N."""
    below = float((found < value).sum() + (found == value).sum() / 2)
    bias = _NORMAL.inv_cdf(min(max(below, 0.5), len(found) - 0.5) / len(found))
    influence = without.mean() - without if len(without) else np.zeros(1)
    spread = float((influence**2).sum())
    skewed = np.isfinite(spread) and spread > 0
    acceleration = float((influence**3).sum()) / (6 * spread**1.5) if skewed else 0.0
    reach = _reach(num)
    levels = []
    for z in (-reach, reach):
        shifted = bias + z
        # Where this is not above 0, the correction has no meaning: the outermost draw.
        scaled = shifted / max(1 - acceleration * shifted, 1e-3)
        levels.append(_NORMAL.cdf(bias + scaled))
    return _ordered(np.quantile(found, levels))


def _reach(num: int) -> float:
    """Standard errors of a normal to 95 %, as Student's t of N units would reach (Hesterberg)."""
    if num < 3:
        return 4 * Z_95
    return float(np.sqrt(num / (num - 1)) * stdtrit(num - 1, 1 - _TAIL))


def cluster_bootstrap(
    statistic: Callable[[Places], float],
    clusters: Clusters,
    *,
    rounds: int = ROUNDS,
    seed: int = 0,
) -> Interval:
    """The interval of a statistic of units that were drawn by cluster: households, people.

    clusters: of each unit. A drawn cluster gives all its units, as often as it is drawn.
    """
    codes = cluster_codes(clusters)
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    starts = np.cumsum(sizes) - sizes

    def of_clusters(drawn: Places) -> float:
        counts = sizes[drawn]
        ends = np.cumsum(counts)
        within = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
        return statistic(order[np.repeat(starts[drawn], counts) + within])

    return bootstrap(of_clusters, len(sizes), rounds=rounds, seed=seed)


def cluster_codes(clusters: Clusters) -> Places:
    """A number for each unit's cluster, from 0 in their order (arrays) or that of first units."""
    if isinstance(clusters, np.ndarray):
        return np.unique(clusters, return_inverse=True)[1].astype(np.int64)
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(one, len(numbers)) for one in clusters], np.int64)


def _ordered(limits: Values) -> Interval:
    low, high = sorted(limits.tolist())
    return low, high
