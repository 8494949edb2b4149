"""Tiles of photographs under random light: small real pictures that install with the demo."""

from functools import cache

import numpy as np
from PIL import Image

from ingest.miniweb.pictures import source

SIDE_PX = 40
_SEED = 5
_PHOTOS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "hubble_deep_field.jpg"),
    *("retina.jpg", "china.jpg", "flower.jpg", "motorcycle_left.png", "ihc.png", "camera.png"),
    *("coins.png", "brick.png", "grass.png", "gravel.png", "moon.png", "page.png"),
)


@cache
def photo_tiles(count):
    """Tiles uint8 [N, 40, 40, 3] in random order, and the photograph of each, int64 [N].

    Each is mirrored at random, and each of its colours is darkened and inverted at random, so that
    pixels and colours tell little.
    """
    generator = np.random.default_rng(_SEED)
    photos = [np.asarray(source(name).convert("RGB")) for name in _PHOTOS]
    labels = generator.integers(0, len(photos), count)
    return np.stack([_tile(photos[label], generator) for label in labels]), labels


def _tile(photo, generator):
    side = int(generator.integers(60, 110))
    top = generator.integers(0, photo.shape[0] - side + 1)
    left = generator.integers(0, photo.shape[1] - side + 1)
    tile = Image.fromarray(photo[top : top + side, left : left + side])
    pixels = np.asarray(tile.resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX), np.float32)
    pixels = pixels[:, :: generator.choice([-1, 1])]
    colours = pixels * generator.uniform(0.3, 1.0, 3)
    inverted = generator.random() < 0.5
    return np.round(255 - colours if inverted else colours).astype(np.uint8)
