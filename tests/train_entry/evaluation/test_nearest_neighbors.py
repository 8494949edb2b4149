import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from schemas.benchmarks.recipes import NearestNeighbors
from tests.train_entry.evaluation.feature_sets import clusters, digits
from train_entry.evaluation.nearest_neighbors import (
    evaluate,
    neighbor_votes,
)
from train_entry.evaluation.scores import Features


def plainly(gallery, labels, query, k, temperature):
    cosines = [
        float(torch.nn.functional.cosine_similarity(one, query, dim=0)) for one in gallery.double()
    ]
    nearest = sorted(range(len(cosines)), key=lambda index: -cosines[index])[:k]
    votes = {}
    for index in nearest:
        label = int(labels[index])
        votes[label] = votes.get(label, 0) + math.exp(cosines[index] / temperature)
    return max(votes, key=votes.get)


@pytest.mark.parametrize("k", [1, 5, 40])
def test_it_classifies_as_a_plain_computation_does(k):
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(40, 6, generator=generator)
    labels = torch.randint(0, 4, (40,), generator=generator)
    queries = torch.randn(30, 6, generator=generator)
    got = neighbor_votes(gallery, labels, queries, k=k, temperature=0.1).argmax(dim=1)
    expected = [plainly(gallery, labels, one.double(), k, 0.1) for one in queries]
    assert got.tolist() == expected


def whole_numbers(rows, seed):
    """Directions whose cosines are exact in float32, many of them equal: four entries of 1/2."""
    generator = np.random.default_rng(seed)
    found = np.zeros((rows, 12), np.float32)
    for row in found:
        row[generator.choice(12, 4, replace=False)] = generator.choice((-1, 1), 4)
    return torch.from_numpy(found)


def test_votes_are_sums_of_weights():
    gallery, queries = whole_numbers(60, 0), whole_numbers(9, 1)
    labels = torch.arange(60) % 3
    votes = neighbor_votes(gallery, labels, queries, k=7, temperature=0.5)
    for query, found in zip(queries, votes, strict=True):
        cosines = (gallery @ query / 4).tolist()
        nearest = sorted(range(60), key=lambda place: -cosines[place])[:7]
        top = cosines[nearest[0]]
        wanted = [
            sum(math.exp((cosines[one] - top) / 0.5) for one in nearest if one % 3 == label)
            for label in range(3)
        ]
        assert found.tolist() == pytest.approx(wanted)


def test_digits_are_told_as_by_scikit_learns_neighbours():
    splits = digits()
    found = evaluate(NearestNeighbors(k=10, metric="top1"), splits)
    train, test = (splits[name].taps["pool"].numpy() for name in ("train", "test"))
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in (train, test)]

    def weights(distances):
        # Of unit vectors: cosine = 1 - distance ** 2 / 2.
        return np.exp((1 - distances**2 / 2) / 0.1)

    other = KNeighborsClassifier(10, weights=weights, algorithm="brute")
    other.fit(unit[0], splits["train"].fields["label"])
    assert [one.metric for one in found] == ["top1", "top5"]
    assert found[0].value == pytest.approx(other.score(unit[1], splits["test"].fields["label"]))
    assert found[0].setting == "pool, k 10"


def test_a_small_gallery_votes_as_a_whole_and_strange_labels_are_wrong():
    train, test = clusters(20, num_classes=2), clusters(30, num_classes=3, seed=1)
    found = evaluate(NearestNeighbors(), {"train": train, "test": test})
    assert found[0].setting == "pool, k 20"
    assert found[0].value == pytest.approx(2 / 3)


def test_a_tap_is_chosen_on_val_where_there_is_one():
    train, test = clusters(60), clusters(40, seed=1)
    noise = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))

    def with_taps(one, pool, other):
        return Features(one.names, {"pool": pool, "stage4_2x1": other}, one.fields)

    seen, good = train.taps["pool"], test.taps["pool"]
    splits = {
        "train": with_taps(train, seen, seen),
        "test": with_taps(test, noise[:40], good),
        "val": with_taps(test, good, noise[:40]),
    }
    recipe = NearestNeighbors(k=5, taps=("pool", "stage4_2x1"))
    assert evaluate(recipe, splits)[0].setting == "pool, best of 2 on val, k 5"
    del splits["val"]
    published = evaluate(recipe, splits)[0]
    assert published.setting == "stage4_2x1, best of 2 on the test set, as published, k 5"


def test_more_neighbors_than_images_are_refused():
    with pytest.raises(ValueError, match="expected k from 1 to 2, got 3"):
        neighbor_votes(torch.eye(2), torch.tensor([0, 1]), torch.eye(2), k=3)
