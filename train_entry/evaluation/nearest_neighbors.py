"""Weighted k-nearest-neighbour classification of frozen features.

D dimensions, G images of the gallery, Q queries, C classes.
Source: Wu et al. 2018, arXiv:1805.01978, section 3.4; SEER: k 200, temperature 0.1 or so.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

_QUERIES_AT_ONCE = 1024


def nearest_neighbor_classes(
    gallery_GD: Tensor,
    gallery_labels_G: Tensor,
    queries_QD: Tensor,
    *,
    k: int = 200,
    temperature: float = 0.1,
) -> Tensor:
    """The class [Q] with the most votes of the k nearest gallery images by cosine.

    A neighbour's vote weighs exp(cosine / temperature). Labels are int64 from 0. Raises ValueError
    if k is not 1 to G.
    """
    if not 1 <= k <= len(gallery_GD):
        raise ValueError(f"expected k from 1 to {len(gallery_GD)}, got {k}")
    gallery_GD = normalize(gallery_GD.float(), dim=1)
    votes_GC = one_hot(gallery_labels_G).float()
    classes = []
    for some_QD in normalize(queries_QD.float(), dim=1).split(_QUERIES_AT_ONCE):
        cosines, neighbors = (some_QD @ gallery_GD.T).topk(k, dim=1)
        weights = torch.exp((cosines - cosines[:, :1]) / temperature)
        classes.append((weights[:, :, None] * votes_GC[neighbors]).sum(dim=1).argmax(dim=1))
    return torch.cat(classes)


def accuracy(classes_Q: Tensor, labels_Q: Tensor) -> float:
    """Share of queries whose class is right, 0 to 1."""
    return (classes_Q == labels_Q).float().mean().item()
