import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_curve
from sklearn.model_selection import StratifiedKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import LinearSVC

from schemas.benchmarks.recipes import Svm
from tests.train_entry.evaluation.feature_sets import digits, part
from train_entry.errors import DataError
from train_entry.evaluation.scores import Features
from train_entry.evaluation.svm import class_scores, evaluate, rotated, shown_classes

RECIPE = Svm(metric="map")


def unit(features):
    features = np.asarray(features, np.float64)
    return features / (np.linalg.norm(features, axis=1, keepdims=True) + 1e-5)


def minimise(features, positive, cost):
    """Weights and bias that minimise the squared hinge, positives twice, by L-BFGS."""
    rows = torch.from_numpy(np.hstack([features, np.ones((len(features), 1))]))
    signs = torch.from_numpy(np.where(positive, 1.0, -1.0))
    weights = torch.zeros(rows.shape[1], dtype=torch.float64, requires_grad=True)
    each = cost * torch.from_numpy(np.where(positive, 2.0, 1.0))
    solver = torch.optim.LBFGS(
        [weights], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def loss():
        solver.zero_grad()
        hinge = (1 - signs * (rows @ weights)).clamp(min=0)
        value = weights @ weights / 2 + (each * hinge**2).sum()
        value.backward()
        return value

    solver.step(loss)
    found = weights.detach().numpy()
    return lambda others: others @ found[:-1] + found[-1]


def chosen(features, positive, costs):
    """The machine of the cost with the best mean average precision in three folds."""
    means = []
    for cost in costs:
        values = []
        for fitted, held in StratifiedKFold(3).split(features, positive):
            machine = minimise(features[fitted], positive[fitted], cost)
            values.append(average_precision_score(positive[held], machine(features[held])))
        means.append(np.mean(values))
    return minimise(features, positive, costs[int(np.argmax(means))])


def area(right, scores):
    precision, recall, _ = precision_recall_curve(right, scores)
    falling = np.maximum.accumulate(precision)
    return float((-np.diff(recall) * falling[:-1]).sum())


def some_digits(num_classes=4, taps=("pool",)):
    """Digits of a few classes, some of them labelled as two classes at once."""
    splits = {}
    for name, one in digits().items():
        labels = np.array(one.fields["label"])
        places = np.flatnonzero(labels < num_classes)[:: 2 if name == "train" else 3]
        shown = [
            (f"{label}", "even") if label % 2 == 0 else (f"{label}",) for label in labels[places]
        ]
        features = one.taps["pool"][places]
        splits[name] = part(dict.fromkeys(taps, features), shown)
    return splits


def test_the_mean_average_precision_is_that_of_machines_made_otherwise():
    splits = some_digits()
    found = evaluate(RECIPE, splits)
    train, test = (unit(splits[name].taps["pool"]) for name in ("train", "test"))
    wanted = {}
    for name in ("0", "1", "2", "3", "even"):
        shown, right = (
            np.array([name in label for label in splits[part_of].fields["label"]])
            for part_of in ("train", "test")
        )
        wanted[name] = area(right, chosen(train, shown, RECIPE.costs)(test))
    assert {one.group: one.value for one in found[1:]} == pytest.approx(wanted, abs=2e-3)
    assert found[0].metric == "map"
    assert found[0].value == pytest.approx(np.mean(list(wanted.values())), abs=2e-3)
    assert found[0].low < found[0].value < found[0].high


def test_digits_are_told_apart_by_one_machine_each_as_by_scikit_learns():
    splits = digits()
    train, test = splits["train"], splits["test"]
    machine = LinearSVC(C=0.1, class_weight={1: 2, 0: 1}, random_state=0)
    other = make_pipeline(Normalizer(), OneVsRestClassifier(machine))
    other.fit(train.taps["pool"], train.fields["label"])
    wanted = other.score(test.taps["pool"], test.fields["label"])
    shown = shown_classes(train.fields["label"], range(10), "train")
    recipe = Svm(costs=(0.1,))
    (scores,) = class_scores(recipe, train.taps["pool"], shown, [test.taps["pool"]])
    right = scores.argmax(dim=1).numpy() == np.array(test.fields["label"])
    assert right.mean() == pytest.approx(wanted, abs=0.005)


def test_more_dimensions_than_images_are_turned_into_fewer_with_the_same_machine():
    generator = np.random.default_rng(0)
    train, test = generator.normal(size=(40, 300)), generator.normal(size=(30, 300))
    train[20:, :10] += 1
    shown = np.arange(40)[:, None] >= 20
    turned, (others,) = rotated(torch.from_numpy(train), [torch.from_numpy(test)])
    assert turned.shape == (40, 40)
    np.testing.assert_allclose(turned @ turned.T, unit(train) @ unit(train).T, atol=1e-9)
    np.testing.assert_allclose(others @ turned.T, unit(test) @ unit(train).T, atol=1e-9)
    recipe = Svm(costs=(1.0,))
    (found,) = class_scores(recipe, torch.from_numpy(train), shown, [torch.from_numpy(test)])
    wanted = minimise(unit(train), shown[:, 0], 1.0)(unit(test))
    np.testing.assert_allclose(found[:, 0], wanted, atol=2e-3)


def test_images_of_difficult_objects_do_not_count_in_the_test():
    splits = some_digits()
    test = splits["test"]
    threes = [place for place, label in enumerate(test.fields["label"]) if "3" in label]
    plain = {one.group: one for one in evaluate(RECIPE, splits)}
    # Images of a 3 that are said to show it as a difficult object alone.
    labels = [() if "3" in label else label for label in test.fields["label"]]
    difficult = [("3",) if "3" in label else () for label in test.fields["label"]]
    labels[threes[0]] = ("3",)
    changed = Features(test.names, test.taps, {"label": labels, "difficult": difficult})
    found = {one.group: one for one in evaluate(RECIPE, {**splits, "test": changed})}
    # One image is left that counts, for it shows an object that is not difficult too.
    kept = [place for place in range(len(test)) if place not in threes[1:]]
    less = {one.group: one for one in evaluate(RECIPE, {**splits, "test": test.take(kept)})}
    assert len(threes) > 5
    assert found["3"].value == less["3"].value
    assert found["1"].value == plain["1"].value


def test_the_best_tap_is_told_with_where_it_was_best():
    splits = some_digits(taps=("pool", "stage3_2x1"))
    noise = torch.randn(
        splits["test"].taps["pool"].shape, generator=torch.Generator().manual_seed(0)
    )
    taps = {**splits["test"].taps, "pool": noise}
    tested = Features(splits["test"].names, taps, splits["test"].fields)
    published = evaluate(RECIPE, {**splits, "test": tested})
    assert published[0].setting == "stage3_2x1, best of 2 on the test set, as published"
    assert [one.setting for one in published[-2:]] == ["tap pool", "tap stage3_2x1"]
    other = {"pool": splits["test"].taps["pool"], "stage3_2x1": noise}
    val = Features(tested.names, other, tested.fields)
    honest = evaluate(RECIPE, {**splits, "test": tested, "val": val})
    assert honest[0].setting == "pool, best of 2 on val"


def test_the_same_images_give_the_same_bits():
    splits = some_digits()
    assert evaluate(RECIPE, splits) == evaluate(RECIPE, splits)


def test_classes_that_cannot_be_learned_are_refused():
    splits = some_digits()
    test = splits["test"]
    strange = Features(test.names, test.taps, {"label": [("9",)] * len(test)})
    with pytest.raises(DataError, match="test: expected classes of the training images, got '9'"):
        evaluate(RECIPE, {**splits, "test": strange})
    alike = part(np.eye(4), ["a"] * 4)
    with pytest.raises(DataError, match="expected images with and without each class, got 4 alike"):
        evaluate(RECIPE, {"train": alike, "test": alike})


def test_a_class_of_fewer_images_than_folds_has_the_first_cost():
    features = np.random.default_rng(0).normal(size=(12, 5))
    features[:2, 0] += 3
    labels = [("a", "b")] * 2 + [("b",)] * 4 + [()] * 6
    train = part(features, labels)
    found = evaluate(RECIPE, {"train": train, "test": train})
    assert [one.group for one in found] == ["", "a", "b"]
