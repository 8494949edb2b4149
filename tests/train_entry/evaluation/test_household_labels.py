import math

import numpy as np
import pytest
import torch

from schemas.benchmarks.recipes import HouseholdLabels, LinearProbe
from train_entry.errors import DataError
from train_entry.evaluation.disparity import spread
from train_entry.evaluation.household_labels import (
    concepts_of,
    evaluate,
    household_scores,
    households_of,
    income_bucket,
    top_hits,
)
from train_entry.evaluation.intervals import mean_interval
from train_entry.evaluation.scores import Features

BUCKETS = ("low", "medium", "high")
# household, region, income, hits of its images
TABLE = [
    ("h1", "Africa", 40, [1, 0, 0, 0]),
    ("h2", "Africa", 90, [1, 0]),
    ("h3", "Asia", 91, [1, 1, 1, 0]),
    ("h4", "Asia", 1808, [1]),
    ("h5", "Europe", 1809, [1, 1, 1, 1, 1, 0, 0, 0]),
]


def rows(table):
    images = [(home, region, income, hit) for home, region, income, hits in table for hit in hits]
    fields = dict(
        zip(("household", "region", "income", "hit"), zip(*images, strict=True), strict=True)
    )
    return [bool(hit) for hit in fields.pop("hit")], fields


def scores_of(table):
    return household_scores(households_of(*rows(table), BUCKETS), BUCKETS)


def values(scores, metric="hit_rate"):
    return {one.group: one.value for one in scores if one.metric == metric}


@pytest.mark.parametrize(
    ("income", "bucket"),
    [
        (4.5, "low"),
        (90, "low"),
        (math.exp(4.4999), "low"),
        (math.exp(4.5001), "medium"),
        ("91", "medium"),
        (1808, "medium"),
        (1808.1, "high"),
        (19_671.0, "high"),
        (36_315, "high"),
    ],
)
def test_income_is_put_into_buckets_by_its_logarithm(income, bucket):
    assert income_bucket(income, BUCKETS) == bucket
    assert BUCKETS[int(np.round(np.log(float(income)) / 3)) - 1] == bucket


@pytest.mark.parametrize("income", [4.4, 36_316, 0, -5, "rich", None, math.inf, math.nan])
def test_incomes_outside_of_all_buckets_are_refused(income):
    with pytest.raises(DataError, match="income: expected"):
        income_bucket(income, BUCKETS)


def test_means_are_over_households_not_over_images():
    found = values(scores_of(TABLE))
    homes = [0.25, 0.5, 0.75, 1.0, 0.625]
    assert found == pytest.approx(
        {
            "": np.mean(homes),
            "low": 0.375,
            "medium": 0.875,
            "high": 0.625,
            "Africa": 0.375,
            "Asia": 0.875,
            "Europe": 0.625,
        }
    )


def test_the_first_score_is_of_all_households_and_buckets_come_in_their_order():
    scores = scores_of(TABLE)
    assert (scores[0].metric, scores[0].group, scores[0].num_images) == ("hit_rate", "", 19)
    groups = [one.group for one in scores if one.metric == "hit_rate"]
    assert groups == ["", "low", "medium", "high", "Africa", "Asia", "Europe"]
    sizes = {one.group: one.num_images for one in scores}
    assert (sizes["low"], sizes["Asia"], sizes["by region"]) == (6, 5, 19)


def test_disparity_is_the_spread_of_groups_and_the_worst_by_the_best():
    scores = scores_of(TABLE)
    assert values(scores, "disparity") == pytest.approx({"by income": 0.5, "by region": 0.5})
    expected = {"by income": 0.375 / 0.875, "by region": 0.375 / 0.875}
    assert values(scores, "worst_to_best") == pytest.approx(expected)


def test_intervals_are_over_households():
    generator = np.random.default_rng(0)
    homes = [
        (f"h{n}", "Asia" if n % 2 else "Africa", 50, (generator.random(12) < n / 60).astype(int))
        for n in range(60)
    ]
    means = {"Asia": [], "Africa": []}
    for _, region, _, hits in sorted(homes, key=lambda home: home[0]):
        means[region].append(float(np.mean(hits)))
    scores = {(one.metric, one.group): one for one in scores_of(homes)}
    asia = scores["hit_rate", "Asia"]
    assert (asia.low, asia.high) == mean_interval(np.array(means["Asia"]))
    between = scores["disparity", "by region"]
    assert (between.low, between.high) == spread(means)[1:]
    of_images = np.concatenate([hits for _, region, _, hits in homes if region == "Asia"])
    low, high = mean_interval(of_images)
    assert asia.high - asia.low > 1.5 * (high - low)


def test_one_group_alone_has_no_disparity():
    assert values(scores_of(TABLE[:2]), "disparity") == {}
    assert (
        values(scores_of([("h1", "Asia", 50, [0]), ("h2", "Africa", 50, [0])]), "worst_to_best")
        == {}
    )


def test_a_hit_is_a_thing_that_one_of_the_first_classes_stands_for():
    classes = ("stove", "hearth", "bed", "cup")
    concepts = concepts_of(classes, {"hearth": ("stoves", "fireplaces"), "stove": ("stoves",)})
    assert concepts == [{"stoves"}, {"stoves", "fireplaces"}, {"bed"}, {"cup"}]
    scores = torch.tensor([[0.1, 0.5, 0.3, 0.1], [0.1, 0.5, 0.3, 0.1], [0.2, 0.2, 0.2, 0.2]])
    labels = ["fireplaces", "cup", ("bed", "stoves")]
    assert top_hits(scores, labels, concepts, top=2) == [True, False, True]
    assert top_hits(scores, labels, concepts, top=4) == [True, True, True]
    # Of equal scores the earlier classes are first: stove and hearth, not bed.
    assert top_hits(scores[2:], ["bed"], concepts, top=2) == [False]


def images(fields, pool):
    return Features([f"image {place}" for place in range(len(pool))], {"pool": pool}, fields)


def trained_recipe():
    probe = LinearProbe(epochs=30, learning_rate=1.0, taps=("pool",), metric="top1", batch=16)
    return HouseholdLabels(top=1, probe=probe, mapping={"range": ("stoves",)})


def test_a_trained_classifier_finds_the_things_of_households():
    generator = torch.Generator().manual_seed(0)
    means, names = torch.eye(3) * 6, ("bed", "cup", "range")
    labels = [place % 3 for place in range(60)]
    pool = means[labels] + torch.randn(60, 3, generator=generator)
    train = images({"label": [names[one] for one in labels]}, pool)
    fields = {
        "label": ["bed", "stoves", "bed", "cup", "bicycles"],
        "household": ["h1", "h1", "h2", "h2", "h2"],
        "region": ["Asia", "Asia", "Europe", "Europe", "Europe"],
        "income": ["50", "50", "5000", "5000", "5000"],
    }
    test = images(fields, means[[0, 2, 0, 0, 1]])
    scores = evaluate(trained_recipe(), {"train": train, "test": test})
    assert scores == evaluate(trained_recipe(), {"train": train, "test": test})
    expected = {"": 0.75, "low": 1, "high": 0.5, "Asia": 1, "Europe": 0.5}
    assert values(scores) == pytest.approx(expected)
    assert values(scores, "coverage") == pytest.approx({"": 0.8})
    nothing = images({**fields, "label": ["boats"] * 5}, test.taps["pool"])
    with pytest.raises(
        DataError, match="label: expected things that a class stands for, got boats"
    ):
        evaluate(trained_recipe(), {"train": train, "test": nothing})
