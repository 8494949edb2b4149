"""Small grey pictures placed in clutter, so that raw pixels tell little of what they show."""

import io

import numpy as np
from PIL import Image

SIDE_PX = 40


def clutter(picture, seed, index):
    """A grey uint8 [H, W] picture at a random place, size, angle and tint on a gradient.

    Returns uint8 [40, 40, 3], a function of the picture, the seed and the index alone.
    """
    generator = np.random.default_rng([seed, index])
    background = _gradient(generator)
    size = round(generator.uniform(0.65, 0.9) * SIDE_PX)
    angle = generator.uniform(-10, 10)
    grey = Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC)
    turned = np.asarray(grey.rotate(angle, Image.Resampling.BICUBIC, expand=True), np.float32) / 255
    turned = turned[:SIDE_PX, :SIDE_PX]
    height, width = turned.shape
    top = generator.integers(0, SIDE_PX - height + 1)
    left = generator.integers(0, SIDE_PX - width + 1)
    tint = generator.uniform(0.3, 1.0, 3)
    opacity = np.clip(turned * 3, 0, 1)[:, :, None]
    colour = tint * (0.25 + 0.75 * turned[:, :, None])
    place = background[top : top + height, left : left + width]
    place[:] = opacity * colour + (1 - opacity) * place
    return (background * 255).round().astype(np.uint8)


def png_of(pixels):
    """The picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _gradient(generator):
    first, second = generator.uniform(0, 0.6, (2, 3))
    angle = generator.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX] / (SIDE_PX - 1) - 0.5
    share = 0.5 + (columns * np.cos(angle) + rows * np.sin(angle)) / np.sqrt(2)
    return np.clip(first + (second - first) * share[:, :, None], 0, 1)
