"""What an image costs before the trunk sees it: decoding and cropping on the host, then colours.

python -m tests.benchmarks.cropping [--rounds 5] [--images N]
"""

import io
import os
import platform
import shlex
import statistics
import sys
import time
from argparse import ArgumentParser
from collections import deque
from datetime import UTC, datetime

import numpy as np
import torch
from PIL import Image

from tests.benchmarks.corpus import NUM_IMAGES, image_paths, make_corpus
from tests.benchmarks.report import cpu_model
from train_entry.augment import augment
from train_entry.config import CropGroup, CropsConfig
from train_entry.crops import MultiCrop
from train_entry.reader import Sample

BATCH, NUM_TINY = 32, 2_000
TINY = CropsConfig(
    groups=(
        CropGroup(count=2, px=28, area_min=0.3, area_max=1.0),
        CropGroup(count=2, px=16, area_min=0.05, area_max=0.3),
    )
)


def main(argv=None):
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=NUM_IMAGES, help="of the corpus, first ones")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    paths = image_paths(make_corpus(0, NUM_IMAGES))[: arguments.images]
    samples = [_sample(number, path.read_bytes()) for number, path in enumerate(paths)]
    formats = [path.suffix[1:] for path in paths]
    tiny = [_sample(number, _tiny_png(number)) for number in range(NUM_TINY)]
    rates = {}
    for number in range(arguments.rounds + 1):
        found = _round(samples, formats, tiny, epoch=number)
        # The first one warms up.
        for name, rate in found.items() if number else ():
            rates.setdefault(name, []).append(rate)
        sys.stderr.write(f"round {number} of {arguments.rounds}\n")
    sys.stdout.write(_report(rates, formats, arguments.rounds))


def _sample(number, content):
    return Sample(f"{number:032x}", number, 0, content)


def _tiny_png(number):
    pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def _round(samples, formats, tiny, epoch):
    """Images/s of CPU time, by name."""
    multi = MultiCrop(CropsConfig(), 0)
    spent, sets = [], deque(maxlen=BATCH)
    for sample in samples:
        began = time.process_time()
        made = multi(sample._replace(epoch=epoch))
        spent.append(time.process_time() - began)
        sets.append(made)
    rates = {"all of the corpus": len(spent) / sum(spent)}
    for name in sorted(set(formats)):
        some = [one for one, of in zip(spent, formats, strict=True) if of == name]
        rates[name] = len(some) / sum(some)
    small = MultiCrop(TINY, 0)
    small_sets, seconds = _timed(lambda: [small(one._replace(epoch=epoch)) for one in tiny])
    rates["PNG of 40 x 40, 2 x 28 + 2 x 16 px"] = len(tiny) / seconds
    batch, seconds = _timed(lambda: multi.collate(sets))
    rates[f"collate, {BATCH} images"] = len(sets) / seconds
    rates[f"augment, {BATCH} images"] = len(sets) / _augmented(batch, CropsConfig())
    small_batch = small.collate(small_sets[:256])
    rates["augment, 256 images of 2 x 28 + 2 x 16 px"] = 256 / _augmented(small_batch, TINY)
    return rates


def _augmented(batch, config):
    """Seconds that the colours of a batch take."""
    pairs = list(zip(batch.images, batch.parameters, strict=True))
    return _timed(lambda: [augment(images, rows, config) for images, rows in pairs])[1]


def _timed(work):
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


def _report(rates, formats, rounds):
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    command = shlex.join(["python", "-m", "tests.benchmarks.cropping", *sys.argv[1:]])
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    lines = [
        f"{now}; {cpu_model()}, {os.cpu_count()} cores, load {load}; {platform.platform()}; "
        f"torch {torch.__version__}, 1 thread",
        "",
        f"`{command}`: {len(formats):,} images of the corpus; images/s a core by process CPU time, "
        f"{rounds} rounds after one to warm up; crops are 2 x 160 + 4 x 96 px unless said",
        "",
        "| what | images | images/s, median | range |",
        "|---|---:|---:|---:|",
    ]
    for name, some in rates.items():
        count = f"{formats.count(name):,}" if name in formats else ""
        middle, low, high = statistics.median(some), min(some), max(some)
        lines.append(f"| {name} | {count} | {middle:,.0f} | {low:,.0f}-{high:,.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
