import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from schemas.benchmarks.recipes import HatefulMemes
from tests.train_entry.evaluation.feature_sets import part
from train_entry.errors import DataError
from train_entry.evaluation.hateful_memes import evaluate, text_features, with_text
from train_entry.evaluation.linear_probe import LinearHead, fit
from train_entry.evaluation.scores import Features

RECIPE = HatefulMemes(
    metric="roc_auc", epochs=10, milestones=(8,), batch=32, learning_rate=0.3, taps=("pool",)
)
GOOD, BAD = ("love", "cats", "sunny", "friends"), ("hate", "awful", "nasty", "enemy")


def memes(num, seed, image=0.7, word=1.0):
    """Images that tell a little of the label, with words that tell some."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=num)
    features = generator.normal(size=(num, 6))
    features[:, 0] += image * labels
    texts = []
    for label in labels:
        honest = generator.random() < (1 + word) / 2
        words = BAD if bool(label) == honest else GOOD
        texts.append(" ".join(["the", *generator.choice(words, 2)]))
    names = [f"{seed}-{number}.png" for number in range(num)]
    return part(features, labels.tolist(), names, text=texts)


def area(scores, labels):
    """The share of pairs in the right order, one by one."""
    positives = [one for one, label in zip(scores, labels, strict=True) if label == 1]
    negatives = [one for one, label in zip(scores, labels, strict=True) if label == 0]
    won = sum((one > other) + (one == other) / 2 for one in positives for other in negatives)
    return won / len(positives) / len(negatives)


def test_the_area_is_that_of_the_classifiers_scores():
    splits = {"train": memes(150, 0), "test": memes(80, 1)}
    (first, *others) = evaluate(RECIPE, splits)
    scores = fit(RECIPE, splits["train"]).scores(splits["test"])
    wanted = area((scores[:, 1] - scores[:, 0]).tolist(), splits["test"].fields["label"])
    assert (first.metric, first.setting) == ("roc_auc", "pool")
    assert first.value == pytest.approx(wanted)
    assert first.low < first.value < first.high
    assert [one.metric for one in others] == ["top1"]


def test_words_tell_more_than_the_image_alone_which_is_told_too():
    splits = {"train": memes(200, 0), "test": memes(100, 1)}
    found = evaluate(RECIPE.model_copy(update={"text_dimensions": 512}), splits)
    areas = {one.setting: one.value for one in found if one.metric == "roc_auc"}
    assert list(areas) == ["image and text; pool+text", "image alone; pool"]
    assert areas["image and text; pool+text"] > 0.95 > areas["image alone; pool"]
    alone = evaluate(RECIPE, splits)
    assert areas["image alone; pool"] == alone[0].value


def test_without_a_tie_between_words_and_labels_nothing_is_gained():
    splits = {"train": memes(200, 0, image=0, word=0), "test": memes(200, 1, image=0, word=0)}
    found = evaluate(RECIPE.model_copy(update={"text_dimensions": 256}), splits)
    assert abs(found[0].value - 0.5) < 0.1


def test_words_weigh_as_in_scikit_learns_own_vectoriser():
    texts = {"train": memes(60, 0).fields["text"], "test": memes(20, 1).fields["text"]}
    found = text_features(1 << 14, texts)
    plain = TfidfVectorizer().fit(texts["train"])
    for role, some in texts.items():
        wanted = plain.transform(some).toarray()
        np.testing.assert_allclose(found[role] @ found[role].T, wanted @ wanted.T, atol=1e-5)


def test_texts_are_as_long_as_images_of_the_training_set():
    splits = {"train": memes(50, 0), "test": memes(20, 1)}
    joined, taps = with_text(RECIPE.model_copy(update={"text_dimensions": 64}), splits)
    assert taps == ("pool+text",)
    for role, one in joined.items():
        both = one.taps["pool+text"]
        assert torch.equal(both[:, :6], splits[role].taps["pool"])
        length = splits["train"].taps["pool"].norm(dim=1).mean()
        torch.testing.assert_close(both[:, 6:].norm(dim=1), length.expand(len(both)))


def test_beside_text_the_plain_features_stay_plain():
    assert LinearHead("pool+text", 6, 2, 0).norm is None
    assert LinearHead("pool_norm+text", 6, 2, 0).norm is not None


def test_missing_texts_and_more_classes_than_two_are_refused():
    splits = {"train": memes(50, 0), "test": memes(20, 1)}
    bare = {
        name: Features(one.names, one.taps, {"label": one.fields["label"]})
        for name, one in splits.items()
    }
    with pytest.raises(DataError, match="expected the field text, got label"):
        evaluate(RECIPE.model_copy(update={"text_dimensions": 64}), bare)
    three = part(np.eye(6), ["a", "b", "c"] * 2)
    with pytest.raises(DataError, match="roc_auc: expected 2 classes, got 3"):
        evaluate(RECIPE, {"train": three, "test": three})
