"""Are the nearest paintings of the same style, and of the same artist?

N images, each of which looks for others of its style among all others. An artist paints in one
style or a few, so those of the same artist are easy to find; the first figures leave them out.
Source: this protocol is the registry's own; Goyal et al. 2022, arXiv:2202.08360, shows styles in
pictures alone.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.benchmarks.recipes import StyleRetrieval
from schemas.benchmarks.vocabulary import Metric
from train_entry.errors import DataError
from train_entry.evaluation.intervals import Places, cluster_codes
from train_entry.evaluation.nearest import rankings
from train_entry.evaluation.ranking import Hits, average_precision, mean_of_queries, precision_at
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.taps import features_of, usable_taps

CHANCE = "chance"
_UNTOLD = -1


@dataclass
class Search:
    """What is looked for among what, and what was found by the images that have something to find.

    told: in words. wanted: [N], a number for each image; equal numbers should find each other.
    apart: [N], images of the query's number are left out, the query itself among them. A number
    below 0 stands for an image of which it is not known: it neither looks nor is looked for.
    """

    told: str
    wanted: Places
    apart: Places
    queries: list[int] = field(default_factory=list)
    precisions: list[list[float]] = field(default_factory=list)
    average: list[float] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)

    def add(self, query: int, order: Places, ks: Sequence[int]) -> None:
        """Take what a query found: all images, nearest first."""
        if self.wanted[query] < 0 or self.apart[query] < 0:
            return
        counts: Hits = (self.apart != self.apart[query]) & (self.apart >= 0) & (self.wanted >= 0)
        kept = order[counts[order]]
        hits = self.wanted[kept] == self.wanted[query]
        relevant = int(hits.sum())
        if relevant:
            self.queries.append(query)
            self.precisions.append([precision_at(hits, k) for k in ks])
            self.average.append(average_precision(hits, relevant))
            self.chance.append(relevant / len(hits))

    def scores(self, ks: Sequence[int], clusters: Sequence[Hashable]) -> list[Score]:
        """Precision of the first K, mAP, and what a random order would have; none if none looks."""
        if not self.queries:
            return []
        groups = [clusters[query] for query in self.queries]
        found = [
            mean_of_queries(str(Metric.PRECISION_AT_K), list(values), groups).of(
                setting=f"{self.told}, first {k}"
            )
            for k, values in zip(ks, zip(*self.precisions, strict=True), strict=True)
        ]
        found.append(mean_of_queries(str(Metric.MAP), self.average, groups).of(setting=self.told))
        # No interval: it is not estimated, it follows from which images there are.
        chance = float(np.mean(self.chance))
        return [*found, Score(CHANCE, chance, None, None, len(groups), setting=self.told)]


def evaluate(recipe: StyleRetrieval, splits: Mapping[str, Features]) -> list[Score]:
    """Figures of `test`: for styles among other artists, for styles among all, and for artists.

    Images of one artist are alike, so intervals are over artists, where they are known.
    Raises DataError if no image has another of its style.
    """
    test = splits["test"]
    features = features_of(test, usable_taps(recipe.taps, test)[0])
    styles, artists = (_numbers(test, name) for name in (recipe.style, recipe.artist))
    alone = np.arange(len(test))
    searches = [Search(recipe.style, styles, alone), Search(recipe.artist, artists, alone)]
    searches.insert(0, Search(f"{recipe.style} among other {recipe.artist}s", styles, artists))
    for query, order in enumerate(rankings(features, features)):
        for search in searches:
            search.add(query, order, recipe.k)
    # An image whose artist is not known is a cluster of its own.
    clusters = np.where(artists < 0, -1 - alone, artists).tolist()
    scores = [score for search in searches for score in search.scores(recipe.k, clusters)]
    if not scores:
        raise DataError(
            f"test: expected images that share their {recipe.style}, got {len(test)} without any"
        )
    return scores


def _numbers(test: Features, name: str) -> Places:
    """A number for each value of a field; -1 where it is not told."""
    values = test.fields.get(name, [""] * len(test))
    codes = cluster_codes([str(value) for value in values])
    untold = np.array([value is None or str(value).strip() == "" for value in values])
    return np.where(untold, _UNTOLD, codes)
