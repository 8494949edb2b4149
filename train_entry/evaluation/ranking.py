"""Which images of a database are nearest to a query, and how good such a ranking is.

N queries, M images of the database, D dimensions, K neighbours. Nearness is the cosine; of equal
ones, the earlier image of the database is first, so that a ranking does not depend on blocks.
Sources: Philbin et al. 2007 (average precision by trapezoids, as the released code of Radenovic et
al. 2018, arXiv:1803.11285, and of VISSL computes it); Weyand et al. 2020, arXiv:2004.01804 (mAP of
the first K); Perronnin et al. 2009 (one ranking of all queries: micro AP, GAP).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from train_entry.errors import DataError
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

# Values of a block: 128 MiB of features, 64 MiB of cosines and 128 MiB of their keys.
_BLOCK_FEATURES = 1 << 25
_BLOCK_COSINES = 1 << 24
_MAX_ROWS = 8192
_QUERY_ROWS = 1024
_LOW = (1 << 32) - 1
# Below the key of any cosine: no image.
_NO_IMAGE = -(1 << 63)


class Nearest(NamedTuple):
    """The nearest images of each query, best first. Where there are too few: -1 and -infinity.

    places: int64 [N, K], in the database. cosines: float32 [N, K].
    """

    places: Places
    cosines: NDArray[np.float32]


def nearest(queries_ND: Tensor, database_MD: Tensor, k: int) -> Nearest:
    """The K nearest images of each query, exactly, block by block of both.

    Features may be memory-mapped; they need not be of length 1. Raises ValueError for k below 1,
    DataError for features that are no numbers.
    """
    if k < 1:
        raise ValueError(f"k: expected 1 or more, got {k}")
    found = []
    for queries in _blocks(len(queries_ND), _rows(queries_ND, _QUERY_ROWS)):
        unit_BD = normalize(queries_ND[queries].float(), dim=1)
        best_BK = torch.empty((len(unit_BD), 0), dtype=torch.int64)
        for images in _blocks(len(database_MD), _rows(database_MD, _MAX_ROWS)):
            keys_BM = _keys(_cosines(unit_BD, database_MD[images]), images.start)
            best_BK = _largest(torch.cat([best_BK, _largest(keys_BM, k)], dim=1), k)
        missing = best_BK.new_full((len(unit_BD), max(0, k - len(database_MD))), _NO_IMAGE)
        found.append(torch.cat([best_BK, missing], dim=1))
    keys_NK = torch.cat(found) if found else torch.empty((0, k), dtype=torch.int64)
    return _of_keys(keys_NK)


def _cosines(unit_BD: Tensor, database_MD: Tensor) -> Tensor:
    cosines_BM = unit_BD @ normalize(database_MD.float(), dim=1).T
    if not torch.isfinite(cosines_BM).all():
        raise DataError("features: expected finite numbers, got others: the model has diverged")
    return cosines_BM


def _blocks(num: int, rows: int) -> Iterator[slice]:
    return (slice(begin, min(begin + rows, num)) for begin in range(0, num, rows))


def _rows(features_ND: Tensor, most: int) -> int:
    return max(1, min(most, _BLOCK_FEATURES // max(1, features_ND.shape[1])))


def _largest(keys_BM: Tensor, k: int) -> Tensor:
    return keys_BM.topk(min(k, keys_BM.shape[1]), dim=1).values


def _keys(cosines_BM: Tensor, begin: int) -> Tensor:
    """Whole numbers, all different, in the order of cosines and, of equal ones, of places.

    The bits of a float, as a whole number, are in its order, except that those of negative ones
    run backwards. Below them, 32 bits for the place, the first one highest.
    """
    # Adding 0 makes one zero of two.
    bits_BM = (cosines_BM + 0.0).view(torch.int32)
    ordered_BM = torch.where(bits_BM < 0, bits_BM ^ 0x7FFFFFFF, bits_BM).long()
    places_M = torch.arange(begin, begin + cosines_BM.shape[1])
    return (ordered_BM << 32) | (_LOW - places_M)


def _of_keys(keys_NK: Tensor) -> Nearest:
    there_NK = keys_NK != _NO_IMAGE
    ordered_NK = (keys_NK >> 32).int()
    bits_NK = torch.where(ordered_NK < 0, ordered_NK ^ 0x7FFFFFFF, ordered_NK)
    cosines_NK = bits_NK.view(torch.float32).masked_fill(~there_NK, -torch.inf)
    places_NK = (_LOW - (keys_NK & _LOW)).masked_fill(~there_NK, -1)
    return Nearest(places_NK.numpy(), cosines_NK.numpy())


def rankings(queries_ND: Tensor, database_MD: Tensor) -> Iterator[Places]:
    """For each query in turn, the places of all images of the database, nearest first."""
    rows = max(1, min(_QUERY_ROWS, _BLOCK_COSINES // max(1, len(database_MD))))
    for queries in _blocks(len(queries_ND), min(rows, _rows(queries_ND, _QUERY_ROWS))):
        unit_BD = normalize(queries_ND[queries].float(), dim=1)
        cosines_BM = torch.empty((len(unit_BD), len(database_MD)))
        for images in _blocks(len(database_MD), _rows(database_MD, _MAX_ROWS)):
            cosines_BM[:, images] = _cosines(unit_BD, database_MD[images])
        yield from cosines_BM.argsort(dim=1, descending=True, stable=True).numpy()


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
