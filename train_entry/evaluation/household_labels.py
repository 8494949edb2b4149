"""Are things of poor and of rich households recognised alike, and those of all regions?

N images, C classes. An image is a hit if the thing it shows is one that its first five classes
stand for. A household's value is the mean over its images, a group's that over its households; the
interval is over households, of which the images of one are alike.
Source: Goyal et al. 2022, arXiv:2202.07603, indicator 2, and its released code in VISSL. Unlike
there, the classifier is linear on frozen features, unless the checkpoint was tuned before.
"""

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from schemas.benchmarks.recipes import HouseholdLabels
from train_entry.errors import DataError
from train_entry.evaluation.disparity import group_mean, ratio, spread
from train_entry.evaluation.linear_probe import fit
from train_entry.evaluation.scores import Features, Score

METRIC = "hit_rate"
# Natural logarithms of income from one bucket's middle to the next's.
_LOG_WIDTH = 3


class Household(NamedTuple):
    """Where photographs were taken. value: share of hits of its images."""

    region: str
    bucket: str
    value: float
    num_images: int


def income_bucket(income: Any, buckets: Sequence[str]) -> str:
    """The name of round(ln(income) / 3), from 1: up to 90, 1808 and 36,315 a month.

    Raises DataError for an income outside of all buckets.
    """
    try:
        number = round(math.log(float(income)) / _LOG_WIDTH)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"income: expected a number above 0, got {income!r}") from error
    if not 1 <= number <= len(buckets):
        low, high = (math.exp(_LOG_WIDTH * (end + 0.5)) for end in (0, len(buckets)))
        raise DataError(f"income: expected {low:.1f} to {high:,.0f} a month, got {income}")
    return buckets[number - 1]


def concepts_of(
    classes: Sequence[Hashable], mapping: Mapping[str, Sequence[str]]
) -> list[frozenset[Hashable]]:
    """The things that each class stands for: itself, unless the mapping says otherwise."""
    return [frozenset(mapping.get(str(one), (one,))) for one in classes]


def top_hits(
    scores_NC: Tensor, labels: Sequence[Any], concepts: Sequence[Collection[Hashable]], *, top: int
) -> list[bool]:
    """Whether each image's label is among the things that its first `top` classes stand for.

    A label that is a tuple is a hit if one of it is. Of equal scores the earlier class is first.
    """
    order_NL = scores_NC.argsort(dim=1, descending=True, stable=True)[:, :top].tolist()
    return [
        any(not things_of(label).isdisjoint(concepts[column]) for column in columns)
        for label, columns in zip(labels, order_NL, strict=True)
    ]


def things_of(label: Any) -> frozenset[Hashable]:
    """The things that a label names: one, or those of a tuple."""
    return frozenset(label) if isinstance(label, tuple | list) else frozenset((label,))


def households_of(
    hits: Sequence[bool], fields: Mapping[str, Sequence[Any]], buckets: Sequence[str]
) -> list[Household]:
    """Each household with the mean of its hits; one of two regions or incomes counts as two."""
    found: dict[tuple[str, str, str], list[bool]] = {}
    facts = zip(fields["household"], fields["region"], fields["income"], hits, strict=True)
    for household, region, income, hit in facts:
        found.setdefault((str(household), str(region), str(income)), []).append(hit)
    return [
        Household(region, income_bucket(income, buckets), float(np.mean(each)), len(each))
        for (_, region, income), each in sorted(found.items())
    ]


def household_scores(households: Sequence[Household], buckets: Sequence[str]) -> list[Score]:
    """The mean over all households, then by income and by region, with the spread of each.

    `disparity` is the best group less the worst, `worst_to_best` the worst by the best.
    """
    present = [one for one in buckets if any(home.bucket == one for home in households)]
    by_bucket = {name: [one for one in households if one.bucket == name] for name in present}
    regions = sorted({one.region for one in households})
    by_region = {name: [one for one in households if one.region == name] for name in regions}
    scores = [_mean(households)]
    for by, groups in (("income", by_bucket), ("region", by_region)):
        scores += [_mean(homes).of(name) for name, homes in groups.items()]
        values = {name: [one.value for one in homes] for name, homes in groups.items()}
        num = sum(one.num_images for one in households)
        if len(values) > 1:
            scores.append(Score("disparity", *spread(values), num, f"by {by}"))
        if len(values) > 1 and any(map(any, values.values())):
            scores.append(Score("worst_to_best", *ratio(values), num, f"by {by}"))
    return scores


def _mean(households: Sequence[Household]) -> Score:
    found = group_mean([one.value for one in households])
    return Score(METRIC, *found, sum(one.num_images for one in households))


def evaluate(recipe: HouseholdLabels, splits: Mapping[str, Features]) -> list[Score]:
    """Trains the classifier on `train`, and looks for the things of the households in `test`.

    Images of things that no class stands for are left out, as published; `coverage` is the share
    of the others. Raises DataError if there are none, or for an income that is none.
    """
    train, test = splits["train"], splits["test"]
    classifier = fit(recipe.probe, train)
    concepts = concepts_of(classifier.classes, recipe.mapping)
    known = frozenset[Hashable]().union(*concepts)
    labels = test.fields["label"]
    places = [place for place, one in enumerate(labels) if not known.isdisjoint(things_of(one))]
    if not places:
        things = ", ".join(sorted({str(one) for label in labels for one in things_of(label)})[:5])
        raise DataError(f"label: expected things that a class stands for, got {things}, ...")
    seen = test.take(places)
    hits = top_hits(classifier.scores(seen), seen.fields["label"], concepts, top=recipe.top)
    homes = households_of(hits, seen.fields, recipe.buckets)
    coverage = Score("coverage", len(places) / len(test), None, None, len(test))
    return [*household_scores(homes, recipe.buckets), coverage]
