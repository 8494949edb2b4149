"""How a crawl stands the web: latency, dead hosts, politeness at the server, memory over time.

python -m tests.benchmarks.crawl latency      one worker against 100 ms of latency
python -m tests.benchmarks.crawl dead         the same with 5 % of the hosts dead or dripping
python -m tests.benchmarks.crawl rate         requests per second that hosts see, 1 and 2 workers
python -m tests.benchmarks.crawl soak         memory over 200,000 requests at 512 connections
"""

import json
import logging
import random
import shutil
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from PIL import Image

from tests.benchmarks.corpus import DATA, NUM_IMAGES, image_paths, make_corpus
from tests.benchmarks.environments import install_ours
from tests.benchmarks.measure import Command, Measurement, measure
from tests.benchmarks.throughput import CORPUS_SEED

logger = logging.getLogger(__name__)

NUM_HOSTS, LATENCY_S = 400, 0.1
BAD_SHARE = 0.05
SOAK_SIDE_PX = 64


@dataclass
class Web:
    """A running server: its ports, and once it has ended what its hosts saw."""

    port: int
    dead: int
    seen: dict[str, Any] = field(default_factory=dict)

    def url(self, host: str, image: str) -> str:
        port = self.dead if host.startswith("dead") else self.port
        return f"http://{host}.localhost:{port}/{image}"


@contextmanager
def served(folder: Path, latency_s: float) -> Iterator[Web]:
    """A web of its own process."""
    command = [sys.executable, "-m", "tests.benchmarks.crawl.server", str(folder)]
    server = subprocess.Popen(
        [*command, f"--latency-s={latency_s}"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    web = Web(**json.loads(server.stdout.readline()))
    try:
        yield web
    finally:
        server.terminate()
        web.seen = json.loads(server.stdout.readline())
        server.wait(10)


def host_names(bad_share: float) -> list[str]:
    """Names of hosts; of the bad ones a third each lets nobody in, never answers, or drips."""
    num_bad = round(NUM_HOSTS * bad_share)
    bad = [f"{('dead', 'mute', 'drip')[number % 3]}{number}" for number in range(num_bad)]
    return bad + [f"good{number}" for number in range(NUM_HOSTS - num_bad)]


def write_urls(
    path: Path, web: Web, hosts: Sequence[str], images: Sequence[str], count: int
) -> None:
    """A table of URLs, each of a host and an image that were drawn by lot."""
    generator = random.Random(0)
    urls = [web.url(generator.choice(hosts), generator.choice(images)) for _ in range(count)]
    pq.write_table(pa.table({"url": urls}), path)


def build_command(folder: Path, *more: str) -> list[str]:
    """The command that crawls the table of a folder."""
    return [
        *(
            str(install_ours()),
            "build",
            f"--input={folder}/urls.parquet",
            f"--output={folder}/dataset",
        ),
        *("--allow-network=127.0.0.0/8", "--shard-candidates=5000", "--decoder-processes=1"),
        *more,
    ]


def crawl(
    web: Web, images: Sequence[str], bad_share: float, arguments: Namespace
) -> dict[str, Any]:
    """The figures of one crawl by one worker."""
    folder = Path(tempfile.mkdtemp(prefix="crawl-", dir=DATA))
    try:
        write_urls(folder / "urls.parquet", web, host_names(bad_share), images, arguments.urls)
        cost = measure(Command(build_command(folder), folder / "log"))
        return {**figures(cost, arguments.urls), **timeline(folder / "dataset")}
    finally:
        shutil.rmtree(folder)


def figures(cost: Measurement, num_urls: int) -> dict[str, Any]:
    """What a run cost."""
    return {
        "CPU ms/URL": 1000 * cost.cpu_s / num_urls,
        "cores kept busy": cost.cpu_s / cost.wall_s,
        "wall s": cost.wall_s,
        "peak RSS MB": cost.peak_rss_bytes / 1e6,
        "other load": cost.other_load,
    }


def timeline(dataset: Path) -> dict[str, Any]:
    """Images per second in the middle of a crawl, its longest tail of a shard, and its outcomes."""
    columns = ["shard", "outcome", "requests", "fetched_at", "fetch_ms"]
    rows = pads.dataset(dataset / "ledger").to_table(columns=columns)
    kept = rows.filter(pc.field("outcome") == "kept")
    ends_us = np.sort(_ends_us(kept).to_numpy())
    low, high = ends_us[len(ends_us) // 10], ends_us[len(ends_us) * 9 // 10]
    counts = rows["outcome"].value_counts().to_pylist()
    return {
        "images/s, middle 80 %": 0.8 * len(ends_us) / ((high - low) / 1e6),
        "longest tail of a shard, s": max(map(tail_s, _by_shard(rows))),
        "requests": sum(map(len, rows["requests"].to_pylist())),
        "outcomes": {one["values"]: one["counts"] for one in counts},
    }


def _by_shard(rows: pa.Table) -> list[pa.Table]:
    return [rows.filter(pc.field("shard") == one) for one in pc.unique(rows["shard"]).to_pylist()]


def tail_s(shard: pa.Table) -> float:
    """Seconds from the first request for the last candidate to the end of the last request."""
    asked = shard.filter(pc.field("fetched_at").is_valid())
    begun_us = max(
        requests[0]["at"].timestamp() * 1e6
        for requests in asked["requests"].to_pylist()
        if requests
    )
    return float((pc.max(_ends_us(asked)).as_py() - begun_us) / 1e6)


def _ends_us(rows: pa.Table) -> pa.ChunkedArray:
    began_us = pc.cast(rows["fetched_at"], pa.int64())
    return pc.add(began_us, pc.multiply(rows["fetch_ms"], 1000))


def run_latency(arguments: Namespace) -> list[dict[str, Any]]:
    """Crawls with all hosts good, with and without latency, in turn."""
    corpus = make_corpus(CORPUS_SEED, NUM_IMAGES)
    images = [path.name for path in image_paths(corpus)]
    found = []
    for _ in range(arguments.rounds):
        for latency_s in (0.0, LATENCY_S):
            with served(corpus, latency_s) as web:
                found.append({"latency s": latency_s, **crawl(web, images, 0.0, arguments)})
    return found


def run_dead(arguments: Namespace) -> list[dict[str, Any]]:
    """Crawls with and without bad hosts, in turn."""
    corpus = make_corpus(CORPUS_SEED, NUM_IMAGES)
    images = [path.name for path in image_paths(corpus)]
    found = []
    for _ in range(arguments.rounds):
        for share in (0.0, BAD_SHARE):
            with served(corpus, LATENCY_S) as web:
                found.append({"bad hosts": share, **crawl(web, images, share, arguments)})
    return found


def run_rate(arguments: Namespace) -> list[dict[str, Any]]:
    """What hosts see of crawls at a promised rate, by one and two worker processes."""
    corpus = make_corpus(CORPUS_SEED, NUM_IMAGES)
    images = [path.name for path in image_paths(corpus)]
    hosts, rate, found = [f"good{number}" for number in range(20)], 5.0, []
    for workers in (1, 2):
        folder = Path(tempfile.mkdtemp(prefix="rate-", dir=DATA))
        try:
            with served(corpus, 0.0) as web:
                write_urls(folder / "urls.parquet", web, hosts, images, arguments.urls)
                more = [f"--host-requests-per-s={rate}", "--host-wait-s=20"]
                more += [f"--direct_num_workers={workers}", "--shard-candidates=500"]
                more += ["--direct_running_mode=multi_processing"] if workers > 1 else []
                measure(Command(build_command(folder, *more), folder / "log"))
            found.append(
                {
                    "worker processes": workers,
                    "promised requests/s": rate,
                    "most in any second at the server": max(web.seen["busiest"].values()),
                    "requests": sum(web.seen["requests"].values()),
                    **{"outcomes": timeline(folder / "dataset")["outcomes"]},
                }
            )
        finally:
            shutil.rmtree(folder)
    return found


def run_soak(arguments: Namespace) -> list[dict[str, Any]]:
    """One long crawl of small images; its memory goes into an SVG beside this file."""
    from tests.benchmarks.crawl.soak import soak

    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=DATA))
    try:
        images = small_images(folder / "images")
        with served(folder / "images", LATENCY_S) as web:
            write_urls(folder / "urls.parquet", web, host_names(0.0), images, arguments.urls)
            return [soak(build_command(folder), folder / "log", arguments.urls)]
    finally:
        shutil.rmtree(folder)


def small_images(folder: Path) -> list[str]:
    """Names of thumbnails of the corpus, made in a new folder."""
    folder.mkdir()
    corpus = make_corpus(CORPUS_SEED, NUM_IMAGES)
    for path in image_paths(corpus)[:400]:
        with Image.open(path) as image:
            small = image.convert("RGB")
            small.thumbnail((SOAK_SIDE_PX, SOAK_SIDE_PX))
            small.save((folder / path.stem).with_suffix(".jpg"))
    return sorted(path.name for path in folder.iterdir())


SCENARIOS: dict[str, tuple[Callable[[Namespace], list[dict[str, Any]]], int]] = {
    "latency": (run_latency, 20_000),
    "dead": (run_dead, 40_000),
    "rate": (run_rate, 6_000),
    "soak": (run_soak, 200_000),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Write the figures of a scenario to standard output, a line each."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.crawl", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--urls", type=int, help="length of the table")
    parser.add_argument("--rounds", type=int, default=2, help="how often each crawl runs")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run, usual = SCENARIOS[arguments.scenario]
    arguments.urls = arguments.urls or usual
    for one in run(arguments):
        sys.stdout.write(json.dumps({k: _short(v) for k, v in one.items()}) + "\n")


def _short(value: Any) -> Any:
    return round(value, 2) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
