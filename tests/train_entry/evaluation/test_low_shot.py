import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from schemas.benchmarks.recipes import LowShot
from tests.train_entry.evaluation.feature_sets import clusters, part
from train_entry.evaluation.low_shot import draw, evaluate, mean_of_draws
from train_entry.evaluation.scores import Score
from train_entry.evaluation.training_images import TrainingImages

QUICK = LowShot(
    num_train=40, epochs=4, milestones=(3,), batch=16, learning_rate=0.5, metric="top1", samples=3
)


def images(sizes):
    """Of as many images of each class, mixed."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.random.default_rng(0).permutation(labels).tolist()
    return TrainingImages.of(part(np.zeros((len(labels), 1)), labels))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=8), st.integers(1, 80))
def test_a_draw_is_as_balanced_as_the_images_allow(sizes, num_train):
    known = images(sizes)
    drawn = draw(known, LowShot(num_train=num_train), None, 0)
    assert len(set(drawn.tolist())) == len(drawn) == min(num_train, sum(sizes))
    counts = np.bincount(known.labels[drawn], minlength=len(sizes))
    # Whoever has fewer than another has all his images, or one fewer.
    assert all(
        count == size or count >= counts.max() - 1
        for count, size in zip(counts, sizes, strict=True)
    )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=2, max_size=6), st.sampled_from((0.01, 0.1, 0.5)))
def test_a_share_is_that_of_each_class_and_one_image_at_least(sizes, share):
    known = images(sizes)
    drawn = draw(known, LowShot(), share, 0)
    counts = np.bincount(known.labels[drawn], minlength=len(sizes))
    assert counts.tolist() == [max(1, round(share * size)) for size in sizes]


def test_draws_depend_on_names_seed_and_number_but_not_on_the_order_of_files():
    train = clusters(120)
    order = np.random.default_rng(1).permutation(120).tolist()
    one, other = TrainingImages.of(train), TrainingImages.of(train.take(order))

    def names(known, number=0, seed=0):
        drawn = draw(known, LowShot(num_train=30, seed=seed), None, number)
        return [known.names[image] for image in drawn]

    assert names(one) == names(other)
    assert (
        len({tuple(sorted(names(one, number, seed))) for number in (0, 1) for seed in (0, 1)}) == 4
    )


def test_figures_are_those_of_all_draws_and_do_not_depend_on_the_order_of_files():
    train, test = clusters(120, spread=1.5), clusters(80, spread=1.5, seed=1)
    splits = {"train": train, "test": test}
    found = evaluate(QUICK, splits)
    assert found[0].setting.startswith("40 training images, 3 draws; pool")
    assert found[0].low < found[0].value < found[0].high
    order = np.random.default_rng(1).permutation(120).tolist()
    assert evaluate(QUICK, {**splits, "train": train.take(order)}) == found
    first = evaluate(QUICK.model_copy(update={"samples": 1}), splits)
    assert first[0].setting.startswith("40 training images; pool")


def test_each_share_has_its_figures_the_first_one_first():
    splits = {"train": clusters(200), "test": clusters(40, seed=1)}
    recipe = QUICK.model_copy(update={"shares": (0.1, 0.5), "samples": 1, "taps": ("pool",)})
    found = evaluate(recipe, splits)
    assert [one.setting for one in found] == [
        "0.1 of each class, 20 training images; pool",
        "0.5 of each class, 100 training images; pool",
    ]


def test_the_interval_joins_that_of_images_and_that_of_draws():
    draws = [[Score("top1", value, value - 0.03, value + 0.02, 50)] for value in (0.7, 0.72, 0.77)]
    (found,) = mean_of_draws(draws)
    error = stats.t.ppf(0.975, 2) * np.std([0.7, 0.72, 0.77], ddof=1) / 3**0.5
    assert found.value == pytest.approx(0.73)
    assert found.low == pytest.approx(0.73 - np.hypot(0.03, error))
    assert found.high == pytest.approx(0.73 + np.hypot(0.02, error))


def test_the_interval_of_draws_stays_within_what_can_be():
    share = [[Score("top1", value, value - 0.1, 1.0, 9)] for value in (0.4, 1.0)]
    kappa = [[Score("quadratic_kappa", value, value - 0.1, 1.0, 9)] for value in (-0.4, 1.0)]
    assert (mean_of_draws(share)[0].low, mean_of_draws(share)[0].high) == (0, 1)
    assert (mean_of_draws(kappa)[0].low, mean_of_draws(kappa)[0].high) == (-1, 1)


def test_more_images_tell_more():
    train, test = clusters(400, spread=2), clusters(200, spread=2, seed=1)
    recipe = QUICK.model_copy(update={"taps": ("pool",), "epochs": 20, "milestones": (15,)})
    few, many = (
        evaluate(recipe.model_copy(update={"num_train": num}), {"train": train, "test": test})[0]
        for num in (8, 300)
    )
    assert few.value < many.value
