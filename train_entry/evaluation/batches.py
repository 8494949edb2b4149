"""Batches of prepared images, made by worker processes ahead of need.

B images, H and W pixels. Which images a batch has depends on its number alone.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from train_entry.errors import DataError
from train_entry.evaluation.transforms import Transform
from train_entry.reader import BadSample

T = TypeVar("T")

BOX = "box"
# Fewer batches are made before a worker process has even started.
_MIN_BATCHES_PER_WORKER = 16
_PREFETCH = 2


class Images(Protocol):
    """A list of encoded images; it goes to worker processes, so it can be pickled.

    fields: what is known of each; `box`, if there, is the part that counts. digest: of all of it.
    """

    @property
    def names(self) -> Sequence[str]: ...
    @property
    def fields(self) -> Any: ...
    @property
    def digest(self) -> str: ...
    def content(self, place: int, /) -> bytes:
        """The bytes of one image; raises BadSample if it has none, DataError if unreadable."""
        ...


class ImageBatch(NamedTuple):
    """Pixels uint8 [B, H, W, 3], zeros for those that are bad, and why they are, by place.

    unreadable: why files of the batch cannot be read, in which case the rest means nothing.
    """

    number: int
    pixels: Tensor
    bad: dict[int, str]
    unreadable: str = ""


class ImageBatches(Dataset[ImageBatch]):
    """All batches of a list of images, by number; the last one may be smaller."""

    def __init__(self, images: Images, transform: Transform, batch: int) -> None:
        self._images, self._transform, self._batch = images, transform, batch

    def __getitem__(self, number: int) -> ImageBatch:
        images, px = self._images, self._transform.crop_px
        begin = number * self._batch
        places = range(begin, min(begin + self._batch, len(images.names)))
        pixels = np.zeros((len(places), px, px, 3), np.uint8)
        boxes, bad = images.fields.get(BOX), {}
        for row, place in enumerate(places):
            box = boxes[place] if boxes is not None else None
            try:
                pixels[row] = self._transform(images.content(place), images.names[place], box)
            except BadSample as error:
                bad[place] = str(error)
            except DataError as error:
                return ImageBatch(number, torch.from_numpy(pixels), bad, str(error))
        return ImageBatch(number, torch.from_numpy(pixels), bad)


def load_batches(
    batches: ImageBatches, numbers: Sequence[int], workers: int, pin_memory: bool
) -> Iterator[ImageBatch]:
    """The batches of these numbers, in their order."""
    workers = min(workers, len(numbers) // _MIN_BATCHES_PER_WORKER)
    yield from load_ahead(batches, numbers, workers, pin_memory)


def load_ahead(
    batches: Dataset[T], keys: Sequence[Any], workers: int, pin_memory: bool
) -> Iterator[T]:
    """The batches of these keys in this order, made ahead by so many processes."""
    loader = DataLoader(
        batches,
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin_memory,
        prefetch_factor=_PREFETCH if workers else None,
        # Clients of object stores do not survive a fork, nor do threads.
        multiprocessing_context="spawn" if workers else None,
        # Else it would draw from the generator that a training's randomness comes from.
        generator=torch.Generator(),
    )
    yield from loader


def _as_it_is(batch: Any) -> Any:
    return batch
