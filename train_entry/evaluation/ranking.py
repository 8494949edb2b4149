"""How good the answers to queries are, the nearest image being the first answer.

N queries, P answers to all of them.
Sources: Philbin et al. 2007 (average precision by trapezoids, as the released code of Radenovic et
al. 2018, arXiv:1803.11285, and of VISSL computes it); Weyand et al. 2020, arXiv:2004.01804 (mAP of
the first K); Perronnin et al. 2009 (one ranking of all queries: micro AP, GAP).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from train_entry.evaluation.intervals import (
    Clusters,
    Places,
    bootstrap,
    cluster_bootstrap,
    cluster_codes,
    mean_interval,
    share_interval,
)
from train_entry.evaluation.scores import Score

Hits = NDArray[np.bool_]


def average_precision(hits: Hits, num_relevant: int, *, trapezoids: bool = False) -> float:
    """Of one query's ranking, 0 to 1; 1 if all relevant images come first.

    hits: of each image in turn, whether it is relevant; the ranking may be cut. num_relevant: how
    many a perfect ranking of this length would have, above 0. The mean of the precisions at the
    hits, or with trapezoids that of each and the precision just before it.
    """
    if num_relevant < 1:
        raise ValueError(f"num_relevant: expected 1 or more, got {num_relevant}")
    ranks = np.flatnonzero(hits)
    found = np.arange(len(ranks))
    precisions = (found + 1) / (ranks + 1)
    if trapezoids:
        before = np.where(ranks == 0, 1.0, found / np.maximum(ranks, 1))
        precisions = (precisions + before) / 2
    return float(precisions.sum()) / num_relevant


def precision_at(hits: Hits, k: int) -> float:
    """The share of hits among the first K; of a shorter ranking, those not there are no hits."""
    return float(np.count_nonzero(hits[:k])) / k


@dataclass(frozen=True)
class OneRanking:
    """Answers to all queries in one ranking, the most certain first.

    queries: [P] of each answer, whose it is. hits: [P] whether it is right. num_relevant: [N] of
    each query, how many right answers there are.
    """

    queries: Places
    hits: Hits
    num_relevant: Places

    @classmethod
    def of(
        cls, queries_P: Places, certainty_P: NDArray[Any], hits_P: Hits, num_relevant_N: Places
    ) -> "OneRanking":
        """In the order of certainty; of equal ones, wrong answers come first: none may gain."""
        order = np.lexsort((hits_P, -certainty_P))
        return cls(queries_P[order], hits_P[order], num_relevant_N)

    def average_precision(self, drawn: Places | None = None) -> float:
        """0 to 1, not a number if there is nothing to find. drawn: queries, some several times."""
        num = len(self.num_relevant)
        times_N = np.ones(num, np.int64) if drawn is None else np.bincount(drawn, minlength=num)
        times_P = times_N[self.queries]
        right_P = times_P * self.hits
        precision_P = np.cumsum(right_P) / np.maximum(np.cumsum(times_P), 1)
        relevant = int((times_N * self.num_relevant).sum())
        return float((right_P * precision_P).sum()) / relevant if relevant else float("nan")

    def score(self, metric: str) -> Score:
        """The average precision, with an interval over queries."""
        value = self.average_precision()
        if value in (0.0, 1.0):
            # No draw could differ; how many queries had something to find says how sure that is.
            low, high = mean_interval(np.full(np.count_nonzero(self.num_relevant), value))
        else:
            low, high = bootstrap(self.average_precision, len(self.num_relevant))
        return Score(metric, value, low, high, len(self.num_relevant))


def mean_of_queries(
    metric: str, values: Sequence[float] | NDArray[Any], clusters: Clusters | None = None
) -> Score:
    """The mean of one value a query.

    clusters: of each query, what it shares with others, such as the image that it was made of; the
    interval is then of as many draws as there are clusters.
    """
    found = np.asarray(values, np.float64)
    told = range(len(found)) if clusters is None else clusters
    codes = cluster_codes(told)
    if len(set(codes.tolist())) == len(found):
        low, high = mean_interval(found)
    elif np.isin(found, (0.0, 1.0)).all():
        low, high = share_interval(found, told)
    elif np.ptp(found) == 0:
        low, high = mean_interval(found[np.unique(codes, return_index=True)[1]])
    else:
        low, high = cluster_bootstrap(lambda drawn: float(found[drawn].mean()), told)
    return Score(metric, float(found.mean()), low, high, len(found))


class NamePlaces:
    """Where an image stands in a list, by its name, or by its file's name alone."""

    def __init__(self, names: Sequence[str]) -> None:
        self._whole = {name: place for place, name in enumerate(names)}
        self._stems: dict[str, int | None] = {}
        for place, name in enumerate(names):
            stem = _stem(name)
            self._stems[stem] = None if stem in self._stems else place

    def find(self, name: str) -> int | None:
        """The place of an image; None if it is not there, or several files are called so."""
        place = self._whole.get(name)
        return self._stems.get(_stem(name)) if place is None else place


def _stem(name: str) -> str:
    """A file's name without its folders and its extension; containers' rows stand behind #."""
    last = name.replace("#", "/").rpartition("/")[2]
    stem, _, extension = last.rpartition(".")
    return stem if stem and extension.isalnum() and not extension.isdigit() else last
