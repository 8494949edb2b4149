"""Compares CPU milliseconds an image of `uncurated build` and img2dataset, on the same URLs."""

import json
import logging
import shutil
import sys
import tarfile
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks import peer
from tests.benchmarks.corpus import DATA, NUM_IMAGES, image_paths, make_corpus, statistics_table
from tests.benchmarks.environments import install_ours
from tests.benchmarks.evaluation_set import make_evaluation_set
from tests.benchmarks.measure import Command, Measurement, measure
from tests.benchmarks.nginx import serve, write_url_table
from tests.benchmarks.report import DIRECT, OURS, PEER, Run, describe_machine, results_table

logger = logging.getLogger(__name__)

CORPUS_SEED = 0
NUM_SMALL = 200
VARIANTS = 2
SHARD_CANDIDATES = 1_000
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif"})


@dataclass(frozen=True)
class Tool:
    """A tool to measure: how it is called for a URL table and an output folder."""

    name: str
    arguments: Callable[[Path, Path], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tables:
    """The small and the full URL table; the folder gets the tools' outputs and logs."""

    folder: Path
    num_urls: int
    keep: bool = False

    def path(self, num_urls: int) -> Path:
        return self.folder / f"urls-{num_urls}.parquet"


def our_command(url_table: Path, output: Path, index: Path) -> list[str]:
    """The command that builds a dataset from a URL table, cleaned against an evaluation index."""
    return [
        str(install_ours()),
        "build",
        f"--input={url_table}",
        f"--output={output}",
        "--allow-network=127.0.0.0/8",
        "--allow-network=::1/128",
        f"--shard-candidates={SHARD_CANDIDATES}",
        "--decoder-processes=1",
        f"--eval-index={index}",
    ]


def index_command(images: Path, index: Path) -> list[str]:
    """The command that makes an evaluation index of a folder of images."""
    return [str(install_ours()), "index", f"--eval-set=bench={images}", f"--output={index}"]


def count_images(output: Path) -> int:
    """The number of images in all tar shards below a folder."""
    num_images = 0
    for shard in output.rglob("*.tar"):
        with tarfile.open(shard) as members:
            num_images += sum(Path(name).suffix in IMAGE_SUFFIXES for name in members.getnames())
    return num_images


def measure_tool(tool: Tool, tables: Tables, num_urls: int, label: str) -> Measurement:
    """The costs of one run; RuntimeError if its shards lack an image."""
    output = tables.folder / label
    cost = measure(
        Command(
            tool.arguments(tables.path(num_urls), output),
            tables.folder / f"{label}.log",
            tool.environment,
        )
    )
    num_images = count_images(output)
    if num_images != num_urls:
        raise RuntimeError(f"{tool.name}: expected {num_urls} images in {label}, got {num_images}")
    if not tables.keep:
        shutil.rmtree(output)
    logger.info(
        "%s: %.2f CPU s, %.1f s, other load %.2f", label, cost.cpu_s, cost.wall_s, cost.other_load
    )
    return cost


def run_rounds(tools: Mapping[str, Tool], tables: Tables, num_rounds: int) -> list[dict[str, Run]]:
    """For each round the run of each tool, in turn; one small run of each before is not counted."""
    for key, tool in tools.items():
        measure_tool(tool, tables, NUM_SMALL, f"{key}-warm-up")
    rounds = []
    for number in range(num_rounds):
        runs = {}
        for key, tool in tools.items():
            small = measure_tool(tool, tables, NUM_SMALL, f"{key}-{number}-small")
            full = measure_tool(tool, tables, tables.num_urls, f"{key}-{number}-full")
            runs[key] = Run(tool.name, small, full, NUM_SMALL, tables.num_urls)
        rounds.append(runs)
    return rounds


def make_tools(only: str | None, resized: bool, folder: Path) -> dict[str, Tool]:
    """The tools to measure, installed; for ours the evaluation index is made in `folder`."""
    tools = {}
    if only != PEER:
        index = folder / "index"
        images = make_evaluation_set()
        measure(Command(index_command(images, index), folder / "index.log"))
        tools[OURS] = Tool(
            f"uncurated {version('uncurated')}",
            lambda url_table, output: our_command(url_table, output, index),
        )
    if only == DIRECT:
        tools[DIRECT] = Tool(
            "the same without Beam",
            lambda url_table, output: [
                str(install_ours().with_name("python")),
                "-m",
                "tests.benchmarks.direct_build",
                *our_command(url_table, output, index)[2:],
            ],
        )
    elif only != OURS:
        peer.install_peer()
        tools[PEER] = Tool(
            f"img2dataset {peer.peer_version()}{', 256 px' if resized else ''}",
            lambda url_table, output: peer.peer_command(
                url_table, output, SHARD_CANDIDATES, resized
            ),
            peer.ENVIRONMENT,
        )
    return tools


def parse_arguments(argv: Sequence[str] | None) -> Namespace:
    """The options of this benchmark."""
    parser = ArgumentParser(prog="python -m tests.benchmarks.throughput", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each tool runs")
    parser.add_argument("--urls", type=int, help="length of the table (default: 2 x the images)")
    parser.add_argument(
        "--only", choices=[OURS, PEER, DIRECT], help="one tool; direct: ours with and without Beam"
    )
    parser.add_argument(
        "--peer-default", action="store_true", help="img2dataset as it is: all images to 256 px"
    )
    parser.add_argument("--keep", action="store_true", help="keep the outputs in bench-data/")
    parser.add_argument("--json", type=Path, help="also write each measurement to this file")
    arguments = parser.parse_args(argv)
    if arguments.urls is not None and arguments.urls <= NUM_SMALL:
        parser.error(f"--urls must be more than {NUM_SMALL}")
    return arguments


def compare(arguments: Namespace, corpus: Path, folder: Path) -> list[dict[str, Run]]:
    """The runs of all rounds against a server that lives as long as they do."""
    num_urls = arguments.urls or VARIANTS * len(image_paths(corpus))
    tables = Tables(folder, num_urls, arguments.keep)
    tools = make_tools(arguments.only, arguments.peer_default, folder)
    with serve(corpus) as root_url:
        for length in (NUM_SMALL, num_urls):
            write_url_table(corpus, root_url, length, tables.path(length))
        return run_rounds(tools, tables, arguments.rounds)


def render(rounds: Sequence[dict[str, Run]], corpus: Path, argv: Sequence[str]) -> str:
    """The Markdown section that goes into this folder's README."""
    first = next(iter(rounds[0].values()))
    command = " ".join(["python -m tests.benchmarks.throughput", *argv])
    return "\n\n".join(
        [
            f"{describe_machine(datetime.now(UTC).date())}.\nCommand: `{command}`; "
            f"{first.num_urls:,} URLs, start-up from {first.num_small}, {len(rounds)} round(s).",
            results_table(rounds, {key: run.tool for key, run in rounds[0].items()}),
            statistics_table(corpus),
        ]
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Write a comparison to standard output."""
    argv = sys.argv[1:] if argv is None else argv
    arguments = parse_arguments(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    corpus = make_corpus(CORPUS_SEED, NUM_IMAGES)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=DATA))
    try:
        rounds = compare(arguments, corpus, folder)
    finally:
        if not arguments.keep:
            shutil.rmtree(folder)
    if arguments.json:
        runs = [{key: asdict(run) for key, run in one.items()} for one in rounds]
        arguments.json.write_text(json.dumps(runs, indent=1))
    sys.stdout.write(f"{render(rounds, corpus, argv)}\n")


if __name__ == "__main__":
    main()
