"""A web-like set of images: tiles of free pictures, in the sizes and formats that the web has.

The recipe is kept, not the pictures. The same seed and the same packages give the same images.
"""

import json
import logging
import math
import random
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.sources import fetch_sources

logger = logging.getLogger(__name__)

DATA = Path(__file__).resolve().parents[2] / "bench-data"
NUM_IMAGES = 1_929
FORMAT_SHARES = {"jpg": 0.82, "png": 0.10, "webp": 0.06, "gif": 0.02}
PROGRESSIVE_SHARE = 0.30
PALETTE_PNG_SHARE = 0.4
SUBSAMPLING_SHARES = {"4:2:0": 0.70, "4:2:2": 0.10, "4:4:4": 0.20}
ASPECT_RATIOS = (1.0, 1.25, 4 / 3, 1.5, 1.5, 16 / 9, 3 / 4, 2 / 3)
# Small boxes fit more often: these give a median long side of 700 px.
MEDIAN_DRAWN_PX = 870
MAX_DRAWS_PER_SHELF = 8
SIDE_SIGMA = 0.45
SIDE_LIMITS_PX = (96, 2000)
# A photo on the web was mostly scaled down, which gives it more detail per pixel.
SCALES = (1.0, 0.8, 0.6, 0.45, 0.3)
# Wallpapers have flatter regions than the web has; those tiles are left out.
MIN_LUMA_STD = 6.0


@dataclass(frozen=True)
class Tile:
    """One image to make: where it is cut from and how it is encoded."""

    number: int
    source: Path
    scale: float
    box: tuple[int, int, int, int]
    extension: str
    seed: str


@dataclass(frozen=True)
class Made:
    """One image that was written."""

    number: int
    name: str
    num_bytes: int
    num_pixels: int
    progressive: bool


def make_corpus(seed: int, num_images: int, *, data: Path = DATA) -> Path:
    """The folder with the images `00000.jpg`, ... and `corpus.json`; made once for each seed.

    Raises RuntimeError if the packages cannot be had or give too few tiles.
    """
    folder = data / f"corpus-{seed}-{num_images}"
    if folder.is_dir():
        return folder
    partial_folder = folder.with_suffix(".partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    partial_folder.mkdir(parents=True)
    tiles = plan_tiles(fetch_sources(data / "debian"), seed)
    logger.info("encoding %d tiles for %d images", len(tiles), num_images)
    made = sorted(_make_tiles(tiles, partial_folder), key=lambda one: one.number)
    if len(made) < num_images:
        raise RuntimeError(f"expected {num_images} tiles, got {len(made)}")
    for one in made[num_images:]:
        (partial_folder / one.name).unlink()
    statistics = summarize(made[:num_images])
    (partial_folder / "corpus.json").write_text(json.dumps(statistics, indent=1))
    return partial_folder.rename(folder)


def image_paths(corpus: Path) -> list[Path]:
    """The images of a corpus in the order of their numbers."""
    return sorted(path for path in corpus.iterdir() if path.suffix[1:] in FORMAT_SHARES)


def plan_tiles(sources: Sequence[Path], seed: int) -> list[Tile]:
    """All tiles that the sources give, in an order that mixes sources, sizes and formats."""
    places = []
    for source in sources:
        with Image.open(source) as image:
            size = image.size
        for scale in SCALES:
            generator = random.Random(f"{seed} {source.name} {size} {scale}")
            scaled = (int(size[0] * scale), int(size[1] * scale))
            places += [(source, scale, box) for box in place_boxes(scaled, generator)]
    generator = random.Random(seed)
    generator.shuffle(places)
    extensions = generator.choices(
        list(FORMAT_SHARES), weights=list(FORMAT_SHARES.values()), k=len(places)
    )
    return [
        Tile(number, source, scale, box, extension, f"{seed} {number}")
        for number, ((source, scale, box), extension) in enumerate(
            zip(places, extensions, strict=True)
        )
    ]


def place_boxes(
    size: tuple[int, int], generator: random.Random
) -> Iterator[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) of log-normal size that do not overlap, in shelves."""
    top, room = 0, True
    while room:
        left, shelf_height = 0, 0
        for _ in range(MAX_DRAWS_PER_SHELF):
            width, height = _draw_size(generator)
            if left + width <= size[0] and top + height <= size[1]:
                yield left, top, left + width, top + height
                left, shelf_height = left + width, max(shelf_height, height)
        top, room = top + shelf_height, shelf_height > 0


def _draw_size(generator: random.Random) -> tuple[int, int]:
    drawn_px = generator.lognormvariate(math.log(MEDIAN_DRAWN_PX), SIDE_SIGMA)
    long_side_px = min(max(drawn_px, SIDE_LIMITS_PX[0]), SIDE_LIMITS_PX[1])
    ratio = generator.choice(ASPECT_RATIOS)
    if ratio >= 1:
        return round(long_side_px), round(long_side_px / ratio)
    return round(long_side_px * ratio), round(long_side_px)


def _make_tiles(tiles: Iterable[Tile], folder: Path) -> Iterator[Made]:
    def origin(tile: Tile) -> tuple[str, float]:
        return str(tile.source), tile.scale

    groups = [list(group) for _, group in groupby(sorted(tiles, key=origin), origin)]
    with ProcessPoolExecutor(2) as pool:
        for made in pool.map(partial(_make_group, folder=folder), groups):
            yield from made


def _make_group(tiles: Sequence[Tile], folder: Path) -> list[Made]:
    """Write the tiles of one source at one scale, so that it is decoded once."""
    with Image.open(tiles[0].source) as opened:
        scale = tiles[0].scale
        size = (int(opened.width * scale), int(opened.height * scale))
        picture = opened if opened.mode in ("L", "RGB", "RGBA") else opened.convert("RGB")
        if scale < 1:
            picture = picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
        crops = ((tile, picture.crop(tile.box)) for tile in tiles)
        return [
            _encode(crop, tile, folder)
            for tile, crop in crops
            if np.asarray(crop.convert("L")).std() >= MIN_LUMA_STD
        ]


def _encode(crop: Image.Image, tile: Tile, folder: Path) -> Made:
    path = folder / f"{tile.number:05d}.{tile.extension}"
    generator = random.Random(tile.seed)
    # Only PNG keeps the alpha channel that a third of the sources have, as on the web.
    image = crop if tile.extension == "png" or crop.mode == "L" else crop.convert("RGB")
    quality = generator.randint(60, 95)
    progressive = tile.extension == "jpg" and generator.random() < PROGRESSIVE_SHARE
    subsampling = generator.choices(
        list(SUBSAMPLING_SHARES), weights=list(SUBSAMPLING_SHARES.values())
    )[0]
    if tile.extension == "jpg":
        image.save(path, quality=quality, progressive=progressive, subsampling=subsampling)
    elif tile.extension == "webp":
        image.save(path, quality=quality)
    elif tile.extension == "gif" or (
        image.mode == "RGB" and generator.random() < PALETTE_PNG_SHARE
    ):
        image.quantize(256).save(path)
    else:
        image.save(path)
    num_pixels = image.width * image.height
    return Made(tile.number, path.name, path.stat().st_size, num_pixels, progressive)


def summarize(made: Sequence[Made]) -> dict[str, dict[str, float]]:
    """For each format and for "all": count, share, mean kB, mean megapixels, progressive share."""
    groups = {name: [one for one in made if one.name.endswith(name)] for name in FORMAT_SHARES}
    groups["all"] = list(made)
    return {
        name: {
            "images": len(group),
            "share": round(len(group) / len(made), 3),
            "mean_kb": round(sum(one.num_bytes for one in group) / len(group) / 1000, 1),
            "mean_mpx": round(sum(one.num_pixels for one in group) / len(group) / 1e6, 3),
            "progressive": round(sum(one.progressive for one in group) / len(group), 3),
        }
        for name, group in groups.items()
        if group
    }


def statistics_table(corpus: Path) -> str:
    """The statistics of a corpus as a Markdown table."""
    statistics: dict[str, dict[str, float]] = json.loads((corpus / "corpus.json").read_text())
    lines = [
        "| format | images | share | mean kB | mean Mpx | progressive |",
        "|---|" + "---:|" * 5,
    ]
    lines += [
        f"| {name} | {row['images']:,} | {row['share']:.1%} | {row['mean_kb']:.1f} "
        f"| {row['mean_mpx']:.2f} | {row['progressive']:.0%} |"
        for name, row in statistics.items()
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Make a corpus and write its statistics to standard output."""
    parser = ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=int, default=NUM_IMAGES)
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    corpus = make_corpus(arguments.seed, arguments.images)
    sys.stdout.write(f"{statistics_table(corpus)}\n")


if __name__ == "__main__":
    main()
