import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from schemas.benchmarks.recipes import LinearProbe
from tests.train_entry.evaluation.feature_sets import clusters, digit_arrays, digits, part
from train_entry.errors import DataError, Diverged
from train_entry.evaluation.learning_rate import learning_rate
from train_entry.evaluation.linear_probe import LinearHead, evaluate, fit, train_heads
from train_entry.evaluation.scores import Features
from train_entry.evaluation.training_images import TrainingImages

QUICK = LinearProbe(epochs=3, milestones=(2,), batch=16, learning_rate=0.5, metric="top1")
HALVES = {
    "pool": np.asarray,
    "stage3_2x1": lambda pixels: pixels.reshape(-1, 8, 8)[:, :, ::2].reshape(len(pixels), -1),
}


def test_digits_are_told_as_well_as_by_scikit_learns_logistic_regression():
    train, train_labels, test, test_labels = digit_arrays()
    wanted = LogisticRegression(max_iter=2000).fit(train, train_labels).score(test, test_labels)
    recipe = LinearProbe(learning_rate=0.1, batch=64, metric="top1")
    found = {one.setting: one.value for one in evaluate(recipe, digits()) if one.metric == "top1"}
    assert found["tap pool"] == pytest.approx(wanted, abs=0.005)
    assert found["tap pool_norm"] == pytest.approx(wanted, abs=0.005)


def test_a_head_is_trained_as_plain_steps_would():
    """Without shuffling to speak of: one batch an epoch, momentum and decay by hand."""
    train = clusters(30, num_classes=3)
    recipe = LinearProbe(
        epochs=4, milestones=(2, 3), batch=64, learning_rate=0.3, weight_decay=0.1, taps=("pool",)
    )
    images = TrainingImages.of(train)
    head = LinearHead("pool", 8, 3, recipe.seed).double()
    weight, bias = (one.detach().numpy().copy() for one in head.linear.parameters())
    features = train.taps["pool"].double().numpy()
    right = np.eye(3)[images.labels]
    momenta = [np.zeros_like(weight), np.zeros_like(bias)]
    for epoch in range(4):
        scores = features @ weight.T + bias
        shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        error = (shares - right) / len(features)
        rate = 0.3 * 64 / 256 * 0.1 ** sum(epoch >= one for one in (2, 3))
        for place, (one, gradient) in enumerate(
            ((weight, error.T @ features), (bias, error.sum(axis=0)))
        ):
            gradient = gradient + 0.1 * one
            momenta[place] = momenta[place] * 0.9 + gradient
            one -= rate * (gradient + 0.9 * momenta[place])
    found = train_heads(recipe, train, images)["pool"].head.linear
    np.testing.assert_allclose(found.weight.detach(), weight, atol=1e-5)
    np.testing.assert_allclose(found.bias.detach(), bias, atol=1e-5)


def test_both_halves_of_a_channel_are_normalised_as_one():
    head = LinearHead("stage3_2x1", 6, 2, 0).train()
    features = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) * 3 + 5
    normed = torch.nn.BatchNorm2d(3)(features.reshape(50, 3, 2, 1)).flatten(1)
    torch.testing.assert_close(head(features), head.linear(normed))


def test_pool_alone_has_no_batch_norm():
    assert LinearHead("pool", 4, 2, 0).norm is None
    assert LinearHead("pool_norm", 4, 2, 0).norm.num_features == 4
    assert LinearHead("stage4_1x2", 4, 2, 0).norm.num_features == 2


def test_the_rate_of_steps_and_of_a_cosine():
    steps = LinearProbe(epochs=28, batch=512)
    found = [learning_rate(steps, epoch) for epoch in (0, 7, 8, 16, 24, 27)]
    assert found == pytest.approx([0.02, 0.02, 2e-3, 2e-4, 2e-5, 2e-5])
    cosine = LinearProbe(schedule="cosine", epochs=10, learning_rate=0.3, final_learning_rate=0.1)
    assert learning_rate(cosine, 0) == pytest.approx(0.3)
    assert learning_rate(cosine, 2.5) == pytest.approx(0.2 + 0.1 * math.cos(math.pi / 4))
    assert learning_rate(cosine, 10) == pytest.approx(0.1)


def test_the_best_tap_comes_first_then_each_one():
    splits = digits(**HALVES)
    found = evaluate(QUICK.model_copy(update={"epochs": 6}), splits)
    by_tap = {one.setting: one.value for one in found if one.setting.startswith("tap ")}
    assert set(by_tap) == {"tap pool", "tap pool_norm", "tap stage3_2x1"}
    assert found[0].value == max(by_tap.values())
    assert found[0].setting.endswith(", best of 3 on the test set, as published")
    assert [one.metric for one in found[:2]] == ["top1", "top5"]


def test_a_tap_is_chosen_on_val_where_there_is_one():
    train, test = clusters(120), clusters(60, seed=1, start=120)
    noise = torch.randn(180, 8, generator=torch.Generator().manual_seed(0))
    # Here `pool` is of no use in the test, and alone of use on val.
    seen = Features(
        train.names, {"pool": train.taps["pool"], "stage4_2x1": train.taps["pool"]}, train.fields
    )
    tested = Features(
        test.names, {"pool": noise[:60], "stage4_2x1": test.taps["pool"]}, test.fields
    )
    val = Features(test.names, {"pool": test.taps["pool"], "stage4_2x1": noise[:60]}, test.fields)
    recipe = QUICK.model_copy(update={"taps": ("pool", "stage4_2x1")})
    published = evaluate(recipe, {"train": seen, "test": tested})
    honest = evaluate(recipe, {"train": seen, "test": tested, "val": val})
    assert published[0].setting == "stage4_2x1, best of 2 on the test set, as published"
    assert honest[0].setting == "pool, best of 2 on val"
    assert honest[0].value < 0.6 < published[0].value
    assert fit(recipe, seen, val).tap == "pool"
    assert fit(recipe, seen, tested).tap == "stage4_2x1"


def test_without_val_images_held_out_choose_the_classifier_of_others():
    train = clusters(200)
    noise = torch.randn(200, 8, generator=torch.Generator().manual_seed(0))
    seen = Features(train.names, {"pool": noise, "stage3_1x2": train.taps["pool"]}, train.fields)
    found = fit(QUICK.model_copy(update={"taps": ("pool", "stage3_1x2")}), seen)
    assert found.tap == "stage3_1x2"
    assert list(found.classes) == ["class 0", "class 1", "class 2", "class 3"]
    test = clusters(40, seed=2)
    scores = found.scores(Features(test.names, {"stage3_1x2": test.taps["pool"]}, test.fields))
    assert scores.shape == (40, 4)
    hits = [found.classes[one] for one in scores.argmax(1).tolist()]
    assert np.mean(np.array(hits) == test.fields["label"]) > 0.9


def test_the_same_images_give_the_same_bits_and_taps_do_not_disturb_each_other():
    splits = digits(**HALVES)
    images = TrainingImages.of(splits["train"])
    together = train_heads(QUICK, splits["train"], images)
    again = train_heads(QUICK, splits["train"], images)
    torch.manual_seed(5)
    alone = train_heads(QUICK.model_copy(update={"taps": ("stage3_2x1",)}), splits["train"], images)
    for tap, one in together.items():
        assert all(
            map(torch.equal, one.head.state_dict().values(), again[tap].head.state_dict().values())
        )
    assert torch.equal(
        alone["stage3_2x1"].head.linear.weight, together["stage3_2x1"].head.linear.weight
    )
    other = train_heads(QUICK.model_copy(update={"seed": 1}), splits["train"], images)
    assert not torch.equal(other["pool"].head.linear.weight, together["pool"].head.linear.weight)


def test_features_are_read_from_a_file_that_must_not_be_written(tmp_path):
    splits = digits()
    np.save(tmp_path / "pool.npy", splits["train"].taps["pool"].numpy())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        mapped = torch.from_numpy(np.load(tmp_path / "pool.npy", mmap_mode="r"))
    seen = Features(splits["train"].names, {"pool": mapped}, splits["train"].fields)
    assert evaluate(QUICK, {**splits, "train": seen}) == evaluate(QUICK, splits)


def test_in_each_epoch_an_image_is_seen_in_one_of_its_views_in_turn():
    names = ["a", "b", "c", "d"] * 2 + ["a"]
    labels = [0, 1, 0, 1] * 2 + [0]
    images = TrainingImages.of(part(np.arange(9.0)[:, None], labels, names))
    assert (len(images), images.names, images.labels.tolist()) == (4, list("abcd"), [0, 1, 0, 1])
    generator = torch.Generator().manual_seed(0)
    seen = []
    for epoch in range(4):
        batches = list(images.batches(epoch, 3, generator))
        # One image alone would be the last batch.
        assert [len(rows) for rows, _ in batches] == [3]
        seen.append({int(row) for rows, _ in batches for row in rows})
    for epoch, rows in enumerate(seen):
        wanted = [{0, 4, 8}, {1, 5}, {2, 6}, {3, 7}]
        assert all(any(row in some for some in wanted) for row in rows)
        assert all((row // 4) % 3 == epoch % (3 if row % 4 == 0 else 2) for row in rows)


def test_fewer_images_than_a_batch_and_labels_of_the_test_alone_are_no_trouble():
    train, test = clusters(10, num_classes=2), clusters(10, num_classes=3)
    found = evaluate(QUICK.model_copy(update={"batch": 256}), {"train": train, "test": test})
    unknown = sum(label == "class 2" for label in test.fields["label"])
    assert 0 < found[0].value <= 1 - unknown / 10


def test_a_tap_whose_classifier_diverges_is_left_out_and_named():
    splits = {
        name: Features(
            one.names,
            {"pool": one.taps["pool"], "stage3_2x1": torch.full_like(one.taps["pool"], 1e38)},
            one.fields,
        )
        for name, one in (("train", clusters(60)), ("test", clusters(30, seed=1)))
    }
    recipe = QUICK.model_copy(update={"taps": ("pool", "stage3_2x1")})
    found = evaluate(recipe, splits)
    assert found[0].setting == "pool; stage3_2x1 diverged"
    with pytest.raises(Diverged, match="expected weights that are numbers, got none of stage3_2x1"):
        evaluate(recipe.model_copy(update={"taps": ("stage3_2x1",)}), splits)


def test_labels_and_features_that_cannot_be_trained_on_are_refused():
    good = clusters(20)
    several = part(np.zeros((2, 3)), [("a", "b"), ("a",)])
    with pytest.raises(DataError, match="label: expected one class an image, got"):
        evaluate(QUICK, {"train": several, "test": good})
    bare = Features(good.names, {"stage9": good.taps["pool"]}, good.fields)
    with pytest.raises(DataError, match=r"expected features of pool, pool_norm, .*, got stage9"):
        evaluate(QUICK, {"train": bare, "test": good})
