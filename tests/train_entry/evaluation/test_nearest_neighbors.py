import math

import pytest
import torch

from train_entry.evaluation.nearest_neighbors import accuracy, nearest_neighbor_classes


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
    got = nearest_neighbor_classes(gallery, labels, queries, k=k, temperature=0.1)
    expected = [plainly(gallery, labels, one.double(), k, 0.1) for one in queries]
    assert got.tolist() == expected


def test_accuracy_is_the_share_of_right_ones():
    assert accuracy(torch.tensor([1, 2, 3, 3]), torch.tensor([1, 2, 0, 3])) == 0.75


def test_more_neighbors_than_images_are_refused():
    with pytest.raises(ValueError, match="expected k from 1 to 2, got 3"):
        nearest_neighbor_classes(torch.eye(2), torch.tensor([0, 1]), torch.eye(2), k=3)
