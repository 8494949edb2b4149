"""Evaluation images of several kinds, in two halves: one to tune by, one to publish figures of.

The halves share no package of photographs and no file. The recipe is kept, not the pictures.
"""

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ingest.inspect.decode import configure_pillow
from tests.benchmarks.corpus import DATA, MIN_LUMA_STD, place_boxes
from tests.benchmarks.sources import MAX_PIXELS, fetch_package

Half = Literal["tuning", "published"]

_PHOTO_PACKAGES: dict[Half, tuple[str, ...]] = {
    "tuning": ("gnome-backgrounds", "mate-backgrounds"),
    "published": (
        "lomiri-wallpapers-16.04",
        "lomiri-wallpapers-20.04",
        "plasma-workspace-wallpapers",
        "ukui-wallpapers",
    ),
}
_FILE_KINDS = {
    "stamp": "tuxpaint-stamps-default",
    "clipart": "openclipart-png",
    "figure": "opencv-doc",
    "map": "kgeography-data",
    "sky": "stellarium-data",
}
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_PHOTO_LONG_PX, _MIN_FILE_BYTES, _MIN_SIDE_PX = 2800, 3000, 64


@dataclass(frozen=True)
class Original:
    """An image to protect: `kind` is what it shows, `name` is unique."""

    kind: str
    name: str
    content: bytes


def originals(half: Half, counts: dict[str, int], *, data: Path = DATA) -> list[Original]:
    """`counts[kind]` distinct images of each kind ("photo" or one of the files' kinds)."""
    configure_pillow()
    found: list[Original] = []
    for kind, count in counts.items():
        source = _photos(half, data) if kind == "photo" else _files(kind, half, data)
        found += [one for _, one in zip(range(count), source, strict=False)]
    return found


def _files(kind: str, half: Half, data: Path) -> Iterator[Original]:
    """Files of one package, those of this half, in the order of their digests."""
    folder = fetch_package(_FILE_KINDS[kind], data / "debian")
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES]
    wanted = 0 if half == "tuning" else 1
    by_digest = {
        sha256(content).hexdigest(): (path, content)
        for path in paths
        if path.is_file() and len(content := path.read_bytes()) >= _MIN_FILE_BYTES
    }
    for digest, (path, content) in sorted(by_digest.items()):
        if int(digest[-1], 16) % 2 == wanted and _has_usual_size(content):
            yield Original(kind, f"{kind}-{digest[:12]}-{path.name}", content)


def _has_usual_size(content: bytes) -> bool:
    with Image.open(io.BytesIO(content)) as image:
        return min(image.size) >= _MIN_SIDE_PX and image.width * image.height <= MAX_PIXELS


def _photos(half: Half, data: Path) -> Iterator[Original]:
    """Tiles of large pictures, one scale each, so that none overlaps another; well mixed."""
    tiles = [tile for path in _pictures(half, data) for tile in _tiles(path)]
    random.Random(0).shuffle(tiles)
    return iter(tiles)


def _pictures(half: Half, data: Path) -> list[Path]:
    """The largest version of each picture."""
    largest: dict[Path, Path] = {}
    for package in _PHOTO_PACKAGES[half]:
        folder = fetch_package(package, data / "debian")
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in _SUFFIXES and "screenshot" not in path.name:
                # Wallpapers of KDE come in many sizes, in one folder.
                work = path.parent if path.stem[0].isdigit() and "x" in path.stem else path
                best = largest.get(work)
                if best is None or path.stat().st_size > best.stat().st_size:
                    largest[work] = path
    return sorted(largest.values())


def _tiles(path: Path) -> Iterator[Original]:
    with Image.open(path) as opened:
        opened.draft("RGB", (_PHOTO_LONG_PX, _PHOTO_LONG_PX))
        picture = opened.convert("RGB")
    picture.thumbnail((_PHOTO_LONG_PX, _PHOTO_LONG_PX))
    draw = random.Random(path.name)
    for number, box in enumerate(place_boxes(picture.size, draw)):
        tile = picture.crop(box)
        if np.asarray(tile.convert("L")).std() >= MIN_LUMA_STD:
            buffer = io.BytesIO()
            tile.save(buffer, "JPEG", quality=draw.randint(75, 95))
            # Wallpapers of one name are in many folders.
            digest = sha256(str(path).encode()).hexdigest()[:8]
            yield Original("photo", f"photo-{digest}-{path.stem}-{number}", buffer.getvalue())
