"""The labelled images that a classifier is trained on, each of which may be seen in several views.

I images, N rows of features; an image of several random crops has a row for each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from train_entry.evaluation.class_statistics import Places
from train_entry.evaluation.classification import classes_of, places_of_labels
from train_entry.evaluation.scores import Features


@dataclass(frozen=True)
class TrainingImages:
    """Images by name; rows of one name are views of one image.

    classes: sorted. names, labels: [I], and the place of each image's class.
    """

    classes: Sequence[Any]
    names: Sequence[str]
    labels: Places
    _rows: Places
    _starts: Places
    _counts: Places

    @classmethod
    def of(cls, part: Features) -> "TrainingImages":
        """Raises DataError for labels that are not one class an image, or all the same."""
        numbers: dict[str, int] = {}
        images = np.array([numbers.setdefault(name, len(numbers)) for name in part.names], np.int64)
        rows = np.argsort(images, kind="stable")
        counts = np.bincount(images)
        starts = np.cumsum(counts) - counts
        labels = part.fields["label"]
        classes = classes_of(labels)
        of_images = [labels[row] for row in rows[starts].tolist()]
        places = places_of_labels(of_images, classes)
        return cls(classes, list(numbers), places, rows, starts, counts)

    def __len__(self) -> int:
        return len(self.names)

    def take(self, images: NDArray[np.int64]) -> "TrainingImages":
        """Some of the images, in this order, with all the classes."""
        names = [self.names[one] for one in images.tolist()]
        starts, counts = self._starts[images], self._counts[images]
        return TrainingImages(self.classes, names, self.labels[images], self._rows, starts, counts)

    def batches(
        self, epoch: int, size: int, generator: torch.Generator
    ) -> Iterator[tuple[Places, Places]]:
        """Rows of each batch of an epoch and their labels; the images are shuffled.

        In each epoch an image is seen in one of its views, in turn. A last batch of one image is
        left out, for it has no spread to normalise by. Rows of a batch rise, as they are read.
        """
        order = torch.randperm(len(self), generator=generator).numpy()
        for begin in range(0, len(order), size):
            images = order[begin : begin + size]
            if len(images) > 1 or len(order) == 1:
                rows = self._rows[self._starts[images] + epoch % self._counts[images]]
                rising = np.argsort(rows)
                yield rows[rising], self.labels[images[rising]]

    def rows(self) -> Places:
        """The first view of each image."""
        return self._rows[self._starts]


def drawn_number(name: str, *key: object) -> bytes:
    """Random bytes that depend on a name and a key alone, to draw by: the least are drawn."""
    return blake2b(f"{'/'.join(map(str, key))} {name}".encode(), digest_size=16).digest()
