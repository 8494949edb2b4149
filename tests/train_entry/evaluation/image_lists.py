"""Lists of small images; nothing here is slow to import, for worker processes do."""

import io
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np
from PIL import Image

from train_entry.errors import DataError
from train_entry.evaluation.transforms import Transform

SMALL = Transform(40, 32)


def encoded(number, bad=False):
    if bad:
        return b"no image"
    pixels = np.random.default_rng(number).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


@dataclass(frozen=True)
class ImageList:
    names: list
    contents: list
    fields: dict = field(default_factory=dict)
    # Places of images whose files are on a disk that has been pulled out.
    gone: tuple = ()

    @classmethod
    def of(cls, count, bad=(), **fields):
        contents = [encoded(number, number in bad) for number in range(count)]
        names = [f"{number:04d}.png" for number in range(count)]
        return cls(names, contents, {"label": [number % 3 for number in range(count)], **fields})

    @property
    def digest(self):
        return sha256(b"".join(sha256(one).digest() for one in self.contents)).hexdigest()

    def content(self, place):
        if place in self.gone:
            raise DataError(f"{self.names[place]}: expected an image, got no such file")
        return self.contents[place]
