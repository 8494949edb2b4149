"""Real pictures: crops of the photographs in the wheels of scikit-image and scikit-learn."""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image, ImageStat

from ingest.errors import SetupError

_EVALUATION_SOURCES = ("china.jpg", "coffee.png", "rocket.jpg")
_WEB_SOURCES = (
    *("astronaut.png", "chelsea.png", "hubble_deep_field.jpg", "retina.jpg", "flower.jpg"),
    *("motorcycle_left.png", "ihc.png", "camera.png", "coins.png", "brick.png", "grass.png"),
    *("gravel.png", "moon.png", "page.png", "text.png", "cell.png", "color.png"),
)
_WEB_TILE_PX = (96, 128, 176, 240)
# Large enough that a crop of a crop is still the same picture to a perceptual hash.
_EVALUATION_TILE_PX = (160, 200)
_MIN_CONTRAST = 14.0
_DATE = "2021:06:01 12:00:00"


@dataclass(frozen=True)
class Picture:
    """An encoded picture, its media type, and a word on how it was encoded."""

    name: str
    media_type: str
    content: bytes
    encoding: str


@cache
def source(name: str) -> Image.Image:
    """One of the packaged photographs, as RGB or grey."""
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        try:
            path = files(package).joinpath(folder, name)
        except ModuleNotFoundError as error:
            raise SetupError(
                f"expected the package {package}, got none: pip install 'uncurated[demo]'"
            ) from error
        if path.is_file():
            image = Image.open(io.BytesIO(path.read_bytes()))
            return image.convert("L" if image.mode in ("L", "1", "I;16") else "RGB")
    raise SetupError(f"expected {name} in scikit-image or scikit-learn, got no such file")


def drawn_jpeg(side_px: int) -> bytes:
    """A drawn square with some texture, for where no photograph is needed."""
    across, down = np.meshgrid(np.arange(side_px), np.arange(side_px))
    waves = 128 + 60 * np.sin(across / 5) * np.cos(down / 7) + 60 * np.sin(across * down / 200)
    return _save(Image.fromarray(waves.astype(np.uint8)), "JPEG", quality=85)


def tiles(names: tuple[str, ...], sides_px: tuple[int, ...], seed: int) -> list[Image.Image]:
    """Crops with some contrast, in an order and at scales that the seed decides."""
    generator = random.Random(seed)
    found: list[Image.Image] = []
    for name in names:
        for side in sides_px:
            found += _grid(source(name), side, generator)
    generator.shuffle(found)
    return found


def web_pictures(seed: int, count: int) -> list[Picture]:
    """`count` pictures in the formats of the web, most of them JPEG; the same for the same seed."""
    generator = random.Random(seed)
    crops = tiles(_WEB_SOURCES, _WEB_TILE_PX, seed)
    if len(crops) < count:
        raise ValueError(f"expected at most {len(crops)} pictures, got {count}")
    names = generator.choices(
        list(ENCODERS), [weight for weight, _, _ in ENCODERS.values()], k=count
    )
    # Each encoding occurs, however few pictures there are.
    names[: len(ENCODERS)] = list(ENCODERS)[:count]
    return [
        encode(crop, encoding, f"{number:04d}", generator)
        for number, (crop, encoding) in enumerate(zip(crops, names, strict=False))
    ]


def evaluation_tiles(seed: int, count: int) -> list[Image.Image]:
    """`count` crops of photographs that are nowhere else on the web."""
    return tiles(_EVALUATION_SOURCES, _EVALUATION_TILE_PX, seed)[:count]


def encode(image: Image.Image, encoding: str, name: str, generator: random.Random) -> Picture:
    """The picture in one of ENCODERS."""
    _, media_type, encoder = ENCODERS[encoding]
    return Picture(name, media_type, encoder(image, generator), encoding)


def _grid(image: Image.Image, side: int, generator: random.Random) -> list[Image.Image]:
    """Tiles of one size that do not overlap, of varied aspect and scale."""
    found = []
    for top in range(0, image.height - side + 1, side):
        for left in range(0, image.width - side + 1, side):
            width, height = (generator.randrange(side * 3 // 4, side + 1) for _ in range(2))
            crop = image.crop((left, top, left + width, top + height))
            scale = generator.uniform(1.2, 2.6)
            if ImageStat.Stat(crop.convert("L")).stddev[0] >= _MIN_CONTRAST:
                size = (round(width * scale), round(height * scale))
                found.append(crop.resize(size, Image.Resampling.LANCZOS))
    return found


def _save(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def _jpeg(image: Image.Image, generator: random.Random, **options: object) -> bytes:
    quality = generator.randrange(60, 96)
    return _save(image, "JPEG", quality=quality, subsampling=generator.choice((0, 1, 2)), **options)


def _rotated_jpeg(image: Image.Image, generator: random.Random) -> bytes:
    """A JPEG stored sideways with an EXIF orientation that turns it upright, and a date."""
    orientation, turn = generator.choice(
        (
            (3, Image.Transpose.ROTATE_180),
            (6, Image.Transpose.ROTATE_90),
            (8, Image.Transpose.ROTATE_270),
        )
    )
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x9003] = _DATE
    return _save(image.transpose(turn), "JPEG", quality=88, exif=exif)


def _with_alpha(image: Image.Image, generator: random.Random) -> bytes:
    clear = image.convert("RGBA")
    ramp = np.linspace(255, 128, image.width).astype(np.uint8)
    clear.putalpha(Image.fromarray(np.tile(ramp, (image.height, 1))))
    return _save(clear, "PNG")


def _deep_png(image: Image.Image, generator: random.Random) -> bytes:
    return _save(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257), "PNG")


def _animated_gif(image: Image.Image, generator: random.Random) -> bytes:
    turned = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return _save(image, "GIF", save_all=True, append_images=[turned], duration=100)


# Share of the web in percent, media type, and how to make it.
ENCODERS: dict[str, tuple[float, str, Callable[[Image.Image, random.Random], bytes]]] = {
    "jpeg baseline": (50, "image/jpeg", _jpeg),
    "jpeg progressive": (
        (20, "image/jpeg", lambda image, generator: _jpeg(image, generator, progressive=True))
    ),
    "jpeg cmyk": (2, "image/jpeg", lambda image, _: _save(image.convert("CMYK"), "JPEG")),
    "jpeg rotated by exif": (5, "image/jpeg", _rotated_jpeg),
    "png": (6, "image/png", lambda image, _: _save(image, "PNG")),
    "png palette": (2, "image/png", lambda image, _: _save(image.quantize(64), "PNG")),
    "png alpha": (1, "image/png", _with_alpha),
    "png 16 bits": (1, "image/png", _deep_png),
    "webp": (5, "image/webp", lambda image, _: _save(image, "WEBP", quality=80)),
    "webp lossless": (1, "image/webp", lambda image, _: _save(image, "WEBP", lossless=True)),
    "gif": (2, "image/gif", lambda image, _: _save(image, "GIF")),
    "gif animated": (1, "image/gif", _animated_gif),
    "avif": (2, "image/avif", lambda image, _: _save(image, "AVIF", speed=10)),
    "tiff": (1, "image/tiff", lambda image, _: _save(image, "TIFF")),
    "bmp": (1, "image/bmp", lambda image, _: _save(image, "BMP")),
}
