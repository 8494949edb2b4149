import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    cohen_kappa_score,
    f1_score,
    precision_recall_curve,
    recall_score,
    roc_auc_score,
)

from schemas.certificate import wilson_interval
from train_entry.errors import ConfigError, DataError
from train_entry.evaluation.class_statistics import average_precision
from train_entry.evaluation.classification import (
    average_precision_scores,
    classes_of,
    classification_scores,
    classification_value,
    groups_of,
    places_of_labels,
)

LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=40)
MANY = settings(max_examples=40, deadline=None)


def certain(predicted, num_classes):
    return torch.nn.functional.one_hot(torch.tensor(predicted), num_classes).float()


def guesses(num, num_classes, seed=0, skill=1.0):
    """Scores that favour the right class somewhat."""
    generator = np.random.default_rng(seed)
    right = generator.integers(num_classes, size=num)
    scores = generator.normal(size=(num, num_classes))
    scores[np.arange(num), right] += skill
    return torch.from_numpy(scores), right


def value(metric, scores, right, **groups):
    return classification_value(metric, scores, right, groups, tuple(groups))


def area_below_falling_curve(right, scores):
    precision, recall, _ = precision_recall_curve(right, scores)
    return sum(
        (recall[place] - recall[place + 1]) * precision[: place + 1].max()
        for place in range(len(recall) - 1)
    )


@MANY
@given(LABELS)
def test_means_over_classes_and_agreement_are_those_of_scikit_learn(pairs):
    right, predicted = map(np.array, zip(*pairs, strict=True))
    scores, there = certain(predicted, 4), np.unique(right)
    among = {"labels": there, "average": "macro", "zero_division": 0}
    assert value("macro_f1", scores, right) == pytest.approx(f1_score(right, predicted, **among))
    found = value("mean_per_class", scores, right)
    assert found == pytest.approx(recall_score(right, predicted, **among))
    found = value("quadratic_kappa", scores, right)
    if len({*right.tolist(), *predicted.tolist()}) > 1:
        wanted = cohen_kappa_score(right, predicted, labels=range(4), weights="quadratic")
        assert found == pytest.approx(wanted, abs=1e-9)
    else:
        assert np.isnan(found)


@MANY
@given(LABELS)
def test_classes_that_are_not_known_count_one_by_one(pairs):
    right, predicted = map(np.array, zip(*pairs, strict=True))
    # The classifier knows the first two of four.
    known = np.where(right < 2, right, 1 - right)
    scores, there = certain(predicted % 2, 2), np.unique(right)
    among = {"labels": there, "average": "macro", "zero_division": 0}
    wanted = f1_score(right, predicted % 2, **among)
    assert value("macro_f1", scores, known) == pytest.approx(wanted)
    wanted = recall_score(right, predicted % 2, **among)
    assert value("mean_per_class", scores, known) == pytest.approx(wanted)


@MANY
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_the_area_is_that_of_scikit_learn_ties_included(pairs):
    right, second = map(np.array, zip(*pairs, strict=True))
    right = right.astype(np.int64)
    scores = torch.stack([torch.zeros(len(right)), torch.tensor(second).float()], dim=1)
    found = value("roc_auc", scores, right)
    if 0 < right.sum() < len(right):
        assert found == pytest.approx(roc_auc_score(right, second))
    else:
        assert np.isnan(found)


@MANY
@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=25
    )
)
def test_average_precision_of_drawn_images_is_that_of_copies_of_them(rows):
    right, scores, counts = map(np.array, zip(*rows, strict=True))
    mask = np.ones((len(right), 1), bool)
    statistic = average_precision(scores[:, None].astype(float), right[:, None], mask)
    found = statistic(counts.astype(float))[0]
    copied_right, copied_scores = np.repeat(right, counts), np.repeat(scores, counts)
    if copied_right.any():
        wanted = area_below_falling_curve(copied_right, copied_scores)
        assert found == pytest.approx(wanted)
    else:
        assert np.isnan(found)


def test_average_precision_counts_no_image_of_a_difficult_object():
    scores = torch.tensor([[4.0], [3.0], [2.0], [1.0]])
    shown = np.array([[True], [False], [True], [False]])
    ignored = np.array([[False], [True], [False], [False]])
    mean, of_class = average_precision_scores(scores, shown, np.zeros_like(shown), ["dog"])
    assert mean.value == pytest.approx((1 + 2 / 3) / 2)
    assert (of_class.metric, of_class.group) == ("average_precision", "dog")
    assert average_precision_scores(scores, shown, ignored, ["dog"])[0].value == 1


def test_mean_average_precision_leaves_out_classes_that_nothing_shows():
    scores = torch.tensor([[1.0, 5.0, 1.0], [2.0, 4.0, 0.0], [3.0, 3.0, 0.0]])
    shown = np.array([[True, True, False], [False, False, False], [False, True, False]])
    nothing = np.zeros_like(shown)
    found = average_precision_scores(scores, shown, nothing, ["a", "b", "c"])
    assert [one.group for one in found] == ["", "a", "b"]
    assert found[0].value == pytest.approx((1 / 3 + (1 + 2 / 3) / 2) / 2)
    with pytest.raises(DataError, match="expected images that show one of 3 classes"):
        average_precision_scores(scores, nothing, nothing, ["a", "b", "c"])


def test_top1_is_a_share_with_wilsons_interval_and_top5_follows_it():
    scores, right = guesses(80, 8)
    found = classification_scores("top1", scores, right, {})
    hits = (scores.argmax(1).numpy() == right).sum()
    assert [one.metric for one in found] == ["top1", "top5"]
    assert found[0].value == hits / 80
    assert (found[0].low, found[0].high) == pytest.approx(wilson_interval(hits, 80))
    best = np.argsort(-scores.numpy(), axis=1)[:, :5]
    assert found[1].value == (best == right[:, None]).any(axis=1).mean()
    few = classification_scores("top1", scores[:, :5], right.clip(max=4), {})
    assert [one.metric for one in few] == ["top1"]


def test_a_class_that_the_classifier_does_not_know_is_wrong():
    scores = certain([0, 1, 2, 2, 0, 0], 3)
    right = np.array([0, 1, 2, -1, -1, 0])
    assert value("top1", scores, right) == 4 / 6
    # Three known classes, all right, and one more.
    assert value("mean_per_class", scores, right) == 3 / 4
    assert value("macro_f1", scores, right) == pytest.approx((0.8 + 1 + 2 / 3 + 0) / 4)


def test_of_several_right_classes_one_will_do():
    scores = certain([0, 1, 2], 6)
    right = np.zeros((3, 6), bool)
    right[0, [0, 3]] = right[1, [4, 5]] = right[2, 2] = True
    found = classification_scores("top1_multi_label", scores, right, {})
    assert [one.metric for one in found] == ["top1_multi_label", "top5"]
    assert found[0].value == 2 / 3


def test_figures_by_group_are_those_of_its_images():
    scores, right = guesses(200, 3)
    places = np.array(["north", "south", "south", ""] * 50)
    for metric, of_group in (("top1", "top1"), ("macro_f1", "macro_f1"), ("roc_auc", "roc_auc")):
        if metric == "roc_auc":
            scores, right = guesses(200, 2)
        found = classification_scores(metric, scores, right, {"region": places}, ("region",))
        groups = {one.group: one for one in found if one.group}
        assert list(groups) == ["north", "south"]
        some = np.flatnonzero(places == "south")
        assert groups["south"].value == value(metric, scores[some], right[some])
        assert groups["south"].metric == of_group
        assert groups["south"].num_images == 100


def test_groups_of_several_fields_are_named_with_the_field():
    fields = {"year": [2001, 2002, None], "region": ["a", "a", "b"]}
    found = groups_of(fields, ("year", "region"), 3)
    told = {name: places.tolist() for name, places in found.items()}
    assert told == {"year 2001": [0], "year 2002": [1], "region a": [0, 1], "region b": [2]}
    with pytest.raises(DataError, match="country: expected this field of 3 images, got year, reg"):
        groups_of(fields, ("country",), 3)


def test_the_worst_group_has_the_least_top1_and_says_which_it_is():
    right = np.zeros(60, np.int64)
    predicted = np.array([0] * 25 + [1] * 5 + [0] * 20 + [1] * 10)
    fields = {"region": ["a"] * 30 + ["b"] * 30}
    found = classification_scores("worst_group", certain(predicted, 2), right, fields, ("region",))
    assert [(one.metric, one.group) for one in found] == [
        ("worst_group", ""),
        ("top1", ""),
        ("top1", "a"),
        ("top1", "b"),
    ]
    assert found[0].value == 20 / 30
    assert found[0].setting == "worst of 2 groups: b"
    # Two intervals at once are wider than one.
    assert found[0].low < found[3].low
    assert found[0].high > found[3].high
    with pytest.raises(DataError, match="worst_group: expected groups of images"):
        classification_scores("worst_group", certain(predicted, 2), right, fields)


def test_the_interval_of_the_worst_group_covers_it():
    generator, true = np.random.default_rng(0), (0.8, 0.7, 0.7, 0.72)
    groups = {"g": np.repeat(list("abcd"), 50)}
    covered = 0
    for _ in range(200):
        hits = generator.random(200) < np.repeat(true, 50)
        scores = certain((~hits).astype(np.int64), 2)
        one = classification_scores("worst_group", scores, np.zeros(200, int), groups, ("g",))[0]
        covered += one.low <= 0.7 <= one.high
    assert covered / 200 >= 0.94


@pytest.mark.parametrize("metric", ["mean_per_class", "macro_f1", "quadratic_kappa", "roc_auc"])
def test_intervals_hold_the_value_and_the_same_images_give_the_same(metric):
    scores, right = guesses(150, 2)
    first, top1, *_ = classification_scores(metric, scores, right, {})
    assert first.low < first.value < first.high
    assert top1.metric == "top1"
    assert first == classification_scores(metric, scores, right, {})[0]


def test_an_interval_does_not_shrink_to_nothing_where_all_is_right():
    right = np.array([0, 1] * 10)
    for metric, trials in (("macro_f1", 20), ("mean_per_class", 20), ("roc_auc", 10)):
        found = classification_scores(metric, certain(right, 2), right, {})[0]
        assert found.value == 1
        assert (found.low, found.high) == pytest.approx(wilson_interval(trials, trials))


@pytest.mark.parametrize(
    ("metric", "num_classes", "right", "error", "message"),
    [
        ("rmse", 2, [0, 1], ConfigError, "metric: expected one of top1, .*, got 'rmse'"),
        ("top1", 2, [0], DataError, "expected images and a label of each, got 2 and 1"),
        ("roc_auc", 3, [0, 1], DataError, "roc_auc: expected 2 classes, got 3"),
        ("roc_auc", 2, [0, -1], DataError, "expected labels that the training images have"),
        ("roc_auc", 2, [1, 1], DataError, "expected images of several classes, got 2 of one"),
        ("quadratic_kappa", 2, [0, -1], DataError, "expected labels that the training images hav"),
        ("top1_multi_label", 2, [0, 1], DataError, "top1_multi_label: expected all classes"),
    ],
)
def test_what_cannot_be_told_is_refused(metric, num_classes, right, error, message):
    scores = torch.arange(2.0 * num_classes).reshape(2, num_classes)
    with pytest.raises(error, match=message):
        classification_scores(metric, scores, np.array(right), {})


def test_classes_are_sorted_and_each_label_has_its_place():
    classes = classes_of(["b", "a", "b", "c"])
    assert classes == ["a", "b", "c"]
    assert places_of_labels(["c", "z", "a", None, "z"], classes).tolist() == [2, -1, 0, -2, -1]
    assert places_of_labels([], classes).tolist() == []
    # As of numbers in one split and names in the other: nothing could be right.
    with pytest.raises(DataError, match=r"such as 'a', got 0, 1, 2$"):
        places_of_labels([0, 1, 2, 3, 0], classes)
    for labels, message in (
        ([("a", "b"), "c"], "expected one class an image, got \\('a', 'b'\\)"),
        (["a", None], "expected one class an image, got None"),
        (["a", "a"], "expected images of 2 classes or more, got \\['a'\\]"),
    ):
        with pytest.raises(DataError, match=message):
            classes_of(labels)
