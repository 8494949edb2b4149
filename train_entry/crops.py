"""Random crops of an image, and what is to be done to their colours on the device.

B images, V crops of one size of an image, P parameters, H and W pixels. All that is random depends
on (seed, epoch, sample id) alone, so a crop is the same on any rank and worker.
Source: Szegedy et al. 2014, arXiv:1409.4842, section 6 (crops by area and ratio); SwAV's settings.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from train_entry.config import CropGroup, CropsConfig
from train_entry.decode import Encoded, Pixels, read_header
from train_entry.reader import Sample

_RATIO_MAX = 4 / 3
_TRIES = 10
_NUM_ORDERS = 24


class Parameters(NamedTuple):
    """What is done to the colours of a crop; a row of `CropSet.parameters` is these, in order."""

    brightness: float = 1.0  # factor
    contrast: float = 1.0  # factor
    saturation: float = 1.0  # factor
    hue: float = 0.0  # turns of the colour circle
    order: float = -1.0  # which of the 24 orders of these four; -1: none is done
    grey: float = 0.0  # 1: yes
    blur_px: float = 0.0  # standard deviation; 0: none


class Box(NamedTuple):
    """A part of an image, pixels."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class CropSet:
    """All crops of one image; for each size uint8 [V, H, W, 3] and its random numbers [V, 8]."""

    images: tuple[Tensor, ...]
    drawn: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True)
class CropBatch:
    """Crops of B images; for each size [V * B, H, W, 3] and [V * B, P], crop by crop."""

    images: tuple[Tensor, ...]
    parameters: tuple[Tensor, ...]

    def pin_memory(self) -> "CropBatch":
        """The same in memory that a GPU reads while the CPU goes on."""
        return CropBatch(tuple(one.pin_memory() for one in self.images), self.parameters)


class MultiCrop:
    """Makes the crops of a sample; raises BadSample if it cannot be decoded."""

    def __init__(self, config: CropsConfig, seed: int) -> None:
        self._config, self._seed = config, seed
        ends = list(accumulate((group.count for group in config.groups), initial=0))
        self._num_crops, self._ranges = ends[-1], list(pairwise(ends))

    def __call__(self, sample: Sample) -> CropSet:
        encoded = read_header(sample.content)
        groups = self._config.groups
        generator = sample_generator(self._seed, sample.epoch, sample.id)
        numbers = generator.random((self._num_crops, _NUM_DRAWN))
        drawn = [numbers[begin:end] for begin, end in self._ranges]
        boxes = [
            [self._box(row, group, encoded) for row in rows.tolist()]
            for group, rows in zip(groups, drawn, strict=True)
        ]
        # As small as no crop must be enlarged for it.
        factor = min(
            min(box.width, box.height) / group.px
            for group, some in zip(groups, boxes, strict=True)
            for box, _ in some
        )
        pixels = encoded.decode(factor)
        scale = pixels.shape[1] / encoded.width_px, pixels.shape[0] / encoded.height_px
        images = [
            torch.stack([_cut(pixels, _scaled(box, scale), group.px, flip) for box, flip in some])
            for group, some in zip(groups, boxes, strict=True)
        ]
        return CropSet(tuple(images), tuple(rows[:, -NUM_COLOR_DRAWN:] for rows in drawn))

    def collate(self, sets: Sequence[CropSet]) -> CropBatch:
        """The crops of a batch: crop 0 of all images, then crop 1, ..."""
        images = zip(*(one.images for one in sets), strict=True)
        drawn = zip(*(one.drawn for one in sets), strict=True)
        return CropBatch(
            tuple(torch.stack(some, dim=1).flatten(0, 1) for some in images),
            tuple(
                torch.from_numpy(color_parameters(np.stack(some, axis=1), self._config)).flatten(
                    0, 1
                )
                for some in drawn
            ),
        )

    def _box(self, numbers: list[float], group: CropGroup, encoded: Encoded) -> tuple[Box, bool]:
        box = draw_box(numbers, group, encoded.width_px, encoded.height_px)
        return box, numbers[2 * _TRIES + 2] < self._config.flip


# For a crop: areas, ratios of all tries, place, flip, then what `color_parameters` needs.
NUM_BOX_DRAWN, NUM_COLOR_DRAWN = 2 * _TRIES + 3, 8
_NUM_DRAWN = NUM_BOX_DRAWN + NUM_COLOR_DRAWN


def sample_generator(seed: int, epoch: int, sample_id: str) -> np.random.Generator:
    """The source of all that is random about a sample in an epoch."""
    key = sha256(f"{seed} {epoch} {sample_id}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key[:16], "little")))


def draw_box(numbers: list[float], group: CropGroup, width: int, height: int) -> Box:
    """A box whose area and ratio are those of the first try that fits, else the middle.

    numbers: NUM_BOX_DRAWN uniform ones or more; the last of those is left for a flip.
    """
    for a, b in zip(numbers[:_TRIES], numbers[_TRIES : 2 * _TRIES], strict=True):
        area = width * height * (group.area_min + (group.area_max - group.area_min) * a)
        ratio = _RATIO_MAX ** (2 * b - 1)
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            break
    else:
        w = max(1, min(width, round(height * _RATIO_MAX)))
        h = max(1, min(height, round(width * _RATIO_MAX)))
        return Box((width - w) // 2, (height - h) // 2, w, h)
    x, y = numbers[2 * _TRIES : 2 * _TRIES + 2]
    return Box(int(x * (width - w + 1)), int(y * (height - h + 1)), w, h)


def color_parameters(drawn: NDArray[np.float64], config: CropsConfig) -> NDArray[np.float32]:
    """Rows of `Parameters` from eight uniform numbers each, along the last dimension."""
    jitter, brightness, contrast, saturation, hue, order, grey, blur = np.moveaxis(drawn, -1, 0)
    around = 2 * np.stack([brightness, contrast, saturation, hue], axis=-1) - 1
    strengths = np.array([config.brightness, config.contrast, config.saturation, config.hue])
    neutral = np.array(Parameters()[:4])
    jittered = jitter < config.jitter
    # One number tells whether to blur, and by how much.
    share = blur / config.blur if config.blur else np.ones_like(blur)
    deviation = config.blur_min_px + share * (config.blur_max_px - config.blur_min_px)
    columns = [
        np.where(jittered[..., None], around * strengths + neutral, neutral),
        np.where(jittered, np.floor(order * _NUM_ORDERS), -1.0)[..., None],
        (grey < config.grey)[..., None],
        np.where(share < 1, deviation, 0.0)[..., None],
    ]
    return np.concatenate(columns, axis=-1).astype(np.float32)


def _scaled(box: Box, scale: tuple[float, float]) -> Box:
    """A box in an image that was decoded smaller: no narrower than asked for, and inside."""
    if scale == (1, 1):
        return box
    width, height = max(1, round(box.width * scale[0])), max(1, round(box.height * scale[1]))
    # Rounded down, so that what lies inside the whole image stays inside.
    return Box(int(box.left * scale[0]), int(box.top * scale[1]), width, height)


def _cut(pixels: Pixels, box: Box, px: int, flip: bool) -> Tensor:
    """A part of an image [H, W, 3] as [px, px, 3]."""
    left, top, width, height = box
    # In numpy: torch takes twice as long to copy rows.
    part = np.ascontiguousarray(pixels[top : top + height, left : left + width])
    # Far faster than Pillow, and as exact, if the channels of a pixel stand together. Torch sees it
    # by all four strides, so the first dimension must be there before they are permuted.
    part_BCHW = torch.from_numpy(part)[None].permute(0, 3, 1, 2)
    resized = interpolate(part_BCHW, size=(px, px), mode="bilinear", antialias=True)
    resized_HWC = resized[0].permute(1, 2, 0)
    return resized_HWC.flip(1) if flip else resized_HWC


def decode_pixels(content: bytes) -> Pixels:
    """The upright RGB pixels [H, W, 3] of an image, uint8, in full size; raises BadSample."""
    return read_header(content).decode(1.0)
