"""Edits that move pixels: crops, turns, borders, other sizes."""

import math
import random

from PIL import Image

Params = dict[str, float | int | str]
Edited = tuple[Image.Image, Params]

_GROUNDS = {"white": (255, 255, 255), "black": (0, 0, 0), "grey": (128, 128, 128)}
_LANCZOS = Image.Resampling.LANCZOS


def resize(image: Image.Image, draw: random.Random, low: float, high: float) -> Edited:
    """The picture at `low` to `high` times its size."""
    scale = draw.uniform(low, high)
    return _resized(image, scale, scale), {"scale": round(scale, 3)}


def thumbnail(image: Image.Image, draw: random.Random, low: int, high: int) -> Edited:
    """The picture with a long side of `low` to `high` pixels."""
    long_px = draw.randint(low, high)
    scale = long_px / max(image.size)
    return _resized(image, scale, scale), {"long_px": long_px}


def aspect(image: Image.Image, draw: random.Random, most: float) -> Edited:
    """The picture stretched or squeezed one way, by up to `most` of its size."""
    factor = draw.uniform(1, 1 + most) ** draw.choice((-1, 1))
    return _resized(image, factor, 1.0), {"factor": round(factor, 3)}


def square_squeeze(image: Image.Image, draw: random.Random) -> Edited:
    """The whole picture squeezed to a square."""
    side_px = draw.randint(200, 400)
    return image.resize((side_px, side_px), _LANCZOS), {"side_px": side_px}


def centre_crop(image: Image.Image, draw: random.Random, low: float, high: float) -> Edited:
    """The centre, without `low` to `high` of the area."""
    cut = draw.uniform(low, high)
    side = math.sqrt(1 - cut)
    return _crop(image, side, side, 0.5, 0.5), {"cut": round(cut, 3)}


def random_crop(image: Image.Image, draw: random.Random, cut: float) -> Edited:
    """Any place of the picture, without `cut` of the area."""
    side, x, y = math.sqrt(1 - cut), draw.random(), draw.random()
    return _crop(image, side, side, x, y), {"cut": cut, "x": round(x, 3), "y": round(y, 3)}


def cut_side(image: Image.Image, draw: random.Random, cut: float) -> Edited:
    """The picture without a strip at one side, `cut` of it."""
    side = draw.choice(("left", "right", "top", "bottom"))
    wide, high = (1 - cut, 1.0) if side in ("left", "right") else (1.0, 1 - cut)
    place = 1.0 if side in ("left", "top") else 0.0
    return _crop(image, wide, high, place, place), {"side": side, "cut": cut}


def square_crop(image: Image.Image, draw: random.Random) -> Edited:
    """The largest square in the middle."""
    short = min(image.size)
    return _crop(image, short / image.width, short / image.height, 0.5, 0.5), {}


def imagenet_crop(image: Image.Image, draw: random.Random) -> Edited:
    """Short side to 256 px, then the middle 224 x 224: how ImageNet is evaluated."""
    scale = 256 / min(image.size)
    return _middle(_resized(image, scale, scale), 224), {}


def turn(image: Image.Image, draw: random.Random, transposition: str) -> Edited:
    """One of Pillow's transpositions, such as FLIP_LEFT_RIGHT."""
    return image.transpose(Image.Transpose[transposition]), {}


def rotate(image: Image.Image, draw: random.Random, degrees: float, inscribed: bool) -> Edited:
    """Turned by about `degrees`, either way: what fits inside, or all of it on some ground."""
    angle = degrees * draw.uniform(0.9, 1.1) * draw.choice((-1, 1))
    ground = draw.choice(("white", "black"))
    turned = image.rotate(
        angle, Image.Resampling.BICUBIC, expand=not inscribed, fillcolor=_GROUNDS[ground]
    )
    if not inscribed:
        return turned, {"angle": round(angle, 2), "ground": ground}
    wide, high = inscribed_size(image.width, image.height, math.radians(angle))
    return _crop(turned, wide / image.width, high / image.height, 0.5, 0.5), {
        "angle": round(angle, 2)
    }


def inscribed_size(width: float, height: float, radians: float) -> tuple[float, float]:
    """The largest rectangle of the picture's shape inside the picture when it is turned."""
    sine, cosine = abs(math.sin(radians)), abs(math.cos(radians))
    shrink = min(
        width / (width * cosine + height * sine), height / (width * sine + height * cosine)
    )
    return width * shrink, height * shrink


def border(image: Image.Image, draw: random.Random, low: float, high: float) -> Edited:
    """A frame of one colour, `low` to `high` of the long side wide."""
    share = draw.uniform(low, high)
    wide = max(1, round(share * max(image.size)))
    ground = draw.choice((*_GROUNDS, "colour"))
    framed = Image.new(
        "RGB", (image.width + 2 * wide, image.height + 2 * wide), _fill(draw, ground)
    )
    framed.paste(image, (wide, wide))
    return framed, {"share": round(share, 3), "ground": ground}


def letterbox(image: Image.Image, draw: random.Random, ground: str) -> Edited:
    """Bars above and below, or at both sides, that make it 16:9, 4:3, 1:1 or 9:16."""
    shape = image.width / image.height
    wanted = draw.choice(
        [one for one in (16 / 9, 4 / 3, 1.0, 9 / 16) if abs(one / shape - 1) > 0.1]
    )
    width = max(image.width, round(image.height * wanted))
    height = max(image.height, round(image.width / wanted))
    boxed = Image.new("RGB", (width, height), _fill(draw, ground))
    boxed.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return boxed, {"shape": round(wanted, 3)}


def perspective(image: Image.Image, draw: random.Random, most: float) -> Edited:
    """Seen from aside: each corner moves inwards by up to `most` of the sides."""
    width, height = image.size
    moved = [(draw.uniform(0, most) * width, draw.uniform(0, most) * height) for _ in range(4)]
    (ax, ay), (bx, by), (cx, cy), (dx, dy) = moved
    quad = (ax, ay, bx, height - by, width - cx, height - cy, width - dx, dy)
    bent = image.transform(image.size, Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)
    return bent, {"most": most}


def screenshot(image: Image.Image, draw: random.Random) -> Edited:
    """The picture as a page shows it: bars, margins, a column of grey lines beside it."""
    width, height = image.size
    page = Image.new("RGB", (round(width * 1.5), round(height * 1.4)), (250, 250, 250))
    page.paste((60, 64, 72), (0, 0, page.width, max(1, height // 12)))
    left, top = draw.randint(0, width // 10), height // 8
    page.paste(image, (left, top))
    for row in range(top, page.height, max(2, height // 25)):
        right = round(page.width * draw.uniform(0.85, 0.97))
        page.paste(
            (150, 150, 150), (left + width + width // 20, row, right, row + height // 60 + 1)
        )
    return page, {}


def _resized(image: Image.Image, x: float, y: float) -> Image.Image:
    size = max(1, round(image.width * x)), max(1, round(image.height * y))
    return image.resize(size, _LANCZOS)


def _crop(image: Image.Image, wide: float, high: float, x: float, y: float) -> Image.Image:
    """A part of `wide` x `high` of the sides, whose free play is split at `x`, `y`."""
    width, height = max(1, round(image.width * wide)), max(1, round(image.height * high))
    left, top = round((image.width - width) * x), round((image.height - height) * y)
    return image.crop((left, top, left + width, top + height))


def _middle(image: Image.Image, side_px: int) -> Image.Image:
    return _crop(image, side_px / image.width, side_px / image.height, 0.5, 0.5)


def _fill(draw: random.Random, ground: str) -> tuple[int, int, int]:
    if ground in _GROUNDS:
        return _GROUNDS[ground]
    return draw.randrange(256), draw.randrange(256), draw.randrange(256)
