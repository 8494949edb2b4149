"""Does a query find the images of a gallery that show the same thing: a building, an exhibit?

N queries, M images of the gallery, K neighbours. What a query should find is told by its `instance`
and the gallery's, or by lists of names: `easy`, `hard`, and `junk`, which is taken out of a ranking
as if it were not in the gallery.
Sources: Radenovic et al. 2018, arXiv:1803.11285 (revisited Oxford and Paris; its released code has
precisions by trapezoids, as here); Weyand et al. 2020, arXiv:2004.01804 (mAP of the first K);
Ypsilantis et al. 2021, arXiv:2202.01747 (Met: GAP, of the nearest exhibit).
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from schemas.benchmarks.recipes import Retrieval
from schemas.benchmarks.vocabulary import Metric
from train_entry.errors import DataError
from train_entry.evaluation.intervals import Places
from train_entry.evaluation.nearest import nearest, rankings
from train_entry.evaluation.ranking import (
    Hits,
    NamePlaces,
    OneRanking,
    average_precision,
    mean_of_queries,
)
from train_entry.evaluation.rmac import Description
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.taps import usable_taps

INSTANCE, EASY, HARD, JUNK = "instance", "easy", "hard", "junk"
FIRST = "recall_at_1"
# How lists and tables say that an image shows none of the gallery's things.
_NONE = frozenset({"", "-1", "none", "nan"})


class Truth(NamedTuple):
    """What each query should find, and what does not count; places in the gallery, ascending."""

    relevant: Sequence[Places]
    junk: Sequence[Places]


def truths_of(queries: Features, gallery: Features) -> tuple[dict[str, Truth], int]:
    """What is to be found in each setting, the main one first; and how many names are strangers.

    Lists of easy and of hard images make three settings: medium is both, and in the other two
    what the setting is not about is junk. Raises DataError if neither lists nor instances are told.
    """
    if EASY in queries.fields:
        found = NamePlaces(gallery.names)
        listed = {
            kind: [_names(one) for one in queries.fields.get(kind, [()] * len(queries))]
            for kind in (EASY, HARD, JUNK)
        }
        easy, hard, junk = ([_found(found, one) for one in kind] for kind in listed.values())
        lost = sum(
            len(names) - len(places)
            for kind, those in zip(listed.values(), (easy, hard, junk), strict=True)
            for names, places in zip(kind, those, strict=True)
        )
        if HARD not in queries.fields:
            return {"": Truth(easy, junk)}, lost
        medium = Truth(_joined(easy, hard), junk)
        others = {
            "easy": Truth(easy, _joined(junk, hard)),
            "hard": Truth(hard, _joined(junk, easy)),
        }
        return {"medium": medium, **others}, lost
    wanted, shown = _instances(queries, "queries"), _instances(gallery, "gallery")
    by_instance: dict[Hashable, list[int]] = {}
    for place, instance in enumerate(shown):
        by_instance.setdefault(instance, []).append(place)
    found_of = [by_instance.get(one, []) if one is not None else [] for one in wanted]
    relevant = [np.array(one, np.int64) for one in found_of]
    return {"": Truth(relevant, [np.empty(0, np.int64)] * len(relevant))}, 0


def _names(value: Any) -> list[str]:
    names = value if isinstance(value, tuple | list) else (value,)
    return [str(name) for name in names if str(name).strip().lower() not in _NONE]


def _found(places: NamePlaces, names: Sequence[str]) -> Places:
    found = {place for name in names if (place := places.find(name)) is not None}
    return np.array(sorted(found), np.int64)


def _joined(first: Sequence[Places], second: Sequence[Places]) -> list[Places]:
    return [np.union1d(*both) for both in zip(first, second, strict=True)]


def _instances(part: Features, role: str) -> list[Hashable | None]:
    if INSTANCE not in part.fields:
        raise DataError(
            f"{role}: expected a field instance, or queries with lists of easy and hard images, "
            f"got {', '.join(part.fields) or 'none'}"
        )
    return [
        None if str(value).strip().lower() in _NONE else str(value)
        for value in part.fields[INSTANCE]
    ]


def mean_precisions(queries_ND: Tensor, gallery_MD: Tensor, truths: Mapping[str, Truth]) -> Any:
    """By setting, average precision and whether the first answer is right, of each query.

    Queries that have nothing to find in a setting are left out of it.
    """
    found: dict[str, list[tuple[float, float]]] = {setting: [] for setting in truths}
    relevant, junk = np.zeros((2, len(gallery_MD)), np.bool_)
    for query, order in enumerate(rankings(queries_ND, gallery_MD)):
        for setting, truth in truths.items():
            relevant[:], junk[:] = False, False
            relevant[truth.relevant[query]] = True
            junk[truth.junk[query]] = True
            # What is on both lists is to be found, as an image of another setting's list may be.
            junk &= ~relevant
            if relevant.any():
                hits = relevant[order[~junk[order]]]
                precision = average_precision(hits, int(relevant.sum()), trapezoids=True)
                found[setting].append((precision, float(hits[0])))
    return found


def precisions_at(found: Places, relevant: Sequence[Places], k: int) -> list[float]:
    """The average precision of each query's first K; of K or as many as there are to be found.

    found: [N, K], places in the gallery. Queries that have nothing to find are left out.
    """
    return [
        average_precision(np.isin(places[:k], wanted), min(len(wanted), k))
        for places, wanted in zip(found, relevant, strict=True)
        if len(wanted)
    ]


def evaluate(recipe: Retrieval, splits: Mapping[str, Features]) -> list[Score]:
    """Figures of `queries` in `gallery`, whitened if there are `whitening` images.

    metric map: of whole rankings, by setting. map_at_k: of the recipe's first K. gap: all queries
    by their nearest image, those that show nothing of the gallery too.
    Raises DataError if no query has anything to find.
    """
    queries, gallery = splits["queries"], splits["gallery"]
    tap = usable_taps(recipe.taps, gallery)[0]
    learned_on = splits.get("whitening")
    description = Description.of(tap, recipe.levels, learned_on, recipe.dimensions)
    truths, lost = truths_of(queries, gallery)
    if not any(len(places) for truth in truths.values() for places in truth.relevant):
        raise DataError(
            f"queries: expected images of the gallery to find, got none for {len(queries)} queries "
            f"and {len(gallery)} images"
        )
    vectors = description.vectors(queries), description.vectors(gallery)
    told = description.told + (f", {lost} listed images not in the gallery" if lost else "")
    match recipe.metric:
        case Metric.GAP:
            scores = _gap_scores(queries, gallery, *vectors)
        case Metric.MAP_AT_K:
            (truth,) = list(truths.values())[:1]
            found = nearest(*vectors, min(recipe.k, len(gallery)))
            precisions = precisions_at(found.places, truth.relevant, recipe.k)
            score = mean_of_queries(str(Metric.MAP_AT_K), precisions)
            scores = [score.of(setting=f"first {recipe.k}")]
        case _:
            scores = _map_scores(mean_precisions(*vectors, truths))
    return [score.of(setting=", ".join(filter(None, (score.setting, told)))) for score in scores]


def _map_scores(found: Mapping[str, Sequence[tuple[float, float]]]) -> list[Score]:
    scores = []
    for place, metric in enumerate((str(Metric.MAP), FIRST)):
        scores += [
            mean_of_queries(metric, [both[place] for both in pairs]).of(setting=setting)
            for setting, pairs in found.items()
            if pairs
        ]
    return scores


def _gap_scores(
    queries: Features, gallery: Features, queries_ND: Tensor, gallery_MD: Tensor
) -> list[Score]:
    """Of all queries, of those that show something of the gallery, and the share of right ones."""
    wanted, shown = _instances(queries, "queries"), _instances(gallery, "gallery")
    found = nearest(queries_ND, gallery_MD, 1)
    answers = [shown[place] for place in found.places[:, 0].tolist()]
    known: Hits = np.array([one is not None for one in wanted])
    hits: Hits = np.array([one == told for one, told in zip(wanted, answers, strict=True)]) & known
    cosines, scores = found.cosines[:, 0], []
    for places, setting in (
        (np.arange(len(known)), ""),
        (np.flatnonzero(known), "queries of the gallery alone"),
    ):
        ranking = OneRanking.of(
            np.arange(len(places)), cosines[places], hits[places], known[places].astype(np.int64)
        )
        scores.append(ranking.score(str(Metric.GAP)).of(setting=setting))
    right = hits[known].astype(np.float64).tolist()
    return [*scores, mean_of_queries(FIRST, right)]
