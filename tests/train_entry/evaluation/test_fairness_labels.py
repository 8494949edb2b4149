import numpy as np
import pytest
import torch

from schemas.benchmarks.recipes import FairnessLabels, LinearProbe
from schemas.certificate import wilson_interval
from train_entry.errors import DataError
from train_entry.evaluation.disparity import Estimate, against_others
from train_entry.evaluation.fairness_labels import (
    People,
    TopLabels,
    evaluate,
    label_scores,
    rate_of_label,
)
from train_entry.evaluation.scores import Features

CLASSES = ("ape", "beard", "face", "prison", "tree")
RECIPE = FairnessLabels(
    top=2,
    thresholds=(0.0, 0.3),
    threshold=0.1,
    associations={"non-human": ("ape", "rat"), "human": ("face",), "crime": ("prison",)},
    disparate={"prison": 0.5},
    group_by=(("gender", "skin_tone"), ("age",)),
)
#            ape   beard face  prison tree
SCORES = torch.tensor(
    [
        [0.05, 0.03, 0.90, 0.01, 0.01],  # face, ape      female darker   18-30
        [0.15, 0.02, 0.80, 0.02, 0.01],  # face, ape      female darker   18-30
        [0.01, 0.40, 0.55, 0.02, 0.02],  # face, beard    male lighter    18-30
        [0.01, 0.09, 0.20, 0.60, 0.10],  # prison, face   male lighter    70+
        [0.35, 0.45, 0.10, 0.05, 0.05],  # beard, ape     male darker     70+
        [0.02, 0.08, 0.05, 0.45, 0.40],  # prison, tree   n/a, lighter    70+
    ]
)
FIELDS = {
    "gender": ["female", "female", "male", "male", "male", "n/a"],
    "skin_tone": ["darker", "darker", "lighter", "lighter", "darker", "lighter"],
    "age": ["18-30", "18-30", "18-30", "70+", "70+", "70+"],
}


def faces(fields, pool=None):
    num = len(next(iter(fields.values())))
    taps = {"pool": torch.zeros(num, 1) if pool is None else pool}
    return Features([f"face {place}" for place in range(num)], taps, fields)


def found(scores, metric="label_rate"):
    return {(one.setting, one.group): one.value for one in scores if one.metric == metric}


@pytest.fixture(scope="module")
def scores():
    return label_scores(RECIPE, SCORES, CLASSES, People.of(faces(FIELDS), RECIPE.group_by))


def test_a_label_counts_if_it_is_among_the_first_and_scores_enough():
    kept = TopLabels.of(SCORES, 2).kept(0.1)
    expected = [
        ["face"],
        ["ape", "face"],
        ["beard", "face"],
        ["face", "prison"],
        ["ape", "beard"],
        ["prison", "tree"],
    ]
    assert [[CLASSES[column] for column in row.nonzero()[0]] for row in kept] == expected
    assert TopLabels.of(SCORES, 2).kept(0.0).sum(axis=1).tolist() == [2] * 6


def test_a_score_that_equals_the_threshold_counts_and_ties_go_to_the_earlier_class():
    scores = torch.tensor([[0.25, 0.25, 0.25, 0.25]])
    assert TopLabels.of(scores, 2).kept(0.25).tolist() == [[True, True, False, False]]
    assert not TopLabels.of(scores, 9).kept(0.2500001).any()


def test_the_first_score_is_the_first_association_of_all_images_at_the_main_threshold(scores):
    first = scores[0]
    assert (first.metric, first.group) == ("label_rate", "")
    assert first.setting == "non-human, threshold 0.1, 1 of 2 labels known"
    assert (first.value, first.num_images) == (pytest.approx(2 / 6), 6)
    assert (first.low, first.high) == wilson_interval(2, 6)


def test_shares_by_group_are_those_of_the_table_by_hand(scores):
    rates = found(scores)
    apes = {
        "": [2 / 6, 3 / 6, 1 / 6],
        "female darker": [1 / 2, 1, 0],
        "male darker": [1, 1, 1],
        "male lighter": [0, 0, 0],
        "18-30": [1 / 3, 2 / 3, 0],
        "70+": [1 / 3, 1 / 3, 1 / 3],
    }
    for group, values in apes.items():
        for threshold, value in zip((0.1, 0, 0.3), values, strict=True):
            setting = f"non-human, threshold {threshold:g}, 1 of 2 labels known"
            assert rates[setting, group] == pytest.approx(value), (group, threshold)
    assert rates["human, threshold 0.1", ""] == pytest.approx(4 / 6)
    assert rates["human, threshold 0.3", "male lighter"] == pytest.approx(1 / 2)
    assert rates["crime, threshold 0.3", "70+"] == pytest.approx(2 / 3)


def test_who_is_of_no_known_group_is_in_the_whole_and_in_no_group_of_that_kind(scores):
    groups = {group for _, group in found(scores)}
    assert groups == {"", "female darker", "male darker", "male lighter", "18-30", "70+"}


def test_a_label_that_needs_a_look_is_counted_from_its_own_score_on(scores):
    rates = found(scores)
    setting = "disparate label prison, threshold 0.5"
    assert rates[setting, ""] == pytest.approx(1 / 6)
    assert rates[setting, "70+"] == pytest.approx(1 / 3)
    assert rates[setting, "male lighter"] == pytest.approx(1 / 2)


def test_the_spread_is_between_the_groups_of_one_kind(scores):
    spreads = found(scores, "disparity")
    assert spreads["human, threshold 0.1", "by gender and skin_tone"] == pytest.approx(1)
    assert spreads["human, threshold 0.1", "by age"] == pytest.approx(1 - 1 / 3)


def test_differences_of_rates_are_of_shares_of_labels_not_of_images(scores):
    # Labels at 0.1: female darker 3, male lighter 4, male darker 2; 18-30: 5, 70+: 6.
    differences = found(scores, "label_rate_difference")
    beard = {
        "female darker": 0 - (1 / 4 + 1 / 2) / 2,
        "male lighter": 1 / 4 - (0 + 1 / 2) / 2,
        "male darker": 1 / 2 - (0 + 1 / 4) / 2,
    }
    face = {"18-30": 3 / 5 - 1 / 6, "70+": 1 / 6 - 3 / 5}
    recipe = RECIPE.model_copy(update={"associations": {"beard": ("beard",), "rat": ("rat",)}})
    people = People.of(faces(FIELDS), recipe.group_by)
    told = found(label_scores(recipe, SCORES, CLASSES, people), "label_rate_difference")
    for group, value in beard.items():
        assert told["beard, threshold 0.1", group] == pytest.approx(value)
    for group, value in face.items():
        assert differences["face, threshold 0.1", group] == pytest.approx(value)


def test_with_as_many_labels_each_a_rate_is_a_share_of_images_divided_by_that():
    given, labels = np.array([1.0, 0, 0, 1, 0, 0, 0, 0]), np.full(8, 5.0)
    low, high = wilson_interval(2, 8)
    assert rate_of_label(given, labels) == pytest.approx((0.05, low / 5, high / 5))


def test_intervals_of_rate_differences_cover_the_true_ones_nearly_always():
    generator = np.random.default_rng(0)
    truth = 0.1 / 2.2 - 0.02 / 1.9
    inside = []
    for _ in range(500):
        rates = {}
        for name, share, more in (("a", 0.1, 2.1), ("b", 0.02, 1.88)):
            given = (generator.random(200) < share).astype(float)
            rates[name] = rate_of_label(given, given + generator.binomial(4, more / 4, size=200))
        estimate: Estimate = against_others(rates)["a"]
        inside.append(estimate.low <= truth <= estimate.high)
    assert 0.93 <= np.mean(inside) <= 0.99


def test_what_nobody_knows_of_someone_is_told_and_not_compared():
    fields = FIELDS | {"gender": ["unknown", "female", "male", "male", "male", "unknown"]}
    recipe = RECIPE.model_copy(update={"group_by": (("gender",),)})
    got = label_scores(recipe, SCORES, CLASSES, People.of(faces(fields), recipe.group_by))
    assert found(got)["human, threshold 0.1", "unknown"] == pytest.approx(1 / 2)
    spreads = found(got, "disparity")
    assert spreads["human, threshold 0.1", "by gender"] == pytest.approx(1 - 2 / 3)


def test_several_images_of_one_person_make_the_interval_wider():
    fields = FIELDS | {"subject": ["1", "2", "3", "3", "2", "1"]}
    people = People.of(faces(fields), RECIPE.group_by)
    first = label_scores(RECIPE, SCORES, CLASSES, people)[0]
    assert first.value == pytest.approx(2 / 6)
    # Both hits are of one of three people: by hand, the share varies as that of 2 trials does.
    assert (first.low, first.high) == pytest.approx(wilson_interval(4 / 6, 2))


def test_images_of_persons_who_are_not_told_are_of_a_person_each():
    alone = People.of(faces(FIELDS | {"subject": [None, "", "n/a", "nan", "7", 7.5]}), ())
    assert alone.subjects is not None
    assert len(set(alone.subjects.tolist())) == 6
    got = label_scores(RECIPE, SCORES, CLASSES, alone)[0]
    assert (got.low, got.high) == pytest.approx(wilson_interval(2 * 5 / 6, 5), abs=0.03)


def test_an_association_of_which_no_label_is_known_is_no_all_clear():
    people = People.of(faces(FIELDS), RECIPE.group_by)
    got = label_scores(RECIPE, SCORES[:, 1:], CLASSES[1:], people)
    assert not any("non-human" in one.setting for one in got)
    with pytest.raises(
        DataError, match="expected some of ape, rat, face, prison, got none of them"
    ):
        label_scores(RECIPE, SCORES[:, :2], ("tree", "cup"), people)


def test_a_trained_classifier_gives_the_labels():
    generator = torch.Generator().manual_seed(0)
    means = torch.eye(4) * 6
    labels = [place % 4 for place in range(80)]
    pool = means[labels] + torch.randn(80, 4, generator=generator)
    names = ("ape", "face", "prison", "tree")
    train = faces({"label": [names[one] for one in labels]}, pool)
    shown = [1, 1, 1, 1, 0, 1, 1, 2]
    fields = {
        "gender": ["female"] * 4 + ["male"] * 4,
        "skin_tone": ["darker", "lighter"] * 4,
        "age": ["18-30"] * 8,
    }
    test = faces(fields, means[shown])
    probe = LinearProbe(epochs=30, learning_rate=1.0, taps=("pool",), metric="top1", batch=16)
    recipe = RECIPE.model_copy(update={"probe": probe, "thresholds": (0.5,), "threshold": 0.5})
    got = evaluate(recipe, {"train": train, "test": test})
    assert got == evaluate(recipe, {"train": train, "test": test})
    rates = found(got)
    assert rates["human, threshold 0.5", ""] == pytest.approx(6 / 8)
    assert rates["crime, threshold 0.5", "male lighter"] == pytest.approx(1 / 2)
    assert got[0].setting == "non-human, threshold 0.5, 1 of 2 labels known"
    assert got[0].value == pytest.approx(1 / 8)
