"""95 % intervals of shares and means from a sample of candidates whose hosts share a fate.

The sample is drawn candidate by candidate, so as long as each URL's fate is fixed a plain interval
would do. But on another day a host may be down, slow or unwilling, and then all its URLs are. So
the hosts of the sample count as drawn anew: their variance replaces the binomial one where it is
larger, and Student's t for the effective number of clusters the normal quantile (Kish 1965; Korn
and Graubard 1998, Survey Methodology 24, 193). A host with 30 candidates in the sample would be in
any such sample, so its candidates count one by one, as survey samplers treat units that are drawn
with certainty; what if such a host changes its mind is not foreseen. No interval is narrower than
the plain one. Simulated coverage: tests/ingest/forecast/test_interval.py.

Legend: N candidates of the sample, C clusters.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.certificate import Z_95, wilson_interval
from schemas.forecast import Estimate

# From so many candidates in the sample on, a host is no matter of chance.
CERTAIN_CANDIDATES = 30


@dataclass(frozen=True)
class Clusters:
    """Which candidates share a fate: int64 [N] from 0 to C - 1, and float64 [C] sizes."""

    cluster_of: NDArray[np.int64]
    sizes: NDArray[np.float64]

    @classmethod
    def of(cls, hosts: Sequence[str | None]) -> "Clusters":
        """The clusters of candidates by their hosts; who has none shares its fate with nobody."""
        counts = Counter(hosts)
        names = [
            f"{number}/" if host is None or counts[host] >= CERTAIN_CANDIDATES else host
            for number, host in enumerate(hosts)
        ]
        _, cluster_of = np.unique(np.array(names, dtype=np.str_), return_inverse=True)
        return cls(cluster_of, np.bincount(cluster_of).astype(np.float64))

    @property
    def num_candidates(self) -> int:
        """N."""
        return len(self.cluster_of)

    @property
    def effective_number(self) -> float:
        """How many clusters of equal size would weigh like these; from 1 to C."""
        return float(self.num_candidates**2 / np.square(self.sizes).sum())

    @property
    def quantile(self) -> float:
        """The two-sided 95 % quantile of Student's t for so many clusters."""
        return student_quantile(max(1.0, self.effective_number - 1))

    def error_of_mean(self, values_N: NDArray[np.float64]) -> float:
        """Standard error of the mean: between clusters or candidates, whichever is larger."""
        num_clusters, mean = len(self.sizes), float(values_N.mean())
        sums_C = np.bincount(self.cluster_of, weights=values_N)
        between = float(np.square(sums_C - mean * self.sizes).sum())
        alone = float(np.square(values_N - mean).sum())
        by_cluster = between * num_clusters / max(1, num_clusters - 1)
        by_candidate = alone * self.num_candidates / max(1, self.num_candidates - 1)
        return math.sqrt(max(by_cluster, by_candidate)) / self.num_candidates


def student_quantile(degrees: float) -> float:
    """The 97.5 % quantile of Student's t, within 4 % from 2 degrees of freedom on.

    Source: Abramowitz and Stegun 1964, 26.7.5.
    """
    z = Z_95
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


def share_interval(is_N: NDArray[np.bool_], clusters: Clusters) -> tuple[float, float]:
    """The interval of a share: Wilson's, at the effective size of the sample."""
    count, share = clusters.num_candidates, float(is_N.mean())
    alone = share * (1 - share) / count
    # Without variance nothing tells how alike the candidates of a cluster are: wholly alike.
    effect = count / clusters.effective_number
    if alone:
        effect = min(effect, max(1.0, clusters.error_of_mean(is_N.astype(np.float64)) ** 2 / alone))
    effective = count / effect * (Z_95 / clusters.quantile) ** 2
    return wilson_interval(share * effective, effective)


def estimate_share(is_N: NDArray[np.bool_], clusters: Clusters) -> Estimate:
    """The share of the candidates of which something is true."""
    low, high = share_interval(is_N, clusters)
    return Estimate.of(float(is_N.mean()), low, high)


def estimate_mean(values_N: NDArray[np.float64], clusters: Clusters) -> Estimate:
    """The mean of values from 0 up; the interval is symmetric in its logarithm, so never below 0.

    If all values are 0, so are both ends.
    """
    mean = float(values_N.mean())
    if mean == 0:
        return Estimate.of(0.0, 0.0, 0.0)
    factor = math.exp(clusters.quantile * clusters.error_of_mean(values_N) / mean)
    return Estimate.of(mean, mean / factor, mean * factor)
