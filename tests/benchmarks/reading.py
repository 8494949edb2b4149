"""How fast and how well mixed the trainer reads: python -m tests.benchmarks.reading.

Bytes of local shards beside webdataset, a consumer that crops beside distant stores, and the
quality of the shuffle. Markdown on standard output; 15 minutes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch

from tests.benchmarks.corpus import DATA, NUM_IMAGES, make_corpus
from tests.benchmarks.range_server import range_server
from tests.building import build
from train_entry.config import CropsConfig, LoaderConfig
from train_entry.crops import MultiCrop
from train_entry.order import BlockOrder, Order, SampleOrder, block_layout
from train_entry.reader import StreamDataset

ROUNDS = 7
BATCH = 64
READ_STEPS = 100
# A corpus of 30 steps is read once, so that no block is there from a former epoch; and it reads
# but so far ahead that the first steps fill it: what follows is a long run in small.
FILLING_STEPS, CONSUMED_STEPS = 6, 23
READ_AHEAD_MIB = 24
LATENCY_MS = 50
SMALL_BLOCKS = {"block_mib": 4, "window_blocks": 8}
_EMULATOR = """
import sys
from tests.stores import gcs_store
with gcs_store() as store:
    print(store.proxy.port, flush=True)
    sys.stdin.read()
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run all parts and write their tables."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args(argv).rounds
    torch.set_num_threads(1)
    folders = make_datasets()
    with tempfile.TemporaryDirectory() as cache:
        write(bytes_table(folders, Path(cache), rounds))
    with emulator() as bucket, range_server(folders["tar"], LATENCY_MS) as http:
        upload(folders["tar"], bucket)
        places = {"local": str(folders["tar"]), f"HTTP, {LATENCY_MS} ms": http, "GCS": bucket}
        write(consumer_table(places, rounds))
    write(shuffle_table())


def make_datasets() -> dict[str, Path]:
    """The corpus packed by `uncurated build`, once for each format."""
    corpus = make_corpus(0, NUM_IMAGES)
    folders = {kind: DATA / "reading" / kind for kind in ("tar", "arrow")}
    for kind, folder in folders.items():
        if not (folder / "dataset.json").exists():
            build(folder, f"--input={corpus}", "--shard-candidates=240", f"--format={kind}")
    return folders


def bytes_table(folders: dict[str, Path], cache: Path, rounds: int) -> list[str]:
    """Samples per second of one core that only reads, each reader in turn in every round."""
    readers: dict[str, Callable[[], int]] = {
        "ours, tar, samples": lambda: read_ours(folders["tar"], cache, "samples"),
        "ours, tar, blocks": lambda: read_ours(folders["tar"], cache, "blocks"),
        "ours, Arrow, samples": lambda: read_ours(folders["arrow"], cache, "samples"),
        "webdataset, tar, in order": lambda: read_webdataset(folders["tar"]),
    }
    walls: dict[str, list[float]] = {name: [] for name in readers}
    cpus: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(rounds + 1):
        for name, read in readers.items():
            wall, cpu = time.perf_counter(), time.process_time()
            num_samples = read()
            # The first round fills the page cache.
            if turn:
                walls[name].append(num_samples / (time.perf_counter() - wall))
                cpus[name].append(num_samples / (time.process_time() - cpu))
    theirs = walls["webdataset, tar, in order"]
    lines = [
        "| reader | samples/s, median (range) | per CPU second | times webdataset |",
        "|---|---:|---:|---:|",
    ]
    for name, speeds in walls.items():
        times = median(one / other for one, other in zip(speeds, theirs, strict=True))
        lines.append(f"| {name} | {spread(speeds)} | {median(cpus[name]):,.0f} | {times:.1f} |")
    return lines


def read_ours(folder: Path, cache: Path, order: str) -> int:
    """The number of samples in 13 epochs, opening included."""
    dataset = StreamDataset(
        str(folder), batch=256, order=order, loader=LoaderConfig(cache=str(cache))
    )
    return sum(len(batch.data) for batch in islice(dataset, READ_STEPS))


def read_webdataset(folder: Path) -> int:
    """The number of samples in one epoch, members undecoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import webdataset

        files = sorted(map(str, (folder / "shards").iterdir()))
        return sum(1 for _ in webdataset.WebDataset(files, shardshuffle=False))


def consumer_table(places: dict[str, str], rounds: int) -> list[str]:
    """Images per second of a process that crops what it reads, by where it reads from."""
    lines = [
        "| order | store | images/s, median (range) | of local speed | waiting "
        "| CPU ms/image | first batch, s |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for order in ("samples", "blocks"):
        found: dict[str, list[tuple[float, ...]]] = {name: [] for name in places}
        for _ in range(rounds):
            for name, uri in places.items():
                found[name].append(consume(uri, order))
        local = [one[0] for one in found["local"]]
        for name, rows in found.items():
            speeds, waits, cpus, firsts = (list(column) for column in zip(*rows, strict=True))
            share = median(one / other for one, other in zip(speeds, local, strict=True))
            lines.append(
                f"| {order} | {name} | {spread(speeds)} | {share:.1%} | {median(waits):.2%} "
                f"| {median(cpus):.2f} | {median(firsts):.2f} |"
            )
    return lines


def consume(uri: str, order: str) -> tuple[float, ...]:
    """Images per second, share of time spent waiting, CPU ms per image, seconds to the first."""
    crop = MultiCrop(CropsConfig(), 0)
    with tempfile.TemporaryDirectory() as cache:
        began = time.perf_counter()
        loader = LoaderConfig(cache=cache, cache_mib=512, read_ahead_mib=READ_AHEAD_MIB)
        dataset = StreamDataset(uri, batch=BATCH, order=order, loader=loader, **SMALL_BLOCKS)
        batches = iter(dataset)
        next(batches)
        first_s = time.perf_counter() - began
        for _ in range(FILLING_STEPS - 1):
            for sample in next(batches).data:
                crop(sample)
        began, cpu, waited_s = time.perf_counter(), time.process_time(), 0.0
        for _ in range(CONSUMED_STEPS):
            asked = time.perf_counter()
            batch = next(batches)
            waited_s += time.perf_counter() - asked
            if batch.problems:
                raise RuntimeError(f"expected no problems, got {batch.problems}")
            for sample in batch.data:
                crop(sample)
        wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu
        batches.close()  # type: ignore[attr-defined]  # it is a generator
    num_images = CONSUMED_STEPS * BATCH
    return num_images / wall_s, waited_s / wall_s, 1000 * cpu_s / num_images, first_s


def shuffle_table() -> list[str]:
    """How an epoch of 1,000 shards of 1,000 samples is mixed, against a perfect shuffle."""
    num_shards, shard_samples, shard_bytes = 1000, 1000, 64 << 20
    size = num_shards * shard_samples
    orders: dict[str, Order] = {"samples": SampleOrder("ab" * 32, 0, 0, size)}
    for block_mib, window in ((32, 64), (8, 256), (4, 512)):
        layout = block_layout(
            np.full(num_shards, shard_samples),
            np.full(num_shards, shard_bytes),
            block_mib << 20,
        )
        name = f"blocks of {block_mib} MiB, windows of {window}"
        orders[name] = BlockOrder("ab" * 32, 0, 0, layout, window)
    ideal = num_shards * (1 - (1 - 1 / num_shards) ** 64)
    lines = [
        "| order | mean displacement / N | correlation with storage | of neighbours "
        "| distinct shards in 64 samples |",
        "|---|---:|---:|---:|---:|",
        f"| a perfect shuffle | 0.3333 | 0 | 0 | {ideal:.1f} |",
    ]
    positions = np.arange(size)
    for name, order in orders.items():
        indices = order.indices(positions)
        displacement = np.abs(indices - positions).mean() / size
        with_storage = np.corrcoef(indices, positions)[0, 1]
        of_neighbours = np.corrcoef(indices[1:], indices[:-1])[0, 1]
        shards = np.sort((indices // shard_samples).reshape(-1, 64), axis=1)
        distinct = (1 + (np.diff(shards, axis=1) > 0).sum(axis=1)).mean()
        lines.append(
            f"| {name} | {displacement:.4f} | {with_storage:.4f} | {of_neighbours:.4f} "
            f"| {distinct:.1f} ({distinct / ideal:.1%}) |"
        )
    return lines


@contextmanager
def emulator() -> Iterator[str]:
    """A dataset's URI in a GCS emulator that runs in a process of its own."""
    server = subprocess.Popen(
        [sys.executable, "-c", _EMULATOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    os.environ["STORAGE_EMULATOR_HOST"] = f"http://127.0.0.1:{int(server.stdout.readline())}"
    try:
        yield "gs://bucket/dataset"
    finally:
        server.communicate(timeout=60)


def upload(folder: Path, uri: str) -> None:
    """Put what a reader needs of a dataset into a store."""
    from ingest import storage

    for pattern in ("dataset.json", "manifest.parquet", "ledger/*", "shards/*"):
        for file in folder.glob(pattern):
            storage.write_bytes(f"{uri}/{file.relative_to(folder)}", file.read_bytes())


def spread(values: Sequence[float]) -> str:
    """Median and range."""
    return f"{median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def write(lines: Sequence[str]) -> None:
    """A table on standard output."""
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
