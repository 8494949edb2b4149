"""Weighted k-nearest-neighbour classification of frozen features.

D dimensions, G images of the gallery, Q queries, C classes.
Source: Wu et al. 2018, arXiv:1805.01978, section 3.4; SEER: k 200, temperature 0.1 or so.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import normalize

from schemas.benchmarks.recipes import NearestNeighbors
from train_entry.evaluation.classification import (
    TOP1,
    classes_of,
    classification_scores,
    classification_value,
    places_of_labels,
)
from train_entry.evaluation.device import protocol_device
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.taps import features_of, scores_of_taps, usable_taps

_QUERIES_AT_ONCE = 1024
_GALLERY_BYTES = 512 << 20
_GALLERY_AT_ONCE = 1 << 15


def evaluate(recipe: NearestNeighbors, splits: Mapping[str, Features]) -> list[Score]:
    """The figures on `test`, whose images look for neighbours in `train`.

    Of several taps, the best, then each; it is the best on `val` if that is there, else on the test
    set. Where `train` has fewer than k images, all of them vote. Raises DataError for labels.
    """
    train, metric = splits["train"], recipe.metric or TOP1
    classes = classes_of(train.fields["label"])
    labels_G = torch.from_numpy(places_of_labels(train.fields["label"], classes))
    k = min(recipe.k, len(train))
    found, on_val = {}, {}
    taps = usable_taps(recipe.taps, train)
    for tap in taps:
        for role in ("test", "val") if len(taps) > 1 and "val" in splits else ("test",):
            part = splits[role]
            votes_QC = neighbor_votes(
                features_of(train, tap),
                labels_G,
                features_of(part, tap),
                k=k,
                temperature=recipe.temperature,
            )
            right = places_of_labels(part.fields["label"], classes)
            if role == "test":
                told = classification_scores(metric, votes_QC, right, part.fields)
                found[tap] = [one.of(setting=f"k {k}") for one in told]
            else:
                on_val[tap] = classification_value(metric, votes_QC, right, part.fields)
    return scores_of_taps(found, on_val or None)


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
    votes_QC = neighbor_votes(
        gallery_GD, gallery_labels_G, queries_QD, k=k, temperature=temperature
    )
    return votes_QC.argmax(dim=1)


def neighbor_votes(
    gallery_GD: Tensor,
    gallery_labels_G: Tensor,
    queries_QD: Tensor,
    *,
    k: int = 200,
    temperature: float = 0.1,
) -> Tensor:
    """The votes [Q, C] of the k nearest gallery images by cosine, the nearest one's being 1.

    As `nearest_neighbor_classes`; float32 on the CPU.
    """
    cosines_QK, neighbors_QK = nearest_neighbors(gallery_GD, queries_QD, k=k)
    weights_QK = torch.exp((cosines_QK - cosines_QK[:, :1]) / temperature)
    votes_QC = torch.zeros(len(queries_QD), int(gallery_labels_G.max()) + 1)
    # On the CPU, where the sum has an order.
    return votes_QC.scatter_add_(1, gallery_labels_G.cpu()[neighbors_QK], weights_QK)


def nearest_neighbors(
    gallery_GD: Tensor, queries_QD: Tensor, *, k: int, gallery_at_once: int | None = None
) -> tuple[Tensor, Tensor]:
    """Cosines [Q, k] of the nearest gallery images, falling, and their places, on the CPU.

    The gallery is read once, in blocks, so that neither it nor all cosines need fit in memory. Of
    equal cosines the earlier image is nearer, whatever the blocks. Raises ValueError if k is not
    1 to G.
    """
    if not 1 <= k <= len(gallery_GD):
        raise ValueError(f"expected k from 1 to {len(gallery_GD)}, got {k}")
    device = protocol_device()
    row_bytes = max(1, gallery_GD[:1].numel() * 4)
    step = gallery_at_once or max(1, min(_GALLERY_AT_ONCE, _GALLERY_BYTES // row_bytes))
    starts = range(0, len(queries_QD), _QUERIES_AT_ONCE)
    best: dict[int, tuple[Tensor, Tensor]] = {}
    for begin in range(0, len(gallery_GD), step):
        some_GD = _unit(gallery_GD[begin : begin + step], device)
        for start in starts:
            some_QD = _unit(queries_QD[start : start + _QUERIES_AT_ONCE], device)
            cosines_QG = some_QD @ some_GD.T
            places_QG = torch.arange(begin, begin + len(some_GD), device=device)
            places_QG = places_QG.expand(len(some_QD), -1)
            if start in best:
                cosines_QG = torch.cat([best[start][0], cosines_QG], dim=1)
                places_QG = torch.cat([best[start][1], places_QG], dim=1)
            best[start] = _first(cosines_QG, places_QG, k)
    empty = (torch.zeros(0, k), torch.zeros(0, k, dtype=torch.int64))
    found = [best[start] for start in starts] or [empty]
    return torch.cat([one for one, _ in found]).cpu(), torch.cat([one for _, one in found]).cpu()


def _first(cosines_QG: Tensor, places_QG: Tensor, k: int) -> tuple[Tensor, Tensor]:
    # `topk` promises no order of equal ones.
    cosines_QG, order = cosines_QG.sort(dim=1, descending=True, stable=True)
    return cosines_QG[:, :k].clone(), places_QG.gather(1, order[:, :k])


def _unit(features: Tensor, device: torch.device) -> Tensor:
    return normalize(features.flatten(1).float().to(device), dim=1)


def accuracy(classes_Q: Tensor, labels_Q: Tensor) -> float:
    """Share of queries whose class is right, 0 to 1."""
    return (classes_Q == labels_Q).float().mean().item()
