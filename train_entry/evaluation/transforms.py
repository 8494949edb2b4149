"""From the bytes of an image to the pixels that a protocol shows to the encoder.

H and W pixels. The test view is torchvision's: the shorter side resized with antialiasing, then the
middle cut out; the training view, a random part resized, half of them mirrored. Unlike torchvision
it shows images upright by their EXIF and lays transparency on white, as training did.
"""

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from PIL import Image

from train_entry.config import CropGroup
from train_entry.crops import NUM_BOX_DRAWN, draw_box, sample_generator
from train_entry.decode import Encoded, Pixels, read_header
from train_entry.errors import ConfigError
from train_entry.reader import BadSample

Interpolation = Literal["bilinear", "bicubic"]
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# A JPEG may be decoded smaller while twice the wanted size is left: the filter of the resizing then
# still averages, and what libjpeg has averaged before changes a pixel by less than a level or two.
_GAP = 2.0
# What the drawing of a random crop at test time is keyed with, unlike all numbers of views.
_TEST_CROP = 0


class Preprocessing(Protocol):
    """Those fields of a recipe that say what the encoder sees."""

    @property
    def resize_px(self) -> int: ...
    @property
    def crop_px(self) -> int: ...
    @property
    def stretch(self) -> bool: ...
    @property
    def interpolation(self) -> Interpolation: ...
    @property
    def random_crop(self) -> bool: ...
    @property
    def seed(self) -> int: ...


class Window(NamedTuple):
    """A part of an image, pixels; fractions of pixels count."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From top to bottom."""
        return self.bottom - self.top


@dataclass(frozen=True)
class Transform:
    """What is done to each image; all numbers of it are in `digest`.

    resize_px: shorter side before the middle of crop_px is cut out. stretch: to crop_px by crop_px
    instead, whatever the aspect. random_crop: any place instead of the middle, drawn by seed and
    name. view: 0 is all this; n is the n-th random part, resized to crop_px, mirrored half the time
    if flip is set, drawn by seed, n and name; its area is area_min to 1 of the image. whole_views:
    not a part, but what view 0 shows, without its random crop. box_scale: an
    image's box is enlarged by this about its middle. square_from: a box is made square if its
    longer side is as many times the shorter, of its top if it is tall, of its middle if it is wide;
    0: never. exact: decode all pixels, though far fewer are wanted.
    Raises ConfigError for a crop that would not fit.
    """

    resize_px: int = 256
    crop_px: int = 224
    stretch: bool = False
    interpolation: Interpolation = "bilinear"
    random_crop: bool = False
    seed: int = 0
    view: int = 0
    flip: bool = True
    area_min: float = 0.08
    whole_views: bool = False
    box_scale: float = 1.0
    square_from: float = 0.0
    exact: bool = False

    def __post_init__(self) -> None:
        if not self.stretch and not 0 < self.crop_px <= self.resize_px:
            raise ConfigError(
                f"crop_px: expected 1 to resize_px {self.resize_px}, got {self.crop_px}"
            )

    @classmethod
    def of(cls, recipe: Preprocessing) -> "Transform":
        """The test view of a recipe; its fields of the same names are taken over."""
        return cls(**{one: getattr(recipe, one) for one in _FIELDS if hasattr(recipe, one)})

    def training_views(self, count: int) -> "tuple[Transform, ...]":
        """So many random views instead; 0: the test view without its random crop.

        There is one view alone of images that are neither cut nor mirrored.
        """
        still = replace(self, random_crop=False)
        if count == 0 or (self.whole_views and not self.flip):
            return (still,)
        return tuple(replace(still, view=number) for number in range(1, count + 1))

    def digest(self) -> str:
        """SHA-256 of all numbers."""
        return sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def __call__(self, content: bytes, name: str, box: Any = None) -> Pixels:
        """Upright RGB pixels [crop_px, crop_px, 3], uint8; raises BadSample.

        name: of the image, which random places depend on. box: left, top, right, bottom, pixels of
        the upright image; what lies outside is cut off first.
        """
        encoded = read_header(content)
        whole = Window(0, 0, encoded.width_px, encoded.height_px)
        window = whole if box is None else self._window(_checked(box), whole)
        if self.view:
            return self._random_view(encoded, window, name)
        return self._resized(encoded, window, self._seen(window, name))

    def _seen(self, window: Window, name: str) -> Window:
        """What of a window view 0 shows."""
        return window if self.stretch else self._crop(window, name)

    def _crop(self, window: Window, name: str) -> Window:
        """What of a window is seen: a square of crop_px when its shorter side is resize_px."""
        width, height = _resized_size(window, self.resize_px)
        if self.random_crop:
            x, y = sample_generator(self.seed, _TEST_CROP, name).random(2)
            left, top = (int(x * (width - self.crop_px + 1)), int(y * (height - self.crop_px + 1)))
        else:
            # Halves are rounded to even, as torchvision does it.
            left, top = round((width - self.crop_px) / 2), round((height - self.crop_px) / 2)
        across, down = window.width / width, window.height / height
        return Window(
            window.left + left * across,
            window.top + top * down,
            window.left + (left + self.crop_px) * across,
            window.top + (top + self.crop_px) * down,
        )

    def _random_view(self, encoded: Encoded, window: Window, name: str) -> Pixels:
        numbers = sample_generator(self.seed, self.view, name).random(NUM_BOX_DRAWN).tolist()
        if self.whole_views:
            pixels = self._resized(encoded, window, self._seen(window, name))
        else:
            part = self._random_part(numbers, window)
            pixels = self._resized(encoded, part, part)
        flipped = self.flip and numbers[-1] < 0.5
        return np.ascontiguousarray(pixels[:, ::-1]) if flipped else pixels

    def _random_part(self, numbers: list[float], window: Window) -> Window:
        group = CropGroup(count=1, px=self.crop_px, area_min=self.area_min, area_max=1.0)
        drawn = draw_box(numbers, group, int(window.width), int(window.height))
        left, top = window.left + drawn.left, window.top + drawn.top
        return Window(left, top, left + drawn.width, top + drawn.height)

    def _resized(self, encoded: Encoded, window: Window, seen: Window) -> Pixels:
        """A part of a window as crop_px by crop_px; nothing outside the window has a say in it."""
        factor = min(seen.width, seen.height) / self.crop_px / _GAP
        pixels = encoded.decode(1.0 if self.exact else max(1.0, factor))
        image = Image.fromarray(pixels)
        across, down = image.width / encoded.width_px, image.height / encoded.height_px
        inner = _whole_pixels(_scaled(window, across, down))
        if inner != (0, 0, *image.size):
            image = image.crop(inner)
        part = _scaled(seen, across, down)
        left, top = part.left - inner[0], part.top - inner[1]
        # Fractions may go beyond the border in their last digit.
        right, bottom = min(left + part.width, image.width), min(top + part.height, image.height)
        place = (max(left, 0.0), max(top, 0.0), right, bottom)
        size = (self.crop_px, self.crop_px)
        return np.array(image.resize(size, _FILTERS[self.interpolation], place))

    def _window(self, box: Window, whole: Window) -> Window:
        """The part of an image that its box stands for, in whole pixels; raises BadSample."""
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        half_width, half_height = (side * self.box_scale / 2 for side in (box.width, box.height))
        enlarged = Window(x - half_width, y - half_height, x + half_width, y + half_height)
        left, top, right, bottom = _whole_pixels(enlarged)
        clipped = Window(
            max(left, 0), max(top, 0), min(right, whole.width), min(bottom, whole.height)
        )
        if clipped.width < 1 or clipped.height < 1:
            raise BadSample(f"expected a box within {whole}, got {box}")
        return self._squared(clipped)

    def _squared(self, box: Window) -> Window:
        short, long = sorted((box.width, box.height))
        if not self.square_from or long / short < self.square_from:
            return box
        if box.height > box.width:
            return box._replace(bottom=box.top + short)
        left = box.left + (long - short) // 2
        return box._replace(left=left, right=left + short)


_FIELDS = tuple(one.name for one in fields(Transform))


def _resized_size(window: Window, shorter_px: int) -> tuple[int, int]:
    """Width and height when the shorter side is so long; fractions are cut off, as torchvision."""
    width, height = window.width, window.height
    if width <= height:
        return shorter_px, int(shorter_px * height / width)
    return int(shorter_px * width / height), shorter_px


def _checked(box: Any) -> Window:
    """A box of four numbers; raises BadSample."""
    try:
        window = Window(*(float(one) for one in box))
    except (TypeError, ValueError) as error:
        raise BadSample(f"expected a box of left, top, right, bottom, got {box!r}") from error
    if not all(map(math.isfinite, window)) or window.width <= 0 or window.height <= 0:
        raise BadSample(f"expected a box of left < right and top < bottom, got {box!r}")
    return window


def _scaled(window: Window, across: float, down: float) -> Window:
    return Window(
        window.left * across, window.top * down, window.right * across, window.bottom * down
    )


def _whole_pixels(window: Window) -> tuple[int, int, int, int]:
    left, top, right, bottom = (round(one) for one in window)
    return left, top, max(right, left + 1), max(bottom, top + 1)
