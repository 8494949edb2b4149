"""The kinds of copies, each with a group: those of a group stand in one line of a table of recall.

A copy is drawn: the same image, kind and seed give the same bytes, and no two seeds the same edit.
"""

import io
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from PIL import Image, ImageOps

from ingest.copies import encoding, geometry, surface
from ingest.copies.geometry import Edited, Params

# Larger pictures are shrunk first, as most copies on the web are.
LONG_SIDE_PX = 800
_MIN_SIDE_PX = 16

_Edit = Callable[[Image.Image, random.Random], Edited]
_Encode = Callable[[Image.Image, random.Random], encoding.Encoded]


@dataclass(frozen=True)
class Copy:
    """A copy of an image: its bytes, and how it was made."""

    kind: str
    content: bytes
    extension: str
    params: Params


@dataclass(frozen=True)
class Kind:
    """How copies of one kind are made: edits one after another, then an encoding."""

    name: str
    group: str
    edits: tuple[_Edit, ...]
    encode: _Encode

    def make(self, image: Image.Image, seed: str) -> Copy:
        """A copy of an RGB image; `seed` draws its parameters."""
        draw = random.Random(f"{self.name} {seed}")
        params: Params = {}
        for edit in self.edits:
            image, drawn = edit(image, draw)
            params |= drawn
        content, extension, drawn = self.encode(_at_least(image), draw)
        return Copy(self.name, content, extension, params | drawn)


def open_original(content: bytes) -> Image.Image:
    """An image as copies are made of it: first frame, upright, RGB over white, of moderate size."""
    with Image.open(io.BytesIO(content)) as stored:
        stored.draft("RGB", (LONG_SIDE_PX, LONG_SIDE_PX))
        image = ImageOps.exif_transpose(stored)
    if image.mode.startswith(("I", "F")):
        image = image.convert("F").point(lambda value: value / 257).convert("L")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    image = image.convert("RGB")
    image.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX))
    return image


def _at_least(image: Image.Image) -> Image.Image:
    width, height = (max(side, _MIN_SIDE_PX) for side in image.size)
    return image if image.size == (width, height) else image.resize((width, height))


def _kind(name: str, group: str, *edits: _Edit, encode: _Encode = encoding.jpeg) -> Kind:
    return Kind(name, group, edits, encode)


def _rotations(degrees: float, group: str) -> list[Kind]:
    return [
        _kind(
            f"rotate_{degrees:g}_{'inscribed' if inscribed else 'expanded'}",
            group,
            partial(geometry.rotate, degrees=degrees, inscribed=inscribed),
        )
        for inscribed in (False, True)
    ]


_resize = partial(partial, geometry.resize)
_enhance = partial(partial, surface.enhance)
_crop = partial(partial, geometry.centre_crop)
_turn = partial(partial, geometry.turn)
_random_crop = partial(partial, geometry.random_crop)

_ALL = [
    _kind("jpeg_95_75", "JPEG >= 30"),
    _kind("jpeg_75_50", "JPEG >= 30", encode=partial(encoding.jpeg, low=50, high=75)),
    _kind("jpeg_50_30", "JPEG >= 30", encode=partial(encoding.jpeg, low=30, high=50)),
    _kind("jpeg_progressive", "JPEG >= 30", encode=partial(encoding.jpeg, progressive=True)),
    _kind("jpeg_twice", "JPEG >= 30", encode=encoding.twice),
    _kind("jpeg_exif_turned", "JPEG >= 30", encode=encoding.exif_turned),
    _kind("jpeg_30_10", "JPEG < 30", encode=partial(encoding.jpeg, low=10, high=30)),
    _kind("jpeg_grey", "grey", encode=partial(encoding.jpeg, mode="L")),
    _kind("jpeg_cmyk", "format", encode=partial(encoding.jpeg, mode="CMYK")),
    _kind("webp", "format", encode=encoding.webp),
    _kind("webp_lossless", "format", encode=partial(encoding.webp, lossless=True)),
    _kind("png", "format", encode=encoding.plain("PNG", "png")),
    _kind("png_palette", "format", encode=partial(encoding.palette, image_format="PNG")),
    _kind("gif", "format", encode=partial(encoding.palette, image_format="GIF")),
    _kind("bmp", "format", encode=encoding.plain("BMP", "bmp")),
    _kind("tiff", "format", encode=encoding.plain("TIFF", "tiff")),
    _kind("half_size", "resize", _resize(low=0.45, high=0.55)),
    _kind("quarter_size", "resize", _resize(low=0.25, high=0.3)),
    _kind("smaller", "resize", _resize(low=0.3, high=0.95)),
    _kind("larger", "resize", _resize(low=1.05, high=1.8)),
    _kind("thumbnail_128_256", "thumbnail >= 128", partial(geometry.thumbnail, low=128, high=256)),
    _kind("thumbnail_64_127", "thumbnail < 128", partial(geometry.thumbnail, low=64, high=127)),
    _kind("aspect", "aspect", partial(geometry.aspect, most=0.3)),
    _kind("square_squeeze", "aspect", geometry.square_squeeze),
    _kind("grey", "grey", surface.grey),
    _kind("darker", "colour and light", _enhance(what="brightness", low=0.6, high=0.95)),
    _kind("brighter", "colour and light", _enhance(what="brightness", low=1.05, high=1.35)),
    _kind("less_contrast", "colour and light", _enhance(what="contrast", low=0.5, high=0.9)),
    _kind("more_contrast", "colour and light", _enhance(what="contrast", low=1.1, high=1.4)),
    _kind("saturation", "colour and light", _enhance(what="saturation", low=0.3, high=1.8)),
    _kind("gamma", "colour and light", partial(surface.gamma, low=0.7, high=1.4)),
    _kind("hue", "colour and light", surface.hue),
    _kind("tint", "colour and light", surface.tint),
    _kind("sepia", "colour and light", surface.sepia),
    _kind("autocontrast", "colour and light", surface.autocontrast),
    _kind("equalize", "harsh colour", surface.equalize),
    _kind("posterize", "harsh colour", surface.posterize),
    _kind("invert", "inverted", surface.invert),
    _kind("blur_slight", "blur, sharpen, noise", partial(surface.blur, low=0.5, high=2)),
    _kind("blur_strong", "blur, sharpen, noise", partial(surface.blur, low=2, high=5)),
    _kind("sharpen", "blur, sharpen, noise", surface.sharpen),
    _kind("noise_slight", "blur, sharpen, noise", partial(surface.noise, low=3, high=12)),
    _kind("noise_strong", "blur, sharpen, noise", partial(surface.noise, low=12, high=30)),
    _kind("text_small", "small text", partial(surface.text, low=0.04, high=0.07, lines=1)),
    _kind("text_small_3", "small text", partial(surface.text, low=0.03, high=0.05, lines=3)),
    _kind("text_big", "big text", partial(surface.text, low=0.1, high=0.16, lines=1)),
    _kind("watermark", "watermark", surface.watermark),
    _kind("logo_18", "logo on 18 %", surface.logo),
    _kind("caption", "caption beside it", surface.caption),
    _kind("centre_crop_5_20", "centre crop to 50 %", _crop(low=0.05, high=0.2)),
    _kind("centre_crop_20_35", "centre crop to 50 %", _crop(low=0.2, high=0.35)),
    _kind("centre_crop_35_50", "centre crop to 50 %", _crop(low=0.35, high=0.5)),
    _kind("imagenet_crop", "ImageNet crop", geometry.imagenet_crop),
    _kind("square_crop", "square crop", geometry.square_crop),
    *(
        _kind(f"random_crop_{cut}", f"random crop {cut} %", _random_crop(cut=cut / 100))
        for cut in (5, 10, 20, 30)
    ),
    *(
        _kind(f"cut_side_{cut}", f"one side cut {cut} %", partial(geometry.cut_side, cut=cut / 100))
        for cut in (5, 10, 20)
    ),
    *(
        _kind(name.lower(), "mirrored or turned", _turn(transposition=name))
        for name in ("FLIP_LEFT_RIGHT", "ROTATE_90", "ROTATE_180", "ROTATE_270")
    ),
    _kind("flip_top_bottom", "upside down mirrored", _turn(transposition="FLIP_TOP_BOTTOM")),
    *_rotations(2, "rotation 2 degrees"),
    *_rotations(5, "rotation 5 degrees"),
    *_rotations(10, "rotation 10 degrees"),
    _kind("border_thin", "border", partial(geometry.border, low=0.01, high=0.06)),
    _kind("border_wide", "border", partial(geometry.border, low=0.06, high=0.2)),
    _kind("letterbox_black", "letterbox", partial(geometry.letterbox, ground="black")),
    _kind("letterbox_white", "letterbox", partial(geometry.letterbox, ground="white")),
    _kind("letterbox_colour", "letterbox", partial(geometry.letterbox, ground="colour")),
    _kind("perspective", "perspective", partial(geometry.perspective, most=0.06)),
    _kind("screenshot", "screenshot", geometry.screenshot),
    _kind(
        "web_copy", "web copy: smaller, darker or lighter, JPEG",
        _resize(low=0.4, high=0.9), _enhance(what="brightness", low=0.85, high=1.15),
        encode=partial(encoding.jpeg, low=50, high=85),
    ),
    _kind(
        "marked_web_copy", "web copy with text",
        _resize(low=0.4, high=0.9), partial(surface.text, low=0.04, high=0.06, lines=1),
        encode=partial(encoding.jpeg, low=50, high=85),
    ),
    _kind(
        "cropped_web_copy", "web copy, cropped",
        _crop(low=0.05, high=0.25), _resize(low=0.4, high=0.9),
        encode=partial(encoding.jpeg, low=50, high=85),
    ),
    _kind(
        "mirrored_crop", "mirrored and cropped",
        _turn(transposition="FLIP_LEFT_RIGHT"), _crop(low=0.05, high=0.2),
    ),
    _kind(
        "hard", "cropped, mirrored, recoloured, JPEG < 50",
        _random_crop(cut=0.15), _turn(transposition="FLIP_LEFT_RIGHT"),
        surface.tint, partial(surface.gamma, low=0.8, high=1.2),
        encode=partial(encoding.jpeg, low=25, high=50),
    ),
]  # fmt: skip

KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
