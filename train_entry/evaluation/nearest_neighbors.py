"""Weighted k-nearest-neighbour classification of frozen features.

D dimensions, G images of the gallery, Q queries, C classes.
Source: Wu et al. 2018, arXiv:1805.01978, section 3.4; SEER: k 200, temperature 0.1 or so.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from schemas.benchmarks.recipes import NearestNeighbors
from train_entry.evaluation.classification import (
    TOP1,
    classes_of,
    classification_scores,
    classification_value,
    places_of_labels,
)
from train_entry.evaluation.nearest import nearest
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.taps import features_of, scores_of_taps, usable_taps


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


def neighbor_votes(
    gallery_GD: Tensor,
    gallery_labels_G: Tensor,
    queries_QD: Tensor,
    *,
    k: int = 200,
    temperature: float = 0.1,
) -> Tensor:
    """The votes [Q, C] of the k nearest gallery images by cosine, float32, on the CPU.

    A neighbour's vote weighs exp(cosine / temperature), times what makes the nearest one's 1.
    Labels are int64 from 0. Raises ValueError if k is not 1 to G, DataError for features that are
    no numbers.
    """
    if not 1 <= k <= len(gallery_GD):
        raise ValueError(f"expected k from 1 to {len(gallery_GD)}, got {k}")
    places_QK, cosines_QK = map(torch.from_numpy, nearest(queries_QD, gallery_GD, k))
    weights_QK = torch.exp((cosines_QK - cosines_QK[:, :1]) / temperature)
    votes_QC = torch.zeros(len(queries_QD), int(gallery_labels_G.max()) + 1)
    # On the CPU, where the sum has an order.
    return votes_QC.scatter_add_(1, gallery_labels_G.cpu()[places_QK], weights_QK)
