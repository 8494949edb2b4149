"""How fast an audit reads: python -m tests.benchmarks.auditing --gib 1.5 --rounds 5.

A dataset of photographs is packed by the code of the build. Then the real command audits it, in
turns with `sha256sum`, with the `sha256` of OpenSSL and with a plain read of the same shards by as
many processes. Markdown on standard output.
"""

import argparse
import io
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from ingest.fetch.visit import Visit
from ingest.inspect.decode import Inspection, inspect_image
from ingest.miniweb.pictures import source
from ingest.pack.commit import ShardContent, pack_shard
from ingest.pack.ledger import Item
from ingest.pack.seal import begin_build, seal_dataset
from ingest.plan_part import seal_plan, to_row, write_plan_part
from ingest.sampling import draw, sample_id, shard_of
from ingest.spool import Spool
from schemas.candidate import Candidate, Carrier
from schemas.manifest import Commit
from schemas.options import BuildOptions, PackOptions, PlanOptions
from schemas.outcome import Outcome
from tests.benchmarks.measure import Command, Measurement, measure

SEED = 7
NUM_PICTURES = 40
SIDES_PX = (360, 560)
SHARD_CANDIDATES = 2000
PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "china.jpg", "flower.jpg")
MAX_PIXELS = 10_000_000
SOURCE = "urls.parquet"


def main() -> None:
    """Write the dataset, then measure all commands in turns."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--gib", type=float, default=1.5, help="size of the shards")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--format", choices=["tar", "arrow"], default="tar")
    parser.add_argument("--processes", type=int, default=2, help="of sha256sum")
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="auditing-", dir=options.folder))
    try:
        dataset = folder / "dataset"
        commits = write_dataset(dataset, options.gib * (1 << 30), options.format)
        shards = [str(dataset / commit.shard_file) for commit in commits]
        num_bytes = sum(commit.shard_bytes for commit in commits)
        num_kept = sum(commit.num_kept for commit in commits)
        say(f"{num_bytes:,} bytes in {len(shards)} {options.format} shards, {num_kept:,} images\n")
        costs = run_in_turns(commands(dataset, shards, options.processes, folder), options.rounds)
        for line in table(costs, num_bytes, num_kept):
            say(line)
    finally:
        shutil.rmtree(folder)


def commands(
    dataset: Path, shards: Sequence[str], processes: int, folder: Path
) -> dict[str, Command]:
    """What is compared, by name."""
    log, listed = folder / "log", folder / "shards"
    listed.write_bytes(b"".join(shard.encode() + b"\0" for shard in shards))
    each = ["xargs", "-0", f"--arg-file={listed}", f"-P{processes}", "-n1"]
    audit = [sys.executable, "-m", "pipelines.command", "audit", str(dataset)]
    return {
        "audit": Command(audit, log),
        "sha256sum": Command([*each, "sha256sum"], log),
        "openssl dgst -sha256": Command([*each, "openssl", "dgst", "-sha256"], log),
        "cat": Command([*each, "cat"], Path("/dev/null")),
        "audit --quick": Command([*audit, "--quick"], log),
        "audit --quick --samples 1%": Command([*audit, "--quick", "--samples=1%"], log),
        "audit --samples all": Command([*audit, "--samples=all"], log),
    }


def run_in_turns(compared: dict[str, Command], rounds: int) -> dict[str, list[Measurement]]:
    """What each command cost in each round but the first, which fills the page cache."""
    costs: dict[str, list[Measurement]] = {name: [] for name in compared}
    for number in range(rounds + 1):
        for name, command in compared.items():
            cost = measure(command)
            if number:
                costs[name].append(cost)
    return costs


def table(costs: dict[str, list[Measurement]], num_bytes: int, num_images: int) -> Iterator[str]:
    """Bytes per second by wall and by CPU time, and peak memory."""
    yield "| command | MB/s (wall) | MB per CPU-s | wall, s | CPU, s | peak RSS, MB | images/s |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, found in costs.items():
        yield (
            f"| {name} | {spread([num_bytes / one.wall_s / 1e6 for one in found])} "
            f"| {spread([num_bytes / max(one.cpu_s, 1e-3) / 1e6 for one in found])} "
            f"| {spread([one.wall_s for one in found], 1)} "
            f"| {spread([one.cpu_s for one in found], 1)} "
            f"| {max(one.peak_rss_bytes for one in found) / 1e6:,.0f} "
            f"| {spread([num_images / one.wall_s for one in found])} |"
        )


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median and range."""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def say(line: str) -> None:
    """Print a line of the report at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def photographs() -> list[tuple[bytes, Inspection]]:
    """JPEGs as the web has them, 60 kB on average, and what a build says of each."""
    generator = random.Random(SEED)
    found = []
    for number in range(NUM_PICTURES):
        image = source(PHOTOGRAPHS[number % len(PHOTOGRAPHS)]).convert("RGB")
        image = image.resize((image.width * 2, image.height * 2))
        width, height = (generator.randrange(*SIDES_PX) for _ in range(2))
        left = generator.randrange(max(1, image.width - width))
        top = generator.randrange(max(1, image.height - height))
        buffer = io.BytesIO()
        image.crop((left, top, left + width, top + height)).save(buffer, "JPEG", quality=95)
        found.append((buffer.getvalue(), inspect_image(buffer.getvalue(), MAX_PIXELS)))
    return found


def write_dataset(dataset: Path, shard_bytes: float, pack_format: str) -> list[Commit]:
    """The commits of a sealed dataset whose shards have about so many bytes in all.

    The same photographs come again and again, each time under another id.
    """
    pictures = photographs()
    mean_bytes = sum(len(content) for content, _ in pictures) / len(pictures)
    count = max(1, round(shard_bytes / mean_bytes))
    plan = PlanOptions(input=(SOURCE,), shard_candidates=SHARD_CANDIDATES)
    candidates = [candidate(number) for number in range(count)]
    num_shards = -(-count // SHARD_CANDIDATES)
    shards: list[list[tuple[int, Candidate]]] = [[] for _ in range(num_shards)]
    for one in candidates:
        order = draw(one.id, plan.seed)[1]
        shards[shard_of(order, num_shards)].append((order, one))
    parts = [
        write_plan_part(str(dataset), shard, [to_row(order, one) for order, one in own])
        for shard, own in enumerate(shards)
    ]
    seal_plan(str(dataset), plan, [(SOURCE, "table", count, count)], parts)
    options = BuildOptions(output=str(dataset), pack=PackOptions(format=pack_format))
    build_sha256 = begin_build(options, None)
    commits = []
    for (shard, num_planned, plan_sha256), own in zip(parts, shards, strict=True):
        spool = Spool(0, str(dataset))
        items = [item(one, pictures[one.row % len(pictures)], spool) for _, one in sorted(own)]
        content = ShardContent(shard, num_planned, plan_sha256, build_sha256, items)
        commits.append(pack_shard(content, spool, str(dataset), options.pack))
        spool.close()
    seal_dataset(str(dataset), commits)
    return commits


def candidate(number: int) -> Candidate:
    """A URL with a caption, as tables of the web have them."""
    url = f"https://images{number % 97}.example.org/photos/{number:012d}.jpg"
    return Candidate(
        id=sample_id(SOURCE, number, url),
        source=SOURCE,
        row=number,
        url=url,
        carrier=Carrier.URL,
        stored_in=None,
        stored_at=None,
        columns=f'{{"caption":"a photograph of something, number {number}"}}',
    )


def item(one: Candidate, picture: tuple[bytes, Inspection], spool: Spool) -> Item:
    """A candidate that was fetched without any trouble."""
    content, inspection = picture
    visit = Visit(
        body=spool.append(content),
        final_url=one.url,
        fetched_at_us=1_700_000_000_000_000 + one.row,
        fetch_ms=100,
        requests=[{"host": one.url.split("/")[2], "at": 1_700_000_000_000_000 + one.row}],
        attempts=1,
    )
    return Item(one, Outcome.KEPT, visit=visit, inspection=inspection)


if __name__ == "__main__":
    main()
