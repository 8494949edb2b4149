"""Do the nearest faces share an attribute of the query's, for all groups of people alike?

N queries, M faces of the database, K neighbours by cosine. A person counts once: their value is the
mean over their images (field `subject`), or each image is another person's.
Source: Goyal et al. 2022, arXiv:2202.07603, indicator 3, and its released code in VISSL.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from schemas.benchmarks.recipes import AttributeRetrieval
from schemas.benchmarks.vocabulary import Metric
from train_entry.errors import DataError
from train_entry.evaluation.disparity import group_mean, ratio, spread
from train_entry.evaluation.fairness_labels import People
from train_entry.evaluation.intervals import Places
from train_entry.evaluation.nearest import nearest
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.taps import features_of, usable_taps

_UNKNOWN = "unknown"
Values = NDArray[np.float64]


def precisions(
    queries_ND: Tensor,
    database_MD: Tensor,
    asked: Sequence[Any],
    shown: Sequence[Any],
    ks: Sequence[int],
) -> dict[int, Values]:
    """By K, the share of each query's K nearest faces that have its attribute, [N].

    asked: the attribute of each query. shown: that of each face of the database, which has K faces
    at least. Raises DataError if it has fewer.
    """
    if max(ks) > len(database_MD):
        raise DataError(f"database: expected {max(ks)} faces or more, got {len(database_MD)}")
    numbers = {value: number for number, value in enumerate(dict.fromkeys(map(str, shown)))}
    of_faces = np.array([numbers[str(value)] for value in shown])
    wanted = np.array([numbers.get(str(value), -1) for value in asked])
    found = nearest(queries_ND, database_MD, max(ks))
    hits = of_faces[found.places] == wanted[:, None]
    return {k: hits[:, :k].mean(axis=1) for k in ks}


def evaluate(recipe: AttributeRetrieval, splits: Mapping[str, Features]) -> list[Score]:
    """Precision of the first K by K: of all `queries`, of each group, and how far groups differ.

    Faces of the database whose attribute is not told are not searched. Queries whose attribute no
    face of it has could find nothing and are left out; `coverage` is the share of the others.
    """
    database, queries = splits["database"], splits["queries"]
    tap = usable_taps(recipe.taps, database)[0]
    faces = np.flatnonzero([_told(value) for value in database.fields[recipe.attribute]])
    database = database if len(faces) == len(database) else database.take(faces.tolist())
    shown = database.fields[recipe.attribute]
    known = {str(value) for value in shown}
    asked = queries.fields[recipe.attribute]
    places = [place for place, value in enumerate(asked) if str(value) in known]
    if not places:
        raise DataError(
            f"{recipe.attribute}: expected queries that are one of {', '.join(sorted(known))}, got "
            f"{', '.join(sorted(map(str, set(asked)))) or 'none'}"
        )
    seen = queries.take(places)
    people = People.of(seen, recipe.group_by)
    found = precisions(
        features_of(seen, tap),
        features_of(database, tap),
        seen.fields[recipe.attribute],
        shown,
        recipe.k,
    )
    scores = []
    for k, values in found.items():
        scores += [score.of(setting=f"first {k}") for score in group_scores(values, people)]
    coverage = Score("coverage", len(places) / len(queries), None, None, len(queries))
    return [*scores, coverage]


def group_scores(values: Values, people: People) -> list[Score]:
    """The mean of a value of each image: of all, of each group; and the spread over groups.

    What is unknown of someone makes no group that the spread compares. `disparity` is the best
    group less the worst, `worst_to_best` the worst by the best.
    """
    scores = [_mean(values, people, np.arange(people.num))]
    for by, groups in people.groups.items():
        scores += [_mean(values, people, places).of(name) for name, places in groups.items()]
        compared = {
            name: _of_persons(values, people, places)
            for name, places in groups.items()
            if _UNKNOWN not in name.split()
        }
        num = sum(len(groups[name]) for name in compared)
        if len(compared) > 1:
            scores.append(Score("disparity", *spread(compared), num, f"by {by}"))
        if len(compared) > 1 and any(map(any, compared.values())):
            scores.append(Score("worst_to_best", *ratio(compared), num, f"by {by}"))
    return scores


def _mean(values: Values, people: People, places: Places) -> Score:
    found = group_mean(_of_persons(values, people, places))
    return Score(str(Metric.PRECISION_AT_K), *found, len(places))


def _of_persons(values: Values, people: People, places: Places) -> Values:
    """One value a person."""
    subjects = people.subjects_of(places)
    if subjects is None:
        return values[places]
    persons = np.unique(subjects, return_inverse=True)[1]
    means: Values = np.bincount(persons, values[places]) / np.bincount(persons)
    return means


def _told(value: Any) -> bool:
    return value is not None and str(value).strip() != ""
