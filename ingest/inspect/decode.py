"""Bytes of an image -> what it is, and its fingerprint: header limits first, then one decode."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import md5, sha256

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin, UnidentifiedImageError

from ingest.errors import InspectError
from ingest.fingerprint import Luma, View, view_of
from ingest.inspect.c2pa import training_mining
from ingest.inspect.exif import read_exif
from ingest.inspect.grey import (
    content_box,
    describe,
    grey_picture,
    luma_of,
    over_white,
    pixel_digest,
    upright,
)
from ingest.inspect.header import declared_size, sniff_format
from schemas.image_formats import EXTENSIONS
from schemas.outcome import Outcome

_PILLOW_FORMATS = {"jp2": "JPEG2000"}
_MAX_WARNINGS = 8


@dataclass(frozen=True)
class Inspection:
    """What one image is; plain values, so that it can cross a process boundary."""

    sha256: str
    md5: str
    pixels_sha256: str
    format: str
    width_px: int
    height_px: int
    mode: str
    num_frames: int
    exif_orientation: int | None
    exif_date: str | None
    warnings: tuple[str, ...]
    # Entries of a Content Credentials assertion on training and mining.
    training_mining: tuple[str, ...]
    # The whole picture, then what lies inside its border if it has one.
    views: tuple[View, ...]


def inspect_image(content: bytes, max_pixels: int) -> Inspection:
    """Everything the ledger says of an image; raises InspectError if it is no usable one."""
    return inspect_picture(content, max_pixels)[0]


def inspect_picture(content: bytes, max_pixels: int) -> tuple[Inspection, Luma]:
    """What an image is, and its canonical pixels, uint8 [H, W]; raises InspectError."""
    image_format = format_of(content)
    notes: list[str] = []
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        with open_image(content, image_format, max_pixels) as image:
            mode, (width, height) = image.mode, image.size
            num_frames = _count_frames(image, notes)
            orientation, date = read_exif(image, notes)
            grey = _decode(content, image, orientation, notes)
    notes.extend(str(warning.message) for warning in raised)
    inspection = Inspection(
        sha256=sha256(content).hexdigest(),
        # 0.1 ms: what those have who ask for removals.
        md5=md5(content, usedforsecurity=False).hexdigest(),
        pixels_sha256=pixel_digest(grey),
        format=image_format,
        width_px=width,
        height_px=height,
        mode=mode,
        num_frames=num_frames,
        exif_orientation=orientation,
        exif_date=date,
        warnings=_tidy(notes),
        training_mining=training_mining(content),
        views=_views(grey),
    )
    return inspection, grey


def small_picture(content: bytes, side_px: int, max_pixels: int) -> NDArray[np.uint8]:
    """The upright first frame in colour, uint8 [h, w, 3], over white, its sides at most `side_px`.

    Raises InspectError if the bytes are no usable image.
    """
    with open_image(content, format_of(content), max_pixels) as image:
        try:
            orientation, _ = read_exif(image, [])
            image.draft("RGB", (side_px, side_px))
            small = over_white(image)
            small.thumbnail((side_px, side_px))
            # Pillow turns TIFF by itself.
            turned = image.format == "TIFF"
            return upright(np.asarray(small), None if turned else orientation)
        except MemoryError:
            raise
        except Exception as error:
            raise InspectError(Outcome.CORRUPT, describe(error)) from error


def configure_pillow() -> None:
    """Let our own limits decide instead of Pillow's; for decoder processes, once at their start."""
    Image.MAX_IMAGE_PIXELS = None
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 64 << 20
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    Image.preinit()
    Image.init()


def format_of(content: bytes) -> str:
    """The format by the first bytes; raises InspectError if it is none that is decoded."""
    image_format = sniff_format(content)
    if image_format is None:
        raise InspectError(Outcome.NOT_AN_IMAGE, f"starts with {content[:16]!r}")
    if image_format not in EXTENSIONS:
        raise InspectError(Outcome.UNSUPPORTED_FORMAT, f"{image_format} is not decoded")
    return image_format


def open_image(content: bytes, image_format: str, max_pixels: int) -> Image.Image:
    """The image, its pixels not yet decoded; raises InspectError if its header forbids that."""
    if declared := declared_size(content, image_format):
        _check_pixels(declared, max_pixels)
    pillow_format = _PILLOW_FORMATS.get(image_format, image_format.upper())
    try:
        image = Image.open(io.BytesIO(content), formats=[pillow_format])
    except MemoryError:
        raise
    except UnidentifiedImageError as error:
        raise InspectError(Outcome.CORRUPT, f"expected a {image_format} header") from error
    except Exception as error:
        raise InspectError(Outcome.CORRUPT, describe(error)) from error
    _check_pixels(image.size, max_pixels)
    return image


def _check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise InspectError(
            Outcome.TOO_MANY_PIXELS,
            f"expected at most {max_pixels} pixels, got {width} x {height}",
        )


def _count_frames(image: Image.Image, notes: list[str]) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except MemoryError:
        raise
    except Exception as error:
        notes.append(f"frames: {describe(error)}")
        return 1
    finally:
        if image.tell():
            image.seek(0)


def _decode(content: bytes, image: Image.Image, orientation: int | None, notes: list[str]) -> Luma:
    try:
        return grey_picture(content, image, orientation, notes)
    except MemoryError:
        raise
    except Exception as error:
        raise InspectError(Outcome.CORRUPT, describe(error)) from error


def _views(grey: Luma) -> tuple[View, ...]:
    box = content_box(grey)
    lumas = [luma_of(grey)] if box is None else [luma_of(grey), luma_of(grey, box)]
    return tuple(map(view_of, lumas))


def _tidy(notes: Sequence[str]) -> tuple[str, ...]:
    """At most a few short distinct notes, in order."""
    return tuple(dict.fromkeys(note[:200] for note in notes))[:_MAX_WARNINGS]
