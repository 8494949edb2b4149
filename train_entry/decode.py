"""Original bytes to upright pixels, no larger than their use needs.

H and W pixels. JPEG goes through libjpeg-turbo, which halves while it decodes at little more than
no cost; everything else, and CMYK, through Pillow.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from pywuffs import ImageDecoderQuirks, ImageDecoderType, PixelFormat
from pywuffs.aux import ImageDecoder, ImageDecoderConfig

from train_entry.reader import BadSample

Pixels = NDArray[np.uint8]

# The limit of an image's size was kept when the dataset was built.
Image.MAX_IMAGE_PIXELS = None
_ORIENTATION = 0x0112
# What stands before EXIF data: in JPEG, PNG, WebP; a TIFF begins with them.
_EXIF_MARKS, _EXIF_BYTES = (b"Exif\x00\x00", b"eXIf", b"EXIF", b"II*\x00", b"MM\x00*"), 1 << 30
_SIDEWAYS = 5
_TRANSPOSED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# The factors for which libjpeg-turbo has vector code.
_HALVINGS = (8, 4, 2)
_WUFFS = ImageDecoderConfig()
_WUFFS.pixel_format = PixelFormat.RGBA_NONPREMUL
# It would rather be fast by default: here damage is to be found.
_WUFFS.quirks = {ImageDecoderQuirks.IGNORE_CHECKSUM: 0}
_WUFFS.enabled_decoders = [ImageDecoderType.PNG, ImageDecoderType.GIF]
_SUNK = (
    RuntimeError,
    OSError,
    ValueError,
    SyntaxError,
    struct.error,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
)


@dataclass(frozen=True)
class Encoded:
    """An image whose header has been read: its upright size, and how to get its pixels."""

    width_px: int
    height_px: int
    decode: Callable[[float], Pixels]  # of the factor by which it may be smaller


def read_header(content: bytes) -> Encoded:
    """The size of an image, and a function for its RGB pixels [H, W, 3]; raises BadSample.

    The function is told by which factor, 1 or more, the sides may be smaller, and keeps within it.
    Orientation by EXIF is applied, transparency laid on white, of several frames the first taken.
    """
    try:
        if content[:2] == b"\xff\xd8":
            height, width, space, _ = simplejpeg.decode_jpeg_header(content)
            if space in ("YCbCr", "Gray", "RGB"):
                return _jpeg(content, width, height)
        image = Image.open(io.BytesIO(content))
        orientation = _orientation(content, image)
    except _SUNK as error:
        raise BadSample(f"expected an image, got {error or type(error).__name__}") from error
    width, height = image.size
    if orientation in _TRANSPOSED and orientation >= _SIDEWAYS:
        width, height = height, width
    return Encoded(width, height, lambda factor: _other(content, image, orientation))


def _jpeg(content: bytes, width: int, height: int) -> Encoded:
    orientation = _orientation(content)

    def decode(factor: float) -> Pixels:
        halved = next((one for one in _HALVINGS if one <= factor), 1)
        try:
            pixels: Pixels = simplejpeg.decode_jpeg(
                content,
                "RGB",
                min_height=-(-height // halved),
                min_width=-(-width // halved),
                min_factor=1,
            )
        except _SUNK as error:
            raise BadSample(f"expected a whole JPEG, got {error}") from error
        return _upright(pixels, orientation)

    if orientation in _TRANSPOSED and orientation >= _SIDEWAYS:
        width, height = height, width
    return Encoded(width, height, decode)


def _orientation(content: bytes, image: Image.Image | None = None) -> int:
    """EXIF's orientation, 1 to 8; 1 if there is none."""
    # Pillow takes long to look, and decodes the whole of a PNG for it.
    if not any(content.find(mark, 0, _EXIF_BYTES) >= 0 for mark in _EXIF_MARKS):
        return 1
    opened = image or Image.open(io.BytesIO(content))
    return int(opened.getexif().get(_ORIENTATION, 1))


def _other(content: bytes, image: Image.Image, orientation: int) -> Pixels:
    try:
        pixels = _decode_fast(content, image)
        return _upright(np.array(_rgb(image)) if pixels is None else pixels, orientation)
    except _SUNK as error:
        raise BadSample(f"expected a whole {image.format}, got {error}") from error


def _decode_fast(content: bytes, image: Image.Image) -> Pixels | None:
    """A plain PNG, GIF or WebP in half of Pillow's time; None if Pillow must decide."""
    plain = image.mode in ("L", "P", "RGB") and "transparency" not in image.info
    if not plain or getattr(image, "n_frames", 1) != 1:
        return None
    if image.format == "WEBP":
        return np.asarray(imagecodecs.webp_decode(content, hasalpha=False))
    if image.format in ("PNG", "GIF"):
        # A decoder each time: one must not be shared by threads.
        found = ImageDecoder(_WUFFS).decode(content)
        if not found.error_message and found.pixbuf.shape[:2] == image.size[::-1]:
            return np.asarray(found.pixbuf)[:, :, :3]
    return None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        # Pillow would cut off all above 255.
        values = np.asarray(image, dtype=np.float32)
        highest = 65535 if image.mode != "F" and values.max() > 255 else 255
        grey = np.clip(values * (255 / highest), 0, 255).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    if orientation not in _TRANSPOSED:
        return pixels
    turned = Image.fromarray(np.ascontiguousarray(pixels)).transpose(_TRANSPOSED[orientation])
    return np.array(turned)
