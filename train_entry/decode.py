"""Original bytes to upright pixels, no larger than their use needs.

H and W pixels. JPEG goes through libjpeg-turbo, which halves while it decodes at little more than
no cost; plain PNG and GIF through Wuffs, plain WebP through libwebp, all else through Pillow. What
one of the fast ones refuses, Pillow decides, as it did when the dataset was built.
"""

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, UnidentifiedImageError
from pywuffs import ImageDecoderQuirks, ImageDecoderType, PixelBlend, PixelFormat
from pywuffs.aux import ImageDecoder, ImageDecoderConfig

from train_entry.exif import orientation_of
from train_entry.reader import BadSample

Pixels = NDArray[np.uint8]

# The limits of an image's size were kept when the dataset was built.
Image.MAX_IMAGE_PIXELS = None
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 64 << 20
_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
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
_PNG_MARK, _PNG_HEADER = b"\x89PNG\r\n\x1a\n", struct.Struct(">8x4x4sIIBB")
_WITH_ALPHA = (4, 6)
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
    OverflowError,
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
    return _jpeg(content) or _png(content) or _by_pillow(content)


def _encoded(size: tuple[int, int], orientation: int, decode: Callable[[float], Pixels]) -> Encoded:
    width, height = size[::-1] if orientation in _SIDEWAYS else size
    return Encoded(width, height, lambda factor: _upright(decode(factor), orientation))


def _jpeg(content: bytes) -> Encoded | None:
    if content[:2] != b"\xff\xd8":
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
        return None
    if space not in ("YCbCr", "Gray", "RGB"):
        return None

    def decode(factor: float) -> Pixels:
        halved = next((one for one in _HALVINGS if one <= factor), 1)
        sides = {"min_height": -(-height // halved), "min_width": -(-width // halved)}
        try:
            pixels: Pixels = simplejpeg.decode_jpeg(content, "RGB", **sides, min_factor=1)
        except ValueError:
            return _pillow_pixels(content)
        return pixels

    return _encoded((width, height), orientation_of(content), decode)


def _png(content: bytes) -> Encoded | None:
    """A PNG of one frame and at most 8 bits a channel: in half of Pillow's time."""
    if content[:8] != _PNG_MARK or len(content) < _PNG_HEADER.size:
        return None
    name, width, height, depth, colour = _PNG_HEADER.unpack_from(content)
    head = content[: content.find(b"IDAT")]
    if name != b"IHDR" or depth > 8 or not width or not height or b"acTL" in head:
        return None
    clear = colour in _WITH_ALPHA or b"tRNS" in head
    config = _WUFFS_OVER_WHITE if clear else _WUFFS

    def decode(_: float) -> Pixels:
        pixels = _by_wuffs(content, config, (width, height))
        return _pillow_pixels(content) if pixels is None else pixels

    return _encoded((width, height), orientation_of(content), decode)


def _by_pillow(content: bytes) -> Encoded:
    image = _open(content)

    def decode(_: float) -> Pixels:
        pixels = _decode_fast(content, image)
        return _pillow_pixels(content, image) if pixels is None else pixels

    return _encoded(image.size, _orientation(content, image), decode)


def _open(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError as error:
        # Its own message has an address of memory in it, and would differ from run to run.
        raise BadSample("expected an image, got bytes that no decoder knows") from error
    except _SUNK as error:
        raise BadSample(f"expected an image, got {error or type(error).__name__}") from error


def _pillow_pixels(content: bytes, image: Image.Image | None = None) -> Pixels:
    image = image or _open(content)
    try:
        return np.array(_rgb(image))
    except _SUNK as error:
        raise BadSample(f"expected a whole {image.format}, got {error}") from error


def _orientation(content: bytes, image: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 if there is none, or Pillow turns the image by itself."""
    if image.format in ("JPEG", "MPO", "PNG", "WEBP"):
        return orientation_of(content)
    if image.format == "TIFF":
        return 1
    try:
        # AVIF has a turn of its own, which Pillow gives as EXIF's.
        return int(image.getexif().get(_ORIENTATION, 1))
    except _SUNK:
        return 1


def _decode_fast(content: bytes, image: Image.Image) -> Pixels | None:
    """A plain WebP or GIF in half of Pillow's time; None if Pillow must decide."""
    if image.mode not in ("L", "P", "RGB") or "transparency" in image.info:
        return None
    if image.format == "WEBP" and getattr(image, "n_frames", 1) == 1:
        try:
            return np.asarray(imagecodecs.webp_decode(content, hasalpha=False))
        except _SUNK:
            return None
    # Where the first frame is small, Pillow must fill the rest.
    tiles = getattr(image, "tile", ())
    whole = image.format == "GIF" and tiles and tiles[0].extents == (0, 0, *image.size)
    return _by_wuffs(content, _WUFFS, image.size) if whole else None


def _wuffs_config(pixel_format: PixelFormat) -> ImageDecoderConfig:
    config = ImageDecoderConfig()
    config.pixel_format = pixel_format
    # It would rather be fast by default: here damage is to be found.
    config.quirks = {ImageDecoderQuirks.IGNORE_CHECKSUM: 0}
    config.enabled_decoders = [ImageDecoderType.PNG, ImageDecoderType.GIF]
    return config


# Four channels are decoded much faster than three.
_WUFFS = _wuffs_config(PixelFormat.RGBA_NONPREMUL)
_WUFFS_OVER_WHITE = _wuffs_config(PixelFormat.RGBA_PREMUL)
_WUFFS_OVER_WHITE.pixel_blend = PixelBlend.SRC_OVER
_WUFFS_OVER_WHITE.background_color = 0xFFFFFFFF


def _by_wuffs(content: bytes, config: ImageDecoderConfig, size: tuple[int, int]) -> Pixels | None:
    # A decoder each time: one must not be shared by threads.
    found = ImageDecoder(config).decode(content)
    # Each look at the property makes an array.
    pixels = found.pixbuf
    if found.error_message or pixels.shape[:2] != size[::-1]:
        return None
    rgb = np.empty((*size[::-1], 3), np.uint8)
    # Five times as fast as to copy the three at once.
    for channel in range(3):
        rgb[:, :, channel] = pixels[:, :, channel]
    return rgb


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        # Pillow would cut off all above 255.
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values: NDArray[np.generic]) -> Pixels:
    """Grey of 8 bits: 16 bits by their range, deeper ones by their own extremes."""
    deep = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    narrow = values.dtype.itemsize == 2
    low, high = (0.0, 65535.0) if narrow else (float(deep.min()), float(deep.max()))
    return np.rint((deep - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    if orientation not in _TRANSPOSED:
        return pixels
    turned = Image.fromarray(pixels).transpose(_TRANSPOSED[orientation])
    return np.array(turned)
