"""Handwritten digits in clutter: small real pictures that install with scikit-learn."""

from functools import cache

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from tests.clutter import clutter, png_of

_SEED = 11


@cache
def cluttered_digits():
    """All 1,797 digits as uint8 [N, 40, 40, 3] in clutter, and their labels int64 [N]."""
    data = load_digits()
    grey = (data.images * (255 / 16)).astype(np.uint8)
    large = [
        np.asarray(Image.fromarray(one).resize((28, 28), Image.Resampling.BICUBIC)) for one in grey
    ]
    pictures = [clutter(one, _SEED, index) for index, one in enumerate(large)]
    return np.stack(pictures), data.target.astype(np.int64)


def digit_files(count):
    """The first digits as PNG files."""
    pictures, _ = cluttered_digits()
    return [png_of(one) for one in pictures[:count]]
