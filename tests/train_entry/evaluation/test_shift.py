from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from schemas.benchmarks.recipes import LinearProbe, Shift
from train_entry.errors import DataError
from train_entry.evaluation.scores import Features, Score, mean_score
from train_entry.evaluation.shift import (
    difference,
    evaluate,
    predicted_classes,
    right_classes,
    shifted_scores,
)

WNIDS = ["n01440764", "n01443537", "n01484850", "n01491361", "n01494475"]


@dataclass(frozen=True)
class Fixed:
    """A classifier whose scores are the features."""

    classes: tuple = tuple(WNIDS)

    def scores(self, part):
        return part.taps["pool"]


def part(scores, labels, **fields):
    names = [f"{number}.jpg" for number in range(len(labels))]
    return Features(names, {"pool": torch.as_tensor(scores)}, {"label": labels, **fields})


def saying(places, strength=5.0):
    """Scores whose largest is that of the given class."""
    return torch.eye(len(WNIDS))[list(places)] * strength


def first_value(metric, scores, group=""):
    return next(one.value for one in scores if (one.metric, one.group) == (metric, group))


def test_labels_are_names_or_places_or_several_of_them():
    found = right_classes([WNIDS[2], 3, "4", (0, WNIDS[1]), ["1", "2"], "n0"], WNIDS)
    assert found == [{2}, {3}, {4}, {0, 1}, {1, 2}, set()]
    # Where classes are numbers, a number is a class and no place.
    assert right_classes([7, 9, 3], [3, 7, 11]) == [{1}, set(), {0}]


def test_labels_that_no_classifier_knows_are_told():
    with pytest.raises(DataError, match="such as 'n01440764', got 'cat'"):
        right_classes(["cat", "dog"], WNIDS)
    with pytest.raises(DataError, match="a place among 5 classes, got 5"):
        right_classes([5], WNIDS)


def test_one_of_several_right_labels_will_do_and_images_without_any_are_left_out():
    labels = [(0, 1), (0, 1), (), (2,), None, []]
    test = part(saying([1, 2, 3, 2, 0, 0]), labels)
    first = shifted_scores(Shift(metric="top1_multi_label"), Fixed(), {"test": test})[0]
    assert (first.metric, first.num_images) == ("top1_multi_label", 3)
    assert first.value == pytest.approx(2 / 3)


def test_a_corruption_error_is_not_told_of_images_of_unknown_corruptions():
    test = part(saying([0, 1]), WNIDS[:2], corruption=["fog", "fog"])
    with pytest.raises(
        DataError, match=r"expected fields corruption and severity .*got label, cor"
    ):
        shifted_scores(Shift(metric="mean_corruption_error"), Fixed(), {"test": test})


def test_a_label_that_the_classifier_does_not_know_is_wrong_not_left_out():
    test = part(saying([0, 1]), [WNIDS[0], "n99999999"])
    first = shifted_scores(Shift(metric="top1"), Fixed(), {"test": test})[0]
    assert (first.value, first.num_images) == (0.5, 2)


def test_a_mask_lets_only_the_classes_of_the_set_compete():
    # The highest score is that of a class that the set does not have.
    scores = torch.tensor([[1.0, 2.0, 9.0, 0.0, 0.0], [3.0, 2.0, 9.0, 0.0, 0.0]])
    test = part(scores, [WNIDS[1], WNIDS[0]])
    masked = shifted_scores(Shift(metric="top1", class_mask=True), Fixed(), {"test": test})
    assert masked[0].value == 1.0
    assert shifted_scores(Shift(metric="top1"), Fixed(), {"test": test})[0].value == 0.0


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_predictions_are_the_largest_scores_among_those_that_compete(seed, count):
    generator = np.random.default_rng(seed)
    scores = generator.normal(size=(count, 5)).astype(np.float32)
    competing = sorted(generator.choice(5, size=3, replace=False).tolist())
    test = part(scores, [0] * count)
    assert predicted_classes(Fixed(), test, None).tolist() == scores.argmax(axis=1).tolist()
    wanted = [max(competing, key=lambda place: row[place]) for row in scores]
    assert predicted_classes(Fixed(), test, competing).tolist() == wanted


def test_what_is_lost_is_told_against_the_same_classes_of_the_set_that_was_trained_on():
    test = part(saying([0, 1, 1, 0]), [WNIDS[0], WNIDS[0], WNIDS[1], WNIDS[1]])
    reference = part(saying([0, 1, 4, 3]), [WNIDS[0], WNIDS[1], WNIDS[2], WNIDS[3]])
    recipe = Shift(metric="top1", class_mask=True)
    *_, drop, there = shifted_scores(recipe, Fixed(), {"test": test, "reference": reference})
    # Of classes 0 and 1 both reference images are right.
    assert (there.metric, there.value, there.num_images) == ("reference_top1", 1.0, 2)
    assert (drop.metric, drop.value, drop.setting) == ("drop", 0.5, "imagenet-1k, 2 classes")
    recipe = Shift(metric="top1")
    *_, drop, there = shifted_scores(recipe, Fixed(), {"test": test, "reference": reference})
    assert (there.value, drop.value, drop.setting) == (0.75, 0.25, "imagenet-1k")


def test_the_interval_of_a_difference_is_the_published_one():
    # Newcombe 1998, table II, method 10: 56/70 - 48/80 and 9/10 - 3/10.
    for (hits, num), (others, other_num), wanted in [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
    ]:
        first, second = (
            mean_score("top1", [1.0] * right + [0.0] * (of - right))
            for right, of in ((hits, num), (others, other_num))
        )
        assert difference(first, second) == pytest.approx(wanted, abs=5e-5)


def test_macro_f1_is_that_of_scikit_learn_in_all_and_by_split():
    generator = np.random.default_rng(0)
    labels, said = generator.integers(0, 4, 200), generator.integers(0, 5, 200)
    splits = np.where(np.arange(200) < 80, "id_test", "test")
    test = part(saying(said), [WNIDS[label] for label in labels], split=splits.tolist())
    found = shifted_scores(Shift(metric="macro_f1"), Fixed(), {"test": test})
    assert found[0].metric == "macro_f1"
    for group in ("", "id_test", "test"):
        some = np.full(200, True) if not group else splits == group
        wanted = f1_score(labels[some], said[some], average="macro", labels=np.unique(labels[some]))
        assert first_value("macro_f1", found, group) == pytest.approx(wanted)
        assert first_value("top1", found, group) == (labels == said)[some].mean()
    assert found[0].low < found[0].value < found[0].high


def test_corruption_error_comes_first_where_it_is_the_metric():
    labels = [WNIDS[0]] * 10
    fields = {"corruption": ["fog"] * 10, "severity": [1, 2, 3, 4, 5] * 2}
    test = part(saying([0] * 5 + [1] * 5), labels, **fields)
    found = shifted_scores(Shift(metric="mean_corruption_error"), Fixed(), {"test": test})
    assert found[0].metric == "mean_corruption_error"
    assert found[0].value == pytest.approx(0.5 / 0.819324)
    assert first_value("top1", found) == 0.5
    assert shifted_scores(Shift(metric="top1"), Fixed(), {"test": test})[0].metric == "top1"


def test_a_set_without_labels_is_an_error():
    test = part(saying([0, 0]), [(), None])
    with pytest.raises(DataError, match="expected images with labels, got 2 without"):
        shifted_scores(Shift(), Fixed(), {"test": test})


def test_the_classifier_is_trained_on_the_other_set_alone():
    generator = torch.Generator().manual_seed(0)
    places = torch.arange(200) % 5

    def noisy(noise):
        return torch.eye(5)[places] + noise * torch.randn(200, 5, generator=generator)

    labels = [WNIDS[place] for place in places]
    recipe = Shift(
        metric="top1", probe=LinearProbe(metric="top1", taps=("pool",), learning_rate=1.0, epochs=5)
    )
    splits = {
        "train": part(noisy(0.1), labels),
        "reference": part(noisy(0.1), labels),
        "test": part(noisy(0.6), places.tolist()),
    }
    found = evaluate(recipe, splits)
    assert 0.4 < found[0].value < 1.0
    assert first_value("reference_top1", found) == 1.0
    assert first_value("drop", found) == pytest.approx(1.0 - found[0].value)
    assert evaluate(recipe, splits) == found
    assert isinstance(found[0], Score)
