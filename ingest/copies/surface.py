"""Edits that leave pixels in their place: colour, light, blur, noise, text and marks on top."""

import random
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from ingest.copies.geometry import Edited

_WORDS = (
    "photo",
    "copyright",
    "breaking news",
    "sale",
    "best of",
    "the day",
    "@studio",
    "follow us",
)
_ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}


def enhance(image: Image.Image, draw: random.Random, what: str, low: float, high: float) -> Edited:
    """Brightness, contrast or saturation at `low` to `high` of what they are."""
    factor = draw.uniform(low, high)
    return _ENHANCERS[what](image).enhance(factor), {"factor": round(factor, 3)}


def grey(image: Image.Image, draw: random.Random) -> Edited:
    """Without colour."""
    return image.convert("L").convert("RGB"), {}


def gamma(image: Image.Image, draw: random.Random, low: float, high: float) -> Edited:
    """Another gamma, `low` to `high`."""
    exponent = draw.uniform(low, high)
    table = [round(255 * (value / 255) ** exponent) for value in range(256)]
    return image.point(table * 3), {"gamma": round(exponent, 3)}


def hue(image: Image.Image, draw: random.Random) -> Edited:
    """All hues turned by up to 30 of 256 steps."""
    steps = draw.randint(-30, 30)
    hues, saturation, value = image.convert("HSV").split()
    turned = hues.point([(one + steps) % 256 for one in range(256)])
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB"), {"steps": steps}


def tint(image: Image.Image, draw: random.Random) -> Edited:
    """A colour cast: each channel at 80 to 115 % of its own."""
    gains = [draw.uniform(0.8, 1.15) for _ in range(3)]
    table = [min(255, round(value * gain)) for gain in gains for value in range(256)]
    return image.point(table), {"gains": " ".join(f"{gain:.2f}" for gain in gains)}


def sepia(image: Image.Image, draw: random.Random) -> Edited:
    """Brown, as an old photograph."""
    return ImageOps.colorize(image.convert("L"), (25, 12, 0), (255, 240, 200)), {}


def equalize(image: Image.Image, draw: random.Random) -> Edited:
    """The histogram of each channel made flat."""
    return ImageOps.equalize(image), {}


def autocontrast(image: Image.Image, draw: random.Random) -> Edited:
    """Stretched to the full range, without the outermost 1 %."""
    return ImageOps.autocontrast(image, cutoff=1), {}


def posterize(image: Image.Image, draw: random.Random) -> Edited:
    """Three or four bits a channel."""
    bits = draw.randint(3, 4)
    return ImageOps.posterize(image, bits), {"bits": bits}


def invert(image: Image.Image, draw: random.Random) -> Edited:
    """A negative."""
    return ImageOps.invert(image), {}


def blur(image: Image.Image, draw: random.Random, low: float, high: float) -> Edited:
    """Gaussian, with a radius of `low` to `high` pixels at a long side of 500."""
    radius = draw.uniform(low, high) * max(image.size) / 500
    return image.filter(ImageFilter.GaussianBlur(radius)), {"radius_px": round(radius, 2)}


def sharpen(image: Image.Image, draw: random.Random) -> Edited:
    """Unsharp mask of 100 to 250 %."""
    percent = draw.randint(100, 250)
    return image.filter(ImageFilter.UnsharpMask(2, percent)), {"percent": percent}


def noise(image: Image.Image, draw: random.Random, low: float, high: float) -> Edited:
    """Gaussian noise with a standard deviation of `low` to `high` of 255 levels."""
    deviation = draw.uniform(low, high)
    generator = np.random.default_rng(draw.randrange(2**32))
    pixels = np.asarray(image, np.float32)
    noisy = pixels + generator.normal(0, deviation, pixels.shape).astype(np.float32)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), {
        "deviation": round(deviation, 1)
    }


def text(image: Image.Image, draw: random.Random, low: float, high: float, lines: int) -> Edited:
    """Lines of text anywhere, each `low` to `high` of the short side high."""
    edited = image.copy()
    pen = ImageDraw.Draw(edited)
    height = max(6, round(draw.uniform(low, high) * min(image.size)))
    for _ in range(lines):
        words = " ".join(draw.choices(_WORDS, k=draw.randint(2, 4)))
        colour = draw.choice(("white", "black", "red", "yellow"))
        place = draw.uniform(0, 0.5) * image.width, draw.uniform(0, 0.9) * image.height
        pen.text(place, words, colour, _font(height), stroke_width=height // 20)
    return edited, {"height_px": height, "lines": lines}


def caption(image: Image.Image, draw: random.Random) -> Edited:
    """A white bar with a line of text above or below, as on a meme."""
    bar = round(image.height * draw.uniform(0.1, 0.18))
    above = draw.choice((True, False))
    page = Image.new("RGB", (image.width, image.height + bar), "white")
    page.paste(image, (0, bar if above else 0))
    line = " ".join(draw.choices(_WORDS, k=3))
    place = (image.width // 20, bar // 5 if above else image.height + bar // 5)
    ImageDraw.Draw(page).text(place, line, "black", _font(max(6, bar // 2)))
    return page, {"bar_px": bar, "above": int(above)}


def watermark(image: Image.Image, draw: random.Random) -> Edited:
    """A half transparent word, tiled over the picture."""
    layer = Image.new("L", image.size, 0)
    pen = ImageDraw.Draw(layer)
    height = max(6, round(min(image.size) * draw.uniform(0.06, 0.1)))
    opacity = draw.randint(60, 110)
    for top in range(0, image.height, height * 4):
        for left in range(-height * 2, image.width, height * 8):
            pen.text((left + top % (height * 5), top), "SAMPLE", opacity, _font(height))
    return Image.composite(Image.new("RGB", image.size, "white"), image, layer), {
        "opacity": opacity
    }


def logo(image: Image.Image, draw: random.Random) -> Edited:
    """A filled mark of 18 % of the short side in a corner."""
    side = max(4, round(0.18 * min(image.size)))
    edge = side // 4
    left = draw.choice((edge, image.width - side - edge))
    top = draw.choice((edge, image.height - side - edge))
    edited = image.copy()
    pen = ImageDraw.Draw(edited)
    colour = draw.choice(("white", "black", "red", "blue"))
    pen.ellipse((left, top, left + side, top + side), colour)
    pen.text((left + side // 4, top + side // 4), "TV", "grey", _font(max(6, side // 2)))
    return edited, {"colour": colour}


@cache
def _font(height_px: int) -> "ImageFont.FreeTypeFont | ImageFont.ImageFont":
    return ImageFont.load_default(height_px)
