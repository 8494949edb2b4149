"""Batches to fine-tune on: random parts of images, labels, and what is to be done to colours.

B images of a rank, H and W pixels, P parameters (`train_entry.crops.Parameters`). Which images a
batch has, and what they look like, depends on the seed, the epoch and their names alone: ranks only
divide a batch.
"""

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from schemas.benchmarks.recipes import FineTune
from train_entry.config import CropGroup, CropsConfig
from train_entry.crops import (
    NUM_BOX_DRAWN,
    NUM_COLOR_DRAWN,
    color_parameters,
    sample_generator,
)
from train_entry.errors import ConfigError, DataError
from train_entry.evaluation.batches import BOX, Images
from train_entry.evaluation.encoder import Rgb
from train_entry.evaluation.transforms import Transform
from train_entry.reader import BadSample

# What stands for an image that cannot be decoded.
GREY = 128


class TrainingBatch(NamedTuple):
    """A rank's share of a batch.

    pixels: uint8 [B, H, W, 3]. parameters: float32 [B, P]. labels: int64 [B]. num_images: of the
    batch on all ranks. num_bad: of this rank's images, those that are grey instead. unreadable: why
    files cannot be read, in which case all are grey.
    """

    pixels: Tensor
    parameters: Tensor
    labels: Tensor
    num_images: int
    num_bad: int
    unreadable: str = ""


@dataclass(frozen=True)
class TrainingSet:
    """Images and the places of their classes, of which each epoch has all once."""

    images: Images
    labels: NDArray[np.int64]

    def num_batches(self, batch: int) -> int:
        """Batches of an epoch; all are of the same size but for one image, and none is larger."""
        return max(1, -(-len(self.labels) // batch))


def crops_of(recipe: FineTune, mean: Rgb, std: Rgb) -> CropsConfig:
    """What is done to colours: as in pretraining, or nothing; and how they are normalised."""
    config = CropsConfig(
        groups=(CropGroup(count=1, px=recipe.crop_px, area_min=0.08, area_max=1.0),),
        mean=mean,
        std=std,
    )
    if not recipe.color_distortion:
        config = config.model_copy(update={"jitter": 0.0, "grey": 0.0})
    return config if recipe.blur else config.model_copy(update={"blur": 0.0})


class TrainingBatches(Dataset[TrainingBatch]):
    """A rank's share of each batch, by (epoch, number)."""

    def __init__(
        self,
        recipe: FineTune,
        training: TrainingSet,
        crops: CropsConfig,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self._recipe, self._set, self._crops = recipe, training, crops
        self._rank, self._world = rank, world
        self._num_batches = training.num_batches(recipe.batch)
        smallest = len(training.labels) // self._num_batches
        if smallest < world:
            raise ConfigError(f"expected batches of at least {world} images, got {smallest}")
        self._transform = Transform.of(recipe)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def __getitem__(self, key: tuple[int, int]) -> TrainingBatch:
        epoch, number = key
        order = self._order_of(epoch)
        begin, end = _share(len(order), number, self._num_batches)
        first, last = _share(end - begin, self._rank, self._world)
        places = order[begin + first : begin + last].tolist()
        # View 0 is the one to test with.
        transform = replace(self._transform, view=epoch + 1)
        unreadable = ""
        try:
            shown = [self._pixels(transform, place) for place in places]
        except DataError as error:
            shown, unreadable = [(_grey(transform), True)] * len(places), str(error)
        images = self._set.images
        drawn = [self._drawn(epoch + 1, images.names[place]) for place in places]
        return TrainingBatch(
            torch.from_numpy(np.stack([pixels for pixels, _ in shown])),
            torch.from_numpy(color_parameters(np.stack(drawn), self._crops)),
            torch.from_numpy(self._set.labels[places]),
            end - begin,
            sum(bad for _, bad in shown),
            unreadable,
        )

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        """All images in the order of an epoch, kept until the next one."""
        if self._order[0] != epoch:
            key = sha256(f"order {self._recipe.seed} {epoch}".encode()).digest()
            drawn = np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))
            self._order = epoch, drawn.permutation(len(self._set.labels))
        return self._order[1]

    def _pixels(self, transform: Transform, place: int) -> tuple[NDArray[np.uint8], bool]:
        images = self._set.images
        boxes = images.fields.get(BOX)
        box = None if boxes is None else boxes[place]
        try:
            return transform(images.content(place), images.names[place], box), False
        except BadSample:
            return _grey(transform), True

    def _drawn(self, view: int, name: str) -> NDArray[np.float64]:
        """The numbers for colours; those before them are what the view's place is drawn by."""
        generator = sample_generator(self._recipe.seed, view, name)
        return generator.random(NUM_BOX_DRAWN + NUM_COLOR_DRAWN)[-NUM_COLOR_DRAWN:]


def _grey(transform: Transform) -> NDArray[np.uint8]:
    return np.full((transform.crop_px, transform.crop_px, 3), GREY, np.uint8)


def _share(count: int, number: int, parts: int) -> tuple[int, int]:
    """Where part `number` of `count` things begins and ends, all parts being as equal as can be."""
    return count * number // parts, count * (number + 1) // parts
