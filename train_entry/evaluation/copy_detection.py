"""Does an edited copy find the image that it was made of, among images that it was not made of?

N queries, M images of the database, D dimensions. Copydays: each edited image ranks the originals
and the distractors; the precision of a ranking is that of trapezoids, as VISSL computes it, so an
original that comes second counts 0.25. DISC21: the best answers to all queries stand in one ranking
by cosine, so that a model must also know which queries have no original.
Sources: Douze et al. 2009 (Copydays); Goyal et al. 2022, arXiv:2202.08360, and VISSL's
instance_retrieval_test (the protocol on it); Douze et al. 2021, arXiv:2106.09672 (DISC21).
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from schemas.benchmarks.recipes import CopyDetection
from schemas.benchmarks.vocabulary import Metric
from train_entry.errors import DataError
from train_entry.evaluation.nearest import nearest, rankings
from train_entry.evaluation.ranking import (
    NamePlaces,
    OneRanking,
    average_precision,
    mean_of_queries,
)
from train_entry.evaluation.rmac import Description
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.taps import usable_taps

ORIGINAL = "original"
# As the evaluation of several parts as one calls them, and what DISC21 calls its two.
_PART, _QUERIES, _REFERENCES = "part", "queries", "references"
# The competition let 50,000 queries have 500,000 answers.
_ANSWERS = 10


def copy_precisions(
    queries_ND: Tensor, database_MD: Tensor, blocks: Sequence[Hashable], wanted: Sequence[Hashable]
) -> list[float]:
    """The average precision of each query's ranking.

    wanted: [N], the block of each query. blocks: [M], that of each image; a query looks for all
    images of its block, and there is one at least.
    """
    numbers = {block: number for number, block in enumerate(dict.fromkeys(blocks))}
    of_images = np.array([numbers[block] for block in blocks])
    counts = np.bincount(of_images)
    found = []
    for block, order in zip(wanted, rankings(queries_ND, database_MD), strict=True):
        number = numbers[block]
        hits = of_images[order] == number
        found.append(average_precision(hits, int(counts[number]), trapezoids=True))
    return found


def evaluate(recipe: CopyDetection, splits: Mapping[str, Features]) -> list[Score]:
    """Figures of `test`, with `distractors` in the database and a whitening of `whitening`.

    Copydays: mAP of each kind of edit, and of each of its strengths; the recipe's subset is first.
    DISC21: micro AP, and the share of copies whose first answer is right.
    Raises DataError if there are no originals, no queries, or the fields are missing.
    """
    tap = usable_taps(recipe.taps, splits["test"])[0]
    learned_on = splits.get("whitening")
    description = Description.of(tap, recipe.levels, learned_on, recipe.dimensions)
    if recipe.metric == Metric.MICRO_AP:
        return _disc21_scores(splits["test"], description)
    return _copydays_scores(recipe, splits["test"], splits.get("distractors"), description)


def _copydays_scores(
    recipe: CopyDetection, test: Features, distractors: Features | None, description: Description
) -> list[Score]:
    subsets, blocks = _field(test, "subset"), _field(test, "block")
    originals = [place for place, subset in enumerate(subsets) if subset == ORIGINAL]
    known = {blocks[place] for place in originals}
    groups: dict[tuple[str, str], list[int]] = {}
    strengths = test.fields.get("strength", [""] * len(test))
    for place, (subset, strength) in enumerate(zip(subsets, strengths, strict=True)):
        if subset != ORIGINAL and blocks[place] in known:
            groups.setdefault((subset, str(strength or "")), []).append(place)
    if not any(subset == recipe.subset for subset, _ in groups):
        raise DataError(
            f"test: expected originals and copies of subset {recipe.subset}, got "
            f"{len(originals)} originals and copies of {_listed(one for one, _ in groups)}"
        )
    database = description.vectors(test.take(originals))
    in_database: list[Hashable] = [("block", blocks[place]) for place in originals]
    told = "no distractors"
    if distractors is not None:
        database = _stacked(database, description.vectors(distractors))
        in_database += [("distractor", place) for place in range(len(distractors))]
        told = f"{len(distractors):,} distractors"
    scores = []
    for subset, strength in sorted(groups, key=lambda group: _order(group, recipe.subset)):
        places = groups[subset, strength]
        wanted = [("block", blocks[place]) for place in places]
        vectors = description.vectors(test.take(places))
        found = copy_precisions(vectors, database, in_database, wanted)
        name = f"{subset} {strength}".strip()
        score = mean_of_queries(str(Metric.MAP), found, wanted)
        scores.append(score.of(setting=f"{name}, {told}, {description.told}"))
    return scores


def _stacked(first: Tensor, second: Tensor) -> Tensor:
    whole = first.new_empty((len(first) + len(second), first.shape[1]))
    whole[: len(first)], whole[len(first) :] = first, second
    return whole


def _order(group: tuple[str, str], first: str) -> tuple[bool, str, float, str]:
    subset, strength = group
    return subset != first, subset, float(strength) if strength.isdigit() else 0.0, strength


def _disc21_scores(test: Features, description: Description) -> list[Score]:
    parts, wanted = _field(test, _PART), _field(test, "reference")
    queries = [place for place, part in enumerate(parts) if part == _QUERIES]
    references = [place for place, part in enumerate(parts) if part == _REFERENCES]
    if not queries or not references:
        raise DataError(f"test: expected parts queries and references, got {_listed(parts)}")
    database = test.take(references)
    places = NamePlaces(database.names)
    # A query's original that could not be read is there to be found, but no answer is right.
    has_original = np.array([bool(wanted[place]) for place in queries])
    originals = np.array([_place(places, wanted[place]) for place in queries])
    if not has_original.any():
        raise DataError("reference: expected the name of the original of some queries, got none")
    asked = description.vectors(test.take(queries))
    found = nearest(asked, description.vectors(database), min(_ANSWERS, len(database)))
    hits = (found.places == originals[:, None]) & (originals >= 0)[:, None]
    answers = OneRanking.of(
        np.repeat(np.arange(len(queries)), found.places.shape[1]),
        found.cosines.ravel(),
        hits.ravel(),
        has_original.astype(np.int64),
    )
    first = mean_of_queries("recall_at_1", hits[has_original, 0].astype(np.float64).tolist())
    pairs = answers.score(str(Metric.MICRO_AP))
    return [score.of(setting=description.told) for score in (pairs, first)]


def _place(places: NamePlaces, name: Any) -> int:
    found = places.find(str(name)) if name else None
    return -1 if found is None else found


def _field(part: Features, name: str) -> Sequence[Any]:
    if name not in part.fields:
        raise DataError(f"test: expected a field {name}, got {_listed(part.fields)}")
    return part.fields[name]


def _listed(words: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(map(str, words))) or "none"
