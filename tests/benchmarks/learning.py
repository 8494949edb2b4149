"""Does pretraining learn? Garments in clutter, packed by `uncurated`, one core, k-NN accuracy.

python -m tests.benchmarks.learning [--seeds 0 1 2] [--split test] [KEY=VALUE ...]
"""

import argparse
import gzip
import json
import logging
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from tests.benchmarks.sources import fetch_package
from tests.building import build
from tests.clutter import clutter, png_of
from tests.probing import knn, pixel_features, trunk_features
from train_entry.config import CONFIG_FOLDER, load_config
from train_entry.journal import JOURNAL_FILE, read_journal
from train_entry.loop import train
from train_entry.parallel import joined_ranks

DATA = Path("bench-data")
NUM_GALLERY, NUM_QUERIES = 10_000, 5_000
# The last training images, which neither pretraining nor the gallery has.
VALIDATION_FROM = 55_000
_SEED_OF_CLUTTER = 1


def main():
    options = _options()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    dataset = _dataset(options.images)
    gallery, gallery_labels = _cluttered("train", range(NUM_GALLERY))
    first = VALIDATION_FROM if options.split == "validation" else 0
    name = "train" if options.split == "validation" else "t10k"
    queries, labels = _cluttered(name, range(first, first + NUM_QUERIES))
    sets = gallery_labels, queries, labels
    pixels = knn(
        pixel_features(gallery), gallery_labels, pixel_features(queries), labels, options.k
    )
    rows = [_one(options, dataset, seed, gallery, *sets) for seed in options.seeds]
    sys.stdout.write(_table(options, pixels, rows))


def _one(options, dataset, seed, gallery, gallery_labels, queries, labels):
    output = Path(options.output or tempfile.mkdtemp(prefix="learning-")) / f"seed-{seed}"
    shutil.rmtree(output, ignore_errors=True)
    path = str(CONFIG_FOLDER / options.config)
    told = [f"data={dataset}", f"output={output}", f"seed={seed}", *options.overrides]
    config = load_config(path, told)
    with joined_ranks("cpu") as ranks:
        random = trunk_features(config, ranks, gallery, queries, trained=False)
        before = knn(random[0], gallery_labels, random[1], labels, options.k)
        began_s = time.process_time()
        train(config, ranks)
        took_s = time.process_time() - began_s
        trained = trunk_features(config, ranks, gallery, queries)
        after = knn(trained[0], gallery_labels, trained[1], labels, options.k)
    lines = read_journal(output / JOURNAL_FILE)
    row = {
        "seed": seed,
        "seconds": took_s,
        "random": before,
        "trained": after,
        "loss": lines[-1]["loss"],
    }
    logging.info(json.dumps(row))
    return row


def _table(options, pixels, rows):
    lines = [
        f"{options.split} split, k {options.k}, {' '.join(options.overrides)}",
        f"pixels: {100 * pixels:.1f}",
        "",
        "| seed | process seconds | random | trained | margin | last loss |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        margin = 100 * (row["trained"] - row["random"])
        lines.append(
            f"| {row['seed']} | {row['seconds']:.0f} | {100 * row['random']:.1f} | "
            f"{100 * row['trained']:.1f} | {margin:+.1f} | {row['loss']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def _garments(name):
    """Pictures uint8 [N, 28, 28] and labels [N] of Fashion-MNIST, from Debian."""
    (folder,) = {
        path.parent
        for path in fetch_package("dataset-fashion-mnist", DATA / "debian").rglob("*ubyte.gz")
    }
    pictures = gzip.decompress((folder / f"{name}-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((folder / f"{name}-labels-idx1-ubyte.gz").read_bytes())[8:]
    return np.frombuffer(pictures, np.uint8).reshape(-1, 28, 28), np.frombuffer(labels, np.uint8)


def _cluttered(name, indices):
    pictures, labels = _garments(name)
    chosen = np.stack([clutter(pictures[index], _SEED_OF_CLUTTER, index) for index in indices])
    return chosen, torch.from_numpy(labels[list(indices)].astype(np.int64))


def _dataset(num_images):
    """A sealed dataset of the first garments in clutter, without their labels."""
    folder = DATA / f"clutter-{num_images}"
    if not (folder / "dataset" / "dataset.json").exists():
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "pictures").mkdir(parents=True)
        pictures, _ = _garments("train")
        for index in range(num_images):
            content = png_of(clutter(pictures[index], _SEED_OF_CLUTTER, index))
            (folder / "pictures" / f"{index:05d}.png").write_bytes(content)
        inputs = (f"--input={folder / 'pictures'}", "--shard-candidates=2000")
        build(folder / "dataset", *inputs, timeout_s=1000)
    return folder / "dataset"


def _options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--split", choices=["validation", "test"], default="validation")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--config", default="clutter_cpu.yaml")
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--output")
    parser.add_argument("overrides", nargs="*")
    return parser.parse_args()


if __name__ == "__main__":
    main()
