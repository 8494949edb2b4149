"""What one look-up in the evaluation index costs: python -m tests.benchmarks.lookup."""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.evaluation_index import kernels
from ingest.evaluation_index.tables import Hits, Tables, build_tables

LIMIT = 64
NUM_QUERIES, ROUNDS = 4096, 7
BANDS = ((0, 16), (17, 24), (25, 31), (32, 40), (41, 48), (49, 56), (57, 64))
_CHUNK = 1 << 22


def main() -> None:
    """Build tables, map them, and print costs and recall as Markdown."""
    options = parse_arguments()
    rng = np.random.default_rng(0)
    codes = np.load(options.codes_file) if options.codes_file else random_codes(options.codes, rng)
    chosen = rng.integers(0, len(codes), NUM_QUERIES)
    queries, certainty = noisy_queries(codes[chosen], rng)
    distances = np.bitwise_count(queries ^ codes[chosen]).sum(axis=1)
    # Compilation, or reading numba's cache, is no part of the figures.
    build_tables(codes[:1000].copy(), 0)
    started = time.process_time()
    arrays = build_tables(codes)
    build_s = time.process_time() - started
    num_bytes = sum(values.nbytes for values in (codes, *arrays.values()))
    say(f"| codes | {len(codes):,} |\n|---|---:|")
    say(f"| build, CPU s | {build_s:.1f} |\n| bytes a code | {num_bytes / len(codes):.1f} |")
    say(bucket_sizes(arrays))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        tables = mapped_tables(Path(folder), codes, arrays)
        del codes, arrays
        say(f"| codes compared a query | {compared(tables, queries, certainty):.0f} |\n")
        say("| query | batch | CPU us | " + " | ".join(map(band_name, BANDS)) + " |")
        say("|---|---:|---:|" + "---:|" * len(BANDS))
        for name, known in (("with certainty", certainty), ("code alone", None)):
            for batch in options.batch:
                costs = [cost_us(tables, queries, known, batch) for _ in range(ROUNDS)]
                hits = tables.near(queries, known, LIMIT)
                figures = " | ".join(recall(hits, chosen, distances, band) for band in BANDS)
                spread = f"{statistics.median(costs):.1f} ({min(costs):.1f}-{max(costs):.1f})"
                say(f"| {name} | {batch} | {spread} | {figures} |")


def say(line: str) -> None:
    """Print a line of the report at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def parse_arguments() -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--codes", type=int, default=1_000_000, help="random codes; 80000000: 11 GB"
    )
    parser.add_argument("--codes-file", help="real ones instead: .npy of uint64 [N, 4]")
    parser.add_argument("--batch", type=numbers, default=[64, 256], help="such as 64,256")
    parser.add_argument("--folder", help="where to write what is mapped, 103 bytes a code")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    """Integers with commas between them."""
    return [int(one) for one in text.split(",")]


def random_codes(count: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """uint64 [count, 4]."""
    codes = np.empty((count, 4), np.uint64)
    for first in range(0, count, _CHUNK):
        block = codes[first : first + _CHUNK]
        block[:] = rng.integers(0, 2**64, block.shape, dtype=np.uint64)
    return codes


def noisy_queries(
    codes: NDArray[np.uint64], rng: np.random.Generator
) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Codes with 8 to 64 bits changed, mostly the uncertain ones, and their certainty.

    In pairs of real pictures a bit in twenty differs however certain it was; so here.
    """
    certainty = rng.integers(0, 256, (len(codes), 256)).astype(np.uint8)
    strength = rng.uniform(0.05, 1.1, (len(codes), 1))
    chance = np.minimum(0.5, strength * (np.exp(certainty / -70.0) + 0.04))
    bits = np.unpackbits(codes.view(np.uint8), axis=1) ^ (rng.random(chance.shape) < chance)
    return np.packbits(bits, axis=1).view(np.uint64), certainty


def bucket_sizes(arrays: dict[str, NDArray[Any]]) -> str:
    """Percentiles of the codes in the line of a code: 60 buckets, of the first table."""
    if not arrays:
        return "| tables | none: all codes are compared |"
    starts = arrays["lines"][0].view(np.uint32)[:, 0].astype(np.int64)
    wide = arrays["lines"][0][:, 63] < arrays["lines"][0][:, 4]
    starts[wide] = arrays["wide"][starts[wide], 0]
    sizes = np.diff(np.append(starts, arrays["ids"].shape[1]))
    seen = np.repeat(sizes, sizes)
    shares = " / ".join(f"{np.percentile(seen, share):.0f}" for share in (50, 90, 99, 100))
    return f"| codes in the line of a code, p50 / p90 / p99 / most | {shares} |"


def mapped_tables(
    folder: Path, codes: NDArray[np.uint64], arrays: dict[str, NDArray[Any]]
) -> Tables:
    """The tables as a worker has them: files in the page cache, without huge pages."""
    for name, values in {"codes": codes, **arrays}.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    mapped = {path.stem: np.load(path, mmap_mode="r") for path in folder.iterdir()}
    for values in mapped.values():
        values.reshape(-1).view(np.uint8)[::4096].max(initial=0)
    return Tables(mapped.pop("codes"), mapped)


def batches(count: int, size: int) -> Iterator[slice]:
    """Slices of `size` that cover `count` items."""
    return (slice(first, first + size) for first in range(0, count, size))


def cost_us(
    tables: Tables, queries: NDArray[np.uint64], certainty: NDArray[np.uint8] | None, batch: int
) -> float:
    """CPU microseconds a query, all of `near` included."""
    started = time.process_time()
    for part in batches(len(queries), batch):
        tables.near(queries[part], None if certainty is None else certainty[part], LIMIT)
    return (time.process_time() - started) / len(queries) * 1e6


def recall(
    hits: Hits, chosen: NDArray[np.int64], distances: NDArray[np.int64], band: tuple[int, int]
) -> str:
    """Percent of the queries in this band of distances whose own code was found."""
    found = np.zeros(len(chosen), bool)
    found[hits.query[hits.place == chosen[hits.query]]] = True
    asked = (distances >= band[0]) & (distances <= band[1])
    return f"{found[asked].mean() * 100:.1f}" if asked.any() else "-"


def band_name(band: tuple[int, int]) -> str:
    """The heading of its column."""
    return f"% of d {band[0]}-{band[1]}"


def compared(tables: Tables, queries: NDArray[np.uint64], certainty: NDArray[np.uint8]) -> float:
    """Codes that the kernel compared, the mean of all queries."""
    search, total = kernels.search, 0

    def counting(*arguments: Any) -> int:
        nonlocal total
        total += search(*arguments)
        return total

    kernels.search = counting
    try:
        tables.near(queries, certainty, LIMIT)
    finally:
        kernels.search = search
    return total / len(queries)


if __name__ == "__main__":
    main()
