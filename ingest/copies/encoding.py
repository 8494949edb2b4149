"""How a copy is stored: the formats of the web, with drawn qualities."""

import io
import random
from collections.abc import Callable

from PIL import Image

from ingest.copies.geometry import Params

Encoded = tuple[bytes, str, Params]


def jpeg(
    image: Image.Image,
    draw: random.Random,
    low: int = 75,
    high: int = 95,
    *,
    mode: str = "RGB",
    progressive: bool = False,
) -> Encoded:
    """JPEG of quality `low` to `high`, its chroma at a drawn resolution."""
    quality, subsampling = draw.randint(low, high), draw.choice((0, 1, 2))
    content = _save(
        image.convert(mode), "JPEG", quality=quality, subsampling=subsampling,
        progressive=progressive,
    )  # fmt: skip
    return content, "jpg", {"quality": quality}


def twice(image: Image.Image, draw: random.Random) -> Encoded:
    """JPEG of a JPEG."""
    first, _, _ = jpeg(image, draw, 50, 80)
    with Image.open(io.BytesIO(first)) as decoded:
        return jpeg(decoded, draw, 60, 90)


def webp(image: Image.Image, draw: random.Random, *, lossless: bool = False) -> Encoded:
    """WebP of quality 50 to 90, or lossless."""
    quality = draw.randint(50, 90)
    content = _save(image, "WEBP", quality=quality, lossless=lossless, method=2)
    return content, "webp", {} if lossless else {"quality": quality}


def plain(image_format: str, extension: str) -> Callable[..., Encoded]:
    """A format without parameters."""

    def encode(image: Image.Image, draw: random.Random) -> Encoded:
        return _save(image, image_format), extension, {}

    return encode


def palette(image: Image.Image, draw: random.Random, image_format: str) -> Encoded:
    """At most 256 colours, 64 or more."""
    colours = draw.choice((64, 128, 256))
    content = _save(image.quantize(colours), image_format)
    return content, image_format.lower(), {"colours": colours}


def exif_turned(image: Image.Image, draw: random.Random) -> Encoded:
    """JPEG stored sideways or upside down, with the EXIF tag that puts it right."""
    orientation, back = draw.choice(
        ((3, "ROTATE_180"), (6, "ROTATE_90"), (8, "ROTATE_270"), (2, "FLIP_LEFT_RIGHT"))
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = image.transpose(Image.Transpose[back])
    return _save(stored, "JPEG", quality=90, exif=exif), "jpg", {"orientation": orientation}


def _save(image: Image.Image, image_format: str, **settings: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **settings)
    return buffer.getvalue()
