"""What extraction costs beside what must be paid: decoding alone, and the model alone.

python -m tests.benchmarks.extracting [--images 2048] [--model small] [--workers 2] [--rounds 3]
"""

import io
import os
import platform
import resource
import shlex
import statistics
import sys
import tempfile
import time
from argparse import ArgumentParser
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from schemas.figures import EncoderRecord
from tests.benchmarks.report import cpu_model
from train_entry.evaluation.batches import ImageBatches, load_batches
from train_entry.evaluation.encoder import Encoder, Network, Placement, weights_sha256
from train_entry.evaluation.extract import Extraction, extract
from train_entry.evaluation.our_encoder import TAPS, TappedTrunk
from train_entry.evaluation.transforms import Transform
from train_entry.family import FAMILY, RegNetConfig
from train_entry.parallel import Ranks

# About as fast as decoding, so that nothing hides behind it.
SMALL = RegNetConfig(w_0=16, w_a=8, w_m=2.2, depth=5, group_width=8, stem_width=16)
NUM_DISTINCT, WIDTH, HEIGHT = 64, 500, 375


@dataclass(frozen=True)
class Photographs:
    """Images like those of ImageNet in size and weight; some are there many times."""

    names: list
    contents: list
    digest: str
    fields: dict

    @classmethod
    def of(cls, count):
        distinct = [_photograph(number) for number in range(min(count, NUM_DISTINCT))]
        names = [f"{number:06d}.jpg" for number in range(count)]
        digest = sha256(f"{count}".encode() + b"".join(distinct)).hexdigest()
        return cls(names, distinct, digest, {})

    def content(self, place):
        return self.contents[place % len(self.contents)]


def _photograph(number):
    """Coarse colours and some grain, so that a JPEG of it weighs about 100 kB."""
    generator = np.random.default_rng(number)
    coarse = Image.fromarray(generator.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    pixels = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.int16)
    grained = pixels + generator.normal(0, 12, (HEIGHT, WIDTH, 1)).astype(np.int16)
    target = io.BytesIO()
    Image.fromarray(grained.clip(0, 255).astype(np.uint8)).save(target, "JPEG", quality=92)
    return target.getvalue()


def main(argv=None):
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--model", choices=("small", *FAMILY), default="small")
    told = parser.parse_args(argv)
    if told.device == "cpu":
        torch.set_num_threads(1)
    encoder = _encoder(told)
    images, costs = Photographs.of(told.images), {}
    _encode_alone(encoder, told, 1)
    for number in range(told.rounds):
        for name, work in (
            ("decoding alone", lambda: _decode_alone(images, told)),
            (
                "the model alone",
                lambda: _encode_alone(encoder, told, -(-told.images // told.batch)),
            ),
            ("extraction", lambda: _extract(encoder, images, told)),
        ):
            costs.setdefault(name, []).append(_cost(work))
        sys.stderr.write(f"round {number + 1} of {told.rounds}\n")
    sys.stdout.write(_report(told, images, costs))


def _encoder(told):
    device = torch.device(told.device)
    torch.manual_seed(0)
    config = SMALL if told.model == "small" else FAMILY[told.model]
    net = TappedTrunk(config).eval().to(device)
    record = EncoderRecord(
        name=told.model,
        sha256=weights_sha256(net.state_dict()),
        num_parameters=sum(one.numel() for one in net.parameters()),
    )
    placement = Placement(Ranks(0, 1, device), told.precision)
    return Encoder(Network(net, net, net.taps), record, placement)


def _decode_alone(images, told):
    batches = ImageBatches(images, Transform(), told.batch)
    numbers = range(-(-told.images // told.batch))
    for _ in load_batches(batches, numbers, told.workers, pin_memory=told.device == "cuda"):
        pass


def _encode_alone(encoder, told, num_batches):
    pixels = torch.randint(256, (told.batch, 224, 224, 3), dtype=torch.uint8)
    for _ in range(num_batches):
        for values in encoder.encode(pixels, TAPS).values():
            values.cpu()


def _extract(encoder, images, told):
    with tempfile.TemporaryDirectory() as folder:
        options = Extraction(Path(folder), told.batch, told.workers)
        extract(encoder, images, Transform(), TAPS, options)


def _cost(work):
    """CPU seconds of this process and its children, and seconds by the clock."""
    before, began = _cpu_s(), time.monotonic()
    work()
    return _cpu_s() - before, time.monotonic() - began


def _cpu_s():
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(one.ru_utime + one.ru_stime for one in map(resource.getrusage, whose))


def _report(told, images, costs):
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    command = shlex.join(["python", "-m", "tests.benchmarks.extracting", *sys.argv[1:]])
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    weight = statistics.mean(map(len, images.contents)) / 1e3
    device = torch.cuda.get_device_name() if told.device == "cuda" else cpu_model()
    lines = [
        f"{now}; {device}, {os.cpu_count()} cores, load {load}; {platform.platform()}; "
        f"torch {torch.__version__}",
        "",
        f"`{command}`: {told.images:,} JPEGs of {WIDTH} x {HEIGHT} px, {weight:.0f} kB each, model "
        f"{told.model}, all taps; medians and ranges of {told.rounds} rounds, "
        "workers' start included",
        "",
        "| what | CPU, ms an image | range | images/s by the clock |",
        "|---|---:|---:|---:|",
    ]
    for name, some in costs.items():
        cpu_ms = [1e3 * cpu_s / told.images for cpu_s, _ in some]
        rate = told.images / statistics.median(wall_s for _, wall_s in some)
        middle, low, high = statistics.median(cpu_ms), min(cpu_ms), max(cpu_ms)
        lines.append(f"| {name} | {middle:.2f} | {low:.2f}-{high:.2f} | {rate:,.0f} |")
    decoding, model, whole = costs.values()
    shares = [(d[0] + m[0]) / w[0] for d, m, w in zip(decoding, model, whole, strict=True)]
    speeds = [max(d[1], m[1]) / w[1] for d, m, w in zip(decoding, model, whole, strict=True)]
    lines += [
        "",
        f"Of the CPU time of extraction, {statistics.median(shares):.0%} "
        f"({min(shares):.0%}-{max(shares):.0%}) is what decoding and the model cost alone. By the "
        f"clock it has {statistics.median(speeds):.0%} ({min(speeds):.0%}-{max(speeds):.0%}) of "
        "the slower one's speed, which says something only where each has cores of its own.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
