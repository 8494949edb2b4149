"""A folder of images that plays the evaluation set: real look-ups, but no matches."""

import logging
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.benchmarks.corpus import DATA, image_paths, make_corpus

logger = logging.getLogger(__name__)

HASH_SIDE = 16
# Twice any sensible search radius for 256 bits, since `uncurated` has a hash of its own.
MIN_DISTANCE_BITS = 64


def make_evaluation_set(corpus: Path, seed: int, num_images: int, *, data: Path = DATA) -> Path:
    """The folder with `num_images` images that no image of `corpus` resembles; made once.

    seed: not the one of `corpus`. Raises RuntimeError if too few images are left.
    """
    folder = data / f"evaluation-{seed}-{num_images}-for-{corpus.name}"
    if folder.is_dir():
        return folder
    candidates = image_paths(make_corpus(seed, num_images * 5 // 4, data=data))
    logger.info("choosing %d evaluation images that are not in the corpus", num_images)
    distances = _distances_to_nearest(_hash_images(candidates), _hash_images(image_paths(corpus)))
    chosen = [
        path
        for path, distance in zip(candidates, distances, strict=True)
        if distance >= MIN_DISTANCE_BITS
    ]
    if len(chosen) < num_images:
        raise RuntimeError(f"expected {num_images} unlike images, got {len(chosen)}")
    partial_folder = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    partial_folder.mkdir()
    for path in chosen[:num_images]:
        shutil.copyfile(path, partial_folder / path.name)
    return partial_folder.rename(folder)


def _hash_images(paths: list[Path]) -> NDArray[np.bool_]:
    with ProcessPoolExecutor(2) as pool:
        return np.stack(list(pool.map(_hash_image, paths, chunksize=50)))


def _hash_image(path: Path) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        bits = imagehash.phash(image.convert("RGB"), hash_size=HASH_SIDE).hash
    return np.asarray(bits, dtype=np.bool_).ravel()


def _distances_to_nearest(
    queries_QN: NDArray[np.bool_], others_MN: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """For each of Q rows the Hamming distance to the nearest of M rows, in bits."""
    return np.array([(others_MN ^ query).sum(axis=1).min() for query in queries_QN], dtype=np.int64)
