"""Linear classifiers on frozen features, one for each tap, trained together.

N images, B of a batch, D dimensions of a tap, C of its channels, K classes.
Sources: Goyal et al. 2022, arXiv:2202.08360, and its released configurations in VISSL, whose heads
these are: a linear layer on `pool`; on `pool_norm` and on halves of the maps of stages a batch norm
of channels, both halves as one, before it. The best one is reported.
"""

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from schemas.benchmarks.recipes import LinearProbe
from train_entry.errors import Diverged
from train_entry.evaluation.class_statistics import Places
from train_entry.evaluation.classification import (
    TOP1,
    classification_scores,
    classification_value,
    places_of_labels,
)
from train_entry.evaluation.device import protocol_device
from train_entry.evaluation.encoder import POOL
from train_entry.evaluation.learning_rate import learning_rate
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.taps import features_of, parts_of_map, scores_of_taps, usable_taps
from train_entry.evaluation.training_images import TrainingImages, drawn_number

_BLOCK_BYTES = 256 << 20
# Of the training images, to choose a tap on where there is nothing else.
_HELD_OUT = 0.05
_HELD_OUT_MIN = 20
_LOG = logging.getLogger(__name__)


class LinearHead(nn.Module):
    """Scores [B, K] of features [B, D]; first weights depend on the seed and the tap alone."""

    def __init__(self, tap: str, dimensions: int, num_classes: int, seed: int) -> None:
        super().__init__()
        self._parts = parts_of_map(tap)
        # Beside text, as `pool+text`, `pool` stays as it is.
        plain = tap.partition("+")[0] == POOL
        self.norm = None if plain else nn.BatchNorm1d(dimensions // self._parts)
        self.linear = nn.utils.skip_init(nn.Linear, dimensions, num_classes)
        number = int.from_bytes(drawn_number(tap, "weights", seed)[:4])
        generator = torch.Generator().manual_seed(number)
        bound = dimensions**-0.5
        for parameter in self.linear.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def forward(self, features_BD: Tensor) -> Tensor:
        if self.norm is not None:
            halves_BCP = features_BD.unflatten(1, (-1, self._parts))
            features_BD = self.norm(halves_BCP).flatten(1)
        scores_BK: Tensor = self.linear(features_BD)
        return scores_BK


@dataclass(frozen=True)
class Classifier:
    """Gives each class a score; `classes` are in the order of the scores."""

    tap: str
    classes: Sequence[Any]
    head: LinearHead

    @torch.no_grad()
    def scores(self, part: Features) -> Tensor:
        """Scores [N, K] before a softmax, float32 on the CPU."""
        features = features_of(part, self.tap)
        device = next(self.head.parameters()).device
        step = max(1, _BLOCK_BYTES // max(1, features[:1].nbytes))
        found = [
            self.head(_dense(features[begin : begin + step]).to(device)).cpu()
            for begin in range(0, len(features), step)
        ]
        return torch.cat(found) if found else torch.zeros(0, len(self.classes))


def evaluate(recipe: LinearProbe, splits: Mapping[str, Features]) -> list[Score]:
    """The figures of the best tap on `test`, then each tap's; trained on `train`.

    The best is that on `val` if it is there, else that on the test set itself, as published.
    Raises DataError for labels or features that cannot be trained on, Diverged if no tap can be.
    """
    images = TrainingImages.of(splits["train"])
    classifiers = train_heads(recipe, splits["train"], images)
    found, on_val = scores_by_tap(recipe, classifiers, splits)
    return scores_of_taps(found, on_val, left_out=diverged_taps(recipe, splits, classifiers))


def scores_by_tap(
    recipe: LinearProbe, classifiers: Mapping[str, Classifier], splits: Mapping[str, Features]
) -> tuple[dict[str, list[Score]], dict[str, float] | None]:
    """The figures on `test` by tap, and the metric on `val`; None if that is not there."""
    metric, group_by = recipe.metric or TOP1, recipe.group_by

    def told(part: Features, one: Classifier) -> tuple[Tensor, Places, Mapping[str, Any]]:
        return one.scores(part), places_of_labels(part.fields["label"], one.classes), part.fields

    found = {
        tap: classification_scores(metric, *told(splits["test"], one), group_by)
        for tap, one in classifiers.items()
    }
    if "val" not in splits or len(found) == 1:
        return found, None
    values = {
        tap: classification_value(metric, *told(splits["val"], one), group_by)
        for tap, one in classifiers.items()
    }
    return found, values


def diverged_taps(
    recipe: LinearProbe, splits: Mapping[str, Features], classifiers: Mapping[str, Classifier]
) -> str:
    """Which taps' classifiers are missing, in words."""
    taps = usable_taps(recipe.taps, splits["train"])
    missing = [tap for tap in taps if tap not in classifiers]
    return f"{', '.join(missing)} diverged" if missing else ""


def fit(
    recipe: LinearProbe,
    train: Features,
    val: Features | None = None,
    device: torch.device | None = None,
    images: TrainingImages | None = None,
) -> Classifier:
    """The classifier of the tap whose top-1 is best on `val`, trained on `train`.

    Where there are several taps and no `val`, a twentieth of the training images is not trained on
    but chooses. device: None: that of the evaluation. images: those of `train` that are used, and
    their classes; None: all, by the field `label`.
    Raises DataError for labels or features that cannot be trained on, Diverged if no tap can be.
    """
    images = images or TrainingImages.of(train)
    if val is None and len(usable_taps(recipe.taps, train)) > 1:
        images, held = _held_out(images, recipe.seed)
        val, right = train.take(held.rows().tolist()), held.labels
    elif val is not None:
        right = places_of_labels(val.fields["label"], images.classes)
    classifiers = train_heads(recipe, train, images, device)
    if val is None or len(classifiers) == 1:
        return next(iter(classifiers.values()))
    values = {
        tap: classification_value(TOP1, one.scores(val), right, {})
        for tap, one in classifiers.items()
    }
    best = max(values, key=lambda tap: values[tap])
    _LOG.info("%s, best of %d taps: top-1 %.4f on held-out images", best, len(values), values[best])
    return classifiers[best]


def _held_out(images: TrainingImages, seed: int) -> tuple[TrainingImages, TrainingImages]:
    """Images to train on, and others to choose on; which they are depends on their names."""
    numbers = [drawn_number(name, "held out", seed) for name in images.names]
    order = np.array(sorted(range(len(images)), key=lambda image: numbers[image]), np.int64)
    num = max(min(_HELD_OUT_MIN, len(images) // 4), int(len(images) * _HELD_OUT), 1)
    return images.take(np.sort(order[num:])), images.take(np.sort(order[:num]))


def train_heads(
    recipe: LinearProbe,
    train: Features,
    images: TrainingImages,
    device: torch.device | None = None,
) -> dict[str, Classifier]:
    """A trained classifier for each tap, but for those whose weights are no longer numbers.

    images: those of `train` that are used. Raises Diverged if no tap is left.
    """
    device = device or protocol_device()
    sources = {tap: features_of(train, tap) for tap in usable_taps(recipe.taps, train)}
    num_classes = len(images.classes)
    heads = {
        tap: LinearHead(tap, features[0].numel(), num_classes, recipe.seed).to(device)
        for tap, features in sources.items()
    }
    optimizer = _optimizer(recipe, heads.values())
    for batch in _ahead(_batches(recipe, sources, images)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, batch.done)
        labels_B = batch.labels_B.to(device)
        loss = torch.zeros((), device=device)
        for tap, features_BD in batch.features.items():
            loss = loss + cross_entropy(heads[tap](features_BD.to(device)), labels_B)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    finite = {tap: head.eval() for tap, head in heads.items() if _is_finite(head)}
    if not finite:
        raise Diverged(f"expected weights that are numbers, got none of {', '.join(heads)}")
    for tap in heads.keys() - finite.keys():
        _LOG.warning("%s: the classifier's weights are no longer numbers; it is left out", tap)
    return {tap: Classifier(tap, images.classes, head) for tap, head in finite.items()}


def _optimizer(recipe: LinearProbe, heads: Iterable[LinearHead]) -> torch.optim.SGD:
    heads = list(heads)
    norms = [one for head in heads if head.norm is not None for one in head.norm.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": [one for head in heads for one in head.linear.parameters()]},
        {"params": norms, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups if norms else groups[:1],
        lr=learning_rate(recipe, 0),
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


class _Batch(NamedTuple):
    """Features [B, D] by tap; done: epochs before it."""

    done: float
    features: dict[str, Tensor]
    labels_B: Tensor  # noqa: N815  # shape letters


def _batches(
    recipe: LinearProbe, sources: Mapping[str, Tensor], images: TrainingImages
) -> Iterator[_Batch]:
    generator = torch.Generator().manual_seed(recipe.seed)
    num_batches = math.ceil(len(images) / recipe.batch)
    for epoch in range(recipe.epochs):
        for number, (rows, labels) in enumerate(images.batches(epoch, recipe.batch, generator)):
            places = torch.from_numpy(rows)
            # `pool` and `pool_norm` are the same features, and read once.
            read = {id(one): _dense(one[places]) for one in sources.values()}
            features = {tap: read[id(one)] for tap, one in sources.items()}
            done = epoch + number / num_batches
            yield _Batch(done, features, torch.from_numpy(labels))


def _ahead(batches: Iterator[_Batch]) -> Iterator[_Batch]:
    """The batches, of which the next is read while one is used."""
    with ThreadPoolExecutor(1) as reader:
        pending = reader.submit(next, batches, None)
        while (batch := pending.result()) is not None:
            pending = reader.submit(next, batches, None)
            yield batch


def _dense(features: Tensor) -> Tensor:
    return features.flatten(1).float()


def _is_finite(head: LinearHead) -> bool:
    return all(bool(one.isfinite().all()) for one in head.state_dict().values())
