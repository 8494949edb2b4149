"""Bytes of an image -> its canonical pixels: the upright luma of the first frame, over white.

JPEG is decoded to grey, at half its size or less if both sides stay at least 192 px: that reads the
whole file and costs little more than its entropy decoding. All else is reduced as far by averaging.
"""

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import imagecodecs
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageOps
from pywuffs import ImageDecoderQuirks, ImageDecoderType, PixelFormat
from pywuffs.aux import ImageDecoder, ImageDecoderConfig

from ingest.fingerprint import LUMA_PX, Luma

MIN_SIDE_PX = 192
_MAX_NOTE_CHARS = 200
_ALPHA_MODES = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})

# A border is searched on a picture this small, and is a colour up to JPEG's noise.
_SEARCH_PX, _TOLERANCE, _UNIFORM_SHARE = 256, 6, 0.985
_SEARCH_ROUNDS, _SEARCH_LINES, _MIN_LINES, _MIN_AREA, _MAX_AREA = 3, 16, 8, 0.05, 0.96

Box = tuple[int, int, int, int]


def grey_picture(
    content: bytes, image: Image.Image, orientation: int | None, notes: list[str]
) -> Luma:
    """The upright picture, uint8 [H, W]. `image` is the opened file; complaints go to `notes`.

    Raises whatever the decoder of a damaged file raises.
    """
    grey = _decode_jpeg(content, image, notes) if image.format in ("JPEG", "MPO") else None
    if grey is None:
        grey = _reduced(_to_grey(_decode_fast(content, image, notes) or image))
    # Pillow turns TIFF by itself.
    return grey if image.format == "TIFF" else upright(grey, orientation)


def _reduced(grey: Image.Image) -> Luma:
    step = min(grey.size) // MIN_SIDE_PX
    return np.asarray(grey.reduce(step) if step > 1 else grey)


def pixel_digest(grey: Luma) -> str:
    """SHA-256 of canonical pixels and their size, as 64 hex digits.

    Equal for files that differ in metadata or in a lossless format only.
    """
    height, width = grey.shape
    digest = sha256(f"luma {width}x{height}\n".encode())
    digest.update(grey.tobytes())
    return digest.hexdigest()


def luma_of(grey: Luma, box: Box | None = None) -> Luma:
    """The uint8 [64, 64] luma of a picture, or of a part of it.

    Bicubic after a box reduction: 0.18 ms where plain Lanczos on the full decode takes 1.6, for 3.9
    of 256 bits on average (p95 14) between the two (benchmark README).
    """
    size, image = (LUMA_PX, LUMA_PX), Image.fromarray(grey)
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC, box=box, reducing_gap=1.5))


def content_box(grey: Luma) -> Box | None:
    """What lies inside a border of one colour (frame, letterbox, margin); None without a border.

    None, too, if the border is so thin that the whole picture is as good a view.
    """
    if not _may_have_border(grey):
        return None
    step = max(1, min(grey.shape) // _SEARCH_PX)
    pixels = np.asarray(Image.fromarray(grey).reduce(step)) if step > 1 else grey
    height, width = pixels.shape
    left, top, right, bottom = 0, 0, width, height
    area = 1.0
    # Further rounds find what bars of another colour hid, and what a line that mixes both did.
    for _ in range(_SEARCH_ROUNDS):
        before = area
        top += _border_lines(pixels[top:bottom, left:right])
        bottom -= _border_lines(pixels[top:bottom, left:right][::-1])
        left += _border_lines(pixels[top:bottom, left:right].T)
        right -= _border_lines(pixels[top:bottom, left:right].T[::-1])
        area = (right - left) * (bottom - top) / (width * height)
        if area == before:
            break
    if not _MIN_AREA <= area <= _MAX_AREA:
        return None
    # The line beside the border mixes both.
    edges = (
        left + (left > 0),
        top + (top > 0),
        right - (right < width),
        bottom - (bottom < height),
    )
    most = grey.shape[::-1] * 2
    x0, y0, x1, y1 = (min(edge * step, limit) for edge, limit in zip(edges, most, strict=True))
    return (x0, y0, x1, y1)


def _may_have_border(pixels: Luma) -> bool:
    return any(map(_is_uniform, (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])))


def _is_uniform(line: Luma) -> bool:
    near = np.abs(line.astype(np.int16) - int(line[0])) <= _TOLERANCE
    return bool(np.count_nonzero(near) >= _UNIFORM_SHARE * len(line))


def _border_lines(lines: Luma) -> int:
    """How many of the first lines are of the first one's colour; 0 if hardly any would be left."""
    if not _is_uniform(lines[0]):
        return 0
    middle = lines.shape[1] // 2
    colour = int(np.partition(lines[0], middle)[middle])
    like_border = np.abs(np.arange(256) - colour) <= _TOLERANCE
    least = _UNIFORM_SHARE * lines.shape[1]
    count = 0
    # Most borders end soon, and most pictures have none.
    for begin in range(0, len(lines), _SEARCH_LINES):
        block = lines[begin : begin + _SEARCH_LINES]
        uniform = np.count_nonzero(like_border[block], axis=1) >= least
        count += len(block) if uniform.all() else int(np.argmin(uniform))
        if count < begin + len(block):
            break
    return count if len(lines) - count >= _MIN_LINES else 0


def _decode_jpeg(content: bytes, image: Image.Image, notes: list[str]) -> Luma | None:
    """The grey picture; None if libjpeg-turbo complains: then Pillow decides whether it is bad."""
    if image.mode == "CMYK":
        return None
    try:
        grey = simplejpeg.decode_jpeg(
            content, "GRAY", min_height=MIN_SIDE_PX, min_width=MIN_SIDE_PX, min_factor=2
        )
    except ValueError as error:
        notes.append(describe(error))
        image.draft("L", (MIN_SIDE_PX, MIN_SIDE_PX))
        return None
    luma: Luma = grey[:, :, 0]
    return luma


def _decode_fast(content: bytes, image: Image.Image, notes: list[str]) -> Image.Image | None:
    """A plain PNG, GIF or WebP by a faster decoder than Pillow's; None if Pillow must decide.

    Wuffs takes 0.45 of Pillow's time for PNG and GIF, libwebp without Pillow's two canvases 0.5
    (benchmark README). The picture is in mode RGBX or RGBA, and shares memory with the decoder's.
    """
    decode = _FAST_DECODERS.get(image.format or "")
    if decode is None or not _is_plain(image):
        return None
    try:
        pixels = decode(content)
    except (RuntimeError, ValueError) as error:
        notes.append(describe(error))
        return None
    if pixels.shape[:2] != image.size[::-1]:
        return None
    mode = "RGBA" if image.mode == "RGBA" else "RGBX"
    return Image.frombuffer(mode, image.size, np.ascontiguousarray(pixels), "raw", mode, 0, 1)


def _is_plain(image: Image.Image) -> bool:
    """Whether a file holds one frame of 8 bits a channel, without a colour that is transparent."""
    if image.mode not in ("L", "P", "RGB", "RGBA") or "transparency" in image.info:
        return False
    if image.format == "GIF":
        # Further frames lie behind the first; a small first one leaves Pillow to fill the rest.
        tiles: Sequence[Any] = getattr(image, "tile", ())
        return bool(tiles) and tiles[0].extents == (0, 0, *image.size)
    return getattr(image, "n_frames", 1) == 1


def _wuffs_config() -> ImageDecoderConfig:
    config = ImageDecoderConfig()
    config.pixel_format = PixelFormat.RGBA_NONPREMUL
    # It would rather be fast by default: here damage is to be found.
    config.quirks = {ImageDecoderQuirks.IGNORE_CHECKSUM: 0}
    config.enabled_decoders = [ImageDecoderType.PNG, ImageDecoderType.GIF]
    return config


_WUFFS = _wuffs_config()


def _decode_by_wuffs(content: bytes) -> NDArray[np.uint8]:
    # A decoder each time: one must not be shared by threads.
    found = ImageDecoder(_WUFFS).decode(content)
    if found.error_message:
        raise ValueError(found.error_message)
    pixels: NDArray[np.uint8] = found.pixbuf
    return pixels


_FAST_DECODERS: dict[str, Callable[[bytes], NDArray[np.uint8]]] = {
    "PNG": _decode_by_wuffs,
    "GIF": _decode_by_wuffs,
    "WEBP": partial(imagecodecs.webp_decode, hasalpha=True),
}


def _to_grey(image: Image.Image) -> Image.Image:
    """The first frame in mode L: alpha over white, 16 bits scaled to 8."""
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bits(np.asarray(image)))
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _over_white(image.convert("RGBA"))
    return image.convert("L")


def _over_white(image: Image.Image) -> Image.Image:
    """The luma of an RGBA picture over white: that of the premultiplied colours, and what shows."""
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert("L")
    red, green, blue, _ = image.convert("RGBa").split()
    return ImageChops.add(
        Image.merge("RGB", (red, green, blue)).convert("L"), ImageOps.invert(alpha)
    )


def _to_8_bits(values: NDArray[np.generic]) -> Luma:
    """8-bit grey of deep pixels: 16-bit range by 257, all other ranges by their own extremes."""
    deep = values.astype(np.float64)
    low, high = (0.0, 65535.0) if values.dtype.itemsize == 2 else _finite_range(deep)
    scaled = (np.nan_to_num(deep, nan=low) - low) * (255.0 / max(high - low, 1e-9))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def _finite_range(values: NDArray[np.float64]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def upright(pixels: NDArray[np.uint8], orientation: int | None) -> NDArray[np.uint8]:
    """Pixels, uint8 [H, W] or [H, W, 3], turned as EXIF says."""
    if orientation in (None, 1):
        return pixels
    tagged = Image.fromarray(pixels)
    tagged.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(tagged))


def over_white(image: Image.Image) -> Image.Image:
    """The first frame in mode RGB: alpha over white, deep pixels as grey of 8 bits."""
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def describe(error: Exception) -> str:
    """An error as a note of the ledger."""
    return f"{type(error).__name__}: {error}"[:_MAX_NOTE_CHARS]
