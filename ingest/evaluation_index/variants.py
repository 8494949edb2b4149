"""The pictures that a copy of an evaluation image may have become, as places in the original.

Coordinates are unit ones, of the picture squeezed to a square, with the middle at 0: a variant is
the 2x3 matrix that leads from its own to those of the original. Build samples by it, the verifier
starts from it.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingest.fingerprint import LUMA_PX, Luma

Matrix = NDArray[np.float64]
Box = tuple[float, float, float, float]

IDENTITY, TRIMMED = "identity", "trimmed"
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)

# The square that variants are sampled from, and how finely.
_BASE_PX, _SAMPLES = 256, 2

_Place = Callable[[float], Matrix]


def _linear(a: float, b: float, c: float, d: float, x: float = 0.0, y: float = 0.0) -> Matrix:
    return np.array([[a, b, x], [c, d, y]])


def _crop(aspect: float, wide: float, high: float, x: float = 0.0, y: float = 0.0) -> Matrix:
    """A part of the sides, off the middle by `x` and `y`; more than 1 is a margin."""
    return _linear(wide, 0, 0, high, x, y)


def _square(aspect: float, side: float) -> Matrix:
    """The middle square of `side` times the short side."""
    return _linear(side * min(1.0, 1 / aspect), 0, 0, side * min(1.0, aspect))


def _turn(aspect: float, matrix: tuple[float, float, float, float]) -> Matrix:
    return _linear(*matrix)


def _rotation(aspect: float, degrees: float, inscribed: bool) -> Matrix:
    """Turned: what fits inside, in the same shape, or all of it with its corners outside."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    wide = aspect * cosine + abs(sine)
    high = aspect * abs(sine) + cosine
    if inscribed:
        shrink = min(aspect / wide, 1 / high)
        wide, high = aspect * shrink, shrink
    return _linear(cosine * wide / aspect, -sine * high / aspect, sine * wide, cosine * high)


def _crops(side: float, *, off: float = 0.0) -> dict[str, _Place]:
    """Crops whose middle is off by `off` to each corner; the centre one if that is 0."""
    if not off:
        return {f"centre_{side:g}": partial(_crop, wide=side, high=side)}
    return {
        f"corner_{side:g}_{vertical}_{horizontal}": partial(
            _crop, wide=side, high=side, x=x * off, y=y * off
        )
        for vertical, y in (("top", -1), ("bottom", 1))
        for horizontal, x in (("left", -1), ("right", 1))
    }


def _cuts(side: float) -> dict[str, _Place]:
    """One side cut off, `side` of it left."""
    off = (1 - side) / 2
    return {
        f"cut_left_{side:g}": partial(_crop, wide=side, high=1, x=off),
        f"cut_right_{side:g}": partial(_crop, wide=side, high=1, x=-off),
        f"cut_top_{side:g}": partial(_crop, wide=1, high=side, y=off),
        f"cut_bottom_{side:g}": partial(_crop, wide=1, high=side, y=-off),
    }


def _rotations(degrees: float, *, inscribed: bool) -> dict[str, _Place]:
    kind = "inscribed" if inscribed else "expanded"
    return {
        f"{kind}_{sign * degrees:+g}": partial(
            _rotation, degrees=sign * degrees, inscribed=inscribed
        )
        for sign in (-1, 1)
    }


_MIRRORED = {"mirrored": partial(_turn, matrix=(-1, 0, 0, 1))}
_TURNED: dict[str, _Place] = {
    "turned_90": partial(_turn, matrix=(0, 1, -1, 0)),
    "turned_180": partial(_turn, matrix=(-1, 0, 0, -1)),
    "turned_270": partial(_turn, matrix=(0, -1, 1, 0)),
}
_MIRRORED_TURNED: dict[str, _Place] = {
    "mirrored_90": partial(_turn, matrix=(0, 1, 1, 0)),
    "mirrored_180": partial(_turn, matrix=(1, 0, 0, -1)),
    "mirrored_270": partial(_turn, matrix=(0, -1, -1, 0)),
}
_SQUARES = {f"square_{side:g}": partial(_square, side=side) for side in (1.0, 0.875)}

_SMALL: dict[str, _Place] = {
    IDENTITY: partial(_crop, wide=1, high=1),
    **_MIRRORED,
    **_crops(0.925),
    **_crops(0.85),
    **_crops(0.7),
}
_STANDARD: dict[str, _Place] = {
    IDENTITY: partial(_crop, wide=1, high=1),
    **_MIRRORED,
    **_TURNED,
    **_crops(0.95),
    **_crops(0.85),
    **_crops(0.775),
    **_crops(0.7),
    **_crops(0.9, off=0.025),
    **_SQUARES,
    **_rotations(2.5, inscribed=False),
    **_rotations(5, inscribed=False),
    **_rotations(5, inscribed=True),
}
_THOROUGH: dict[str, _Place] = {
    **_STANDARD,
    **_MIRRORED_TURNED,
    **_crops(0.9),
    **_crops(0.65),
    **_crops(0.85, off=0.04),
    **_crops(0.8, off=0.07),
    **_cuts(0.9),
    **_cuts(0.8),
    **_rotations(2.5, inscribed=True),
    **_rotations(8, inscribed=True),
    **_rotations(10, inscribed=False),
    "margin_1.2": partial(_crop, wide=1.2, high=1.2),
}
_PLACES: dict[str, _Place] = {**_SMALL, **_THOROUGH}

# Chosen greedily on pictures that no published figure uses (benchmark README).
PROFILES: dict[str, tuple[str, ...]] = {
    "small": tuple(_SMALL),
    "standard": tuple(_STANDARD),
    "thorough": tuple(_THOROUGH),
}
# An index numbers them by this order.
VARIANTS = (*_PLACES, TRIMMED)


def place_of(variant: str, aspect: float, box: Box = WHOLE) -> Matrix:
    """Where a variant lies in an original of this aspect (width by height).

    box: left, top, right, bottom of what `trimmed` is, in shares of the sides.
    """
    if variant == TRIMMED:
        left, top, right, bottom = box
        middle = ((left + right - 1) / 2, (top + bottom - 1) / 2)
        return _linear(right - left, 0, 0, bottom - top, *middle)
    return _PLACES[variant](aspect)


def variant_lumas(grey: Luma, variants: Sequence[str]) -> list[Luma]:
    """The uint8 [64, 64] luma of each variant of a picture, uint8 [H, W]; outside it is grey."""
    square = (_BASE_PX, _BASE_PX)
    base = Image.fromarray(grey).resize(square, Image.Resampling.BILINEAR, reducing_gap=2.0)
    ground = int(np.asarray(base).mean())
    aspect = grey.shape[1] / grey.shape[0]
    whole = _sample(base, _crop(aspect, 1, 1), ground)
    places = (place_of(variant, aspect) for variant in variants)
    return [
        _turned(whole, place) if _is_turn(place) else _sample(base, place, ground)
        for place in places
    ]


def _is_turn(place: Matrix) -> bool:
    return set(place.ravel().tolist()) <= {-1.0, 0.0, 1.0}


def _turned(luma: Luma, place: Matrix) -> Luma:
    """The luma mirrored or turned by a quarter, as the signs of a place say."""
    (a, b), (c, d) = place[:, :2]
    rows, columns = (d, a) if a else (b, c)
    return (luma if a else luma.T)[:: int(rows), :: int(columns)]


def _sample(base: Image.Image, place: Matrix, ground: int) -> Luma:
    """The luma of a place; crops and turns take half the time of all others."""
    wide, high = place[0, 0], place[1, 1]
    left, top = place[0, 2] + 0.5 - wide / 2, place[1, 2] + 0.5 - high / 2
    upright = wide > 0 and high > 0 and place[0, 1] == place[1, 0] == 0
    if upright and min(left, top, 1 - left - wide, 1 - top - high) >= 0:
        corners = np.array([left, top, left + wide, top + high]) * _BASE_PX
        box = tuple(corners.tolist())
        return np.asarray(base.resize((LUMA_PX, LUMA_PX), Image.Resampling.BILINEAR, box=box))
    size = LUMA_PX * _SAMPLES
    scale = _BASE_PX / size
    offset = _BASE_PX * (place[:, 2] + 0.5) - _BASE_PX * (place[:, 0] + place[:, 1]) / 2
    coefficients = (
        *(place[0, :2] * scale).tolist(), float(offset[0]),
        *(place[1, :2] * scale).tolist(), float(offset[1]),
    )  # fmt: skip
    sampled = base.transform(
        (size, size), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR,
        fillcolor=ground,
    )  # fmt: skip
    return np.asarray(sampled.reduce(_SAMPLES))
