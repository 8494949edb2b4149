"""The pictures that a copy of an evaluation image may have become, and their hashes."""

import io
import logging
import math
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from ingest.fingerprint import PerceptualHash, perceptual_hash
from ingest.inspect.decode import JPEG_MIN_PX, Luma, inspect_image, upright_luma

logger = logging.getLogger(__name__)

# Codes of images flatter than this match strangers (facts: dedup.md, section 2): exact tier only.
MIN_TEXTURE = 128
# So do those of pictures that are flat in all but a few of their 8x8 blocks of 8x8 luma: a bare
# wall with one dark corner is like another, yet an edge alone makes many coefficients large.
_FLAT_STD, _MIN_BUSY_BLOCKS = 2.0, 8

_CENTRE_SIDES = {"centre_0.925": 0.925, "centre_0.85": 0.85, "centre_0.7": 0.70}
VARIANTS = ("identity", "mirrored", *_CENTRE_SIDES)

# The smallest crop of a JPEG is then as large as a crawled copy of it is decoded.
_DRAFT_PX = math.ceil(JPEG_MIN_PX / min(_CENTRE_SIDES.values()))
# EXIF orientations that swap width and height when the picture is turned upright.
_TURNED = frozenset({5, 6, 7, 8})


def variant_hashes(content: bytes, max_pixels: int) -> tuple[PerceptualHash, ...]:
    """The hash of each of VARIANTS; only the first, `inspect_image`'s, if no others can be made.

    A picture that is flat nearly everywhere has texture 0. Raises InspectError if the bytes are no
    usable image.
    """
    inspection = inspect_image(content, max_pixels)
    identity = PerceptualHash(bytes.fromhex(inspection.phash), inspection.texture)
    try:
        with warnings.catch_warnings():
            # `inspect_image` has seen them already.
            warnings.simplefilter("ignore")
            whole, *edited = _pillow_hashes(content, inspection.exif_orientation)
    except MemoryError:
        raise
    # Pillow's plugins raise anything; the picture is kept, as `inspect_image` could read it.
    except Exception:
        logger.warning("no variants of image %s", inspection.sha256, exc_info=True)
        return (identity,)
    # The crawl hashes by `inspect_image`, so the code of the whole picture is its; flat stays flat.
    return (identity if whole.texture else replace(identity, texture=0), *edited)


def _pillow_hashes(content: bytes, orientation: int | None) -> tuple[PerceptualHash, ...]:
    with Image.open(io.BytesIO(content)) as image:
        if image.mode != "CMYK":
            image.draft("L", (_DRAFT_PX, _DRAFT_PX))
        return tuple(
            _distinctive_hash(upright_luma(picture, orientation))
            for picture in (image, *_edits(image, orientation))
        )


def _distinctive_hash(luma: Luma) -> PerceptualHash:
    """The hash of a 64x64 luma, with texture 0 if nearly all of its blocks are flat."""
    hashed = perceptual_hash(luma)
    blocks = luma.reshape(8, 8, 8, 8).std(axis=(1, 3))
    busy = int(np.count_nonzero(blocks >= _FLAT_STD)) >= _MIN_BUSY_BLOCKS
    return hashed if busy else replace(hashed, texture=0)


def _edits(image: Image.Image, orientation: int | None) -> Iterator[Image.Image]:
    """The edited pictures, one at a time, still to be turned upright."""
    flips = Image.Transpose
    yield image.transpose(
        flips.FLIP_TOP_BOTTOM if orientation in _TURNED else flips.FLIP_LEFT_RIGHT
    )
    width, height = image.size
    for side in _CENTRE_SIDES.values():
        left, top = round(width * (1 - side) / 2), round(height * (1 - side) / 2)
        # At least one pixel is left of the thinnest picture.
        yield image.crop((left, top, max(width - left, left + 1), max(height - top, top + 1)))
