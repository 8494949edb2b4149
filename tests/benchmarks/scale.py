"""What the ends of a very large build cost: python -m tests.benchmarks.scale --shards 100000.

A dataset of commits with realistic counts, whose shards and ledgers hold nothing, is sealed,
audited quickly, and resumed as a build that was killed before its seal: by the real commands.
"""

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from ingest.pack.conservation import parts_digest
from ingest.pack.seal import begin_build, seal_dataset
from ingest.pack.tar import write_tar
from schemas.candidate import Candidate
from schemas.ledger import LedgerRow
from schemas.manifest import (
    DATASET_FILE,
    MANIFEST_FILE,
    PLAN_FILE,
    Commit,
    InputRecord,
    PlanRecord,
    commit_path,
    content_path,
    decode,
    encode,
    plan_part_path,
)
from schemas.options import BuildOptions, PlanOptions
from schemas.outcome import Outcome
from tests.benchmarks.measure import Command, measure

SHARD_CANDIDATES = 1000
SEED = 7
# File systems bound the names of one file; ext4 at 65,000.
MAX_LINKS = 10_000
# A web of dead links and rude hosts: candidates of a shard by outcome, on average; others are kept.
SHARES = {
    Outcome.HTTP_404: 120,
    Outcome.DNS: 60,
    Outcome.HTTP_403: 40,
    Outcome.CONNECT: 20,
    Outcome.TIMEOUT: 20,
    Outcome.ROBOTS: 15,
    Outcome.HTTP_5XX: 10,
    Outcome.OPT_OUT: 5,
    Outcome.DEFERRED: 5,
    Outcome.HTTP_410: 3,
    Outcome.TLS: 2,
}


def main() -> None:
    """Write the dataset, then measure each step in a process of its own; Markdown."""
    options = parse_arguments()
    if options.step == "seal":
        seal_dataset(options.folder, read_commit_files(Path(options.folder)))
        return
    with tempfile.TemporaryDirectory(prefix="scale-", dir=options.folder) as folder:
        dataset = Path(folder) / "dataset"
        write_dataset(dataset, options.shards)
        log = Path(folder) / "log"
        seal = ["tests.benchmarks.scale", "--step=seal", f"--folder={dataset}"]
        audit = ["pipelines.command", "audit", str(dataset), "--quick"]
        build = ["pipelines.command", "build", f"--output={dataset}"]
        say(f"{options.shards:,} shards of {SHARD_CANDIDATES:,} candidates\n")
        say("| step | wall, s | CPU, s | peak RSS, MB |\n|---|---:|---:|---:|")
        measure_step("read commits and seal", seal, log)
        size = (dataset / MANIFEST_FILE).stat().st_size
        measure_step("audit --quick", audit, log)
        (dataset / DATASET_FILE).unlink()
        measure_step("build, all shards there but no seal", build, log)
        say(f"\nmanifest: {size:,} bytes, {size / options.shards:.0f} a shard")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    parser.add_argument("--step", choices=["seal"], help="used by itself: the step to do there")
    return parser.parse_args()


def say(line: str) -> None:
    """Print a line of the report at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def measure_step(name: str, arguments: Sequence[str], log: Path) -> None:
    """Run a module and print what it cost."""
    cost = measure(Command([sys.executable, "-m", *arguments], log))
    say(f"| {name} | {cost.wall_s:.1f} | {cost.cpu_s:.1f} | {cost.peak_rss_bytes / 1e6:,.0f} |")


def write_dataset(dataset: Path, num_shards: int) -> None:
    """Write plan, `build.json` and commits of a dataset whose shards hold nothing; no seal."""
    templates = write_templates(dataset)
    generator = random.Random(SEED)
    plan_digests = [generator.randbytes(32).hex() for _ in range(num_shards)]
    write_plan(dataset, plan_digests)
    build_sha256 = begin_build(BuildOptions(output=str(dataset)), None)
    sizes = {name: path.stat().st_size for name, path in templates.items()}
    for shard, plan_sha256 in enumerate(plan_digests):
        commit = make_commit(shard, sizes, generator).model_copy(
            update={"plan_sha256": plan_sha256, "build_sha256": build_sha256}
        )
        (dataset / commit_path(shard)).write_bytes(encode(commit))
        for name in templates:
            target = dataset / getattr(commit, f"{name}_file")
            if shard % MAX_LINKS:
                target.hardlink_to(templates[name])
            else:
                templates[name] = Path(shutil.copy(templates[name], target))
    shutil.rmtree(dataset / "templates")


def write_templates(dataset: Path) -> dict[str, Path]:
    """A plan part, a shard and a ledger part without any row; and the folders for all of them."""
    for folder in ("plan", "shards", "ledger", "commits", "templates"):
        (dataset / folder).mkdir(parents=True)
    templates = {name: dataset / "templates" / name for name in ("plan", "shard", "ledger")}
    pq.write_table(Candidate.arrow_schema().empty_table(), templates["plan"])
    pq.write_table(LedgerRow.arrow_schema().empty_table(), templates["ledger"])
    with templates["shard"].open("wb") as file:
        write_tar([], file)
    return templates


def write_plan(dataset: Path, part_digests: Sequence[str]) -> None:
    """Write `plan.json` for so many parts."""
    num_candidates = len(part_digests) * SHARD_CANDIDATES
    plan = PlanRecord(
        options=PlanOptions(input=("urls.parquet",)).recorded(),
        inputs=(InputRecord(uri="urls.parquet", num_rows=num_candidates),),
        num_rows=num_candidates,
        num_candidates=num_candidates,
        num_shards=len(part_digests),
        parts_sha256=parts_digest(part_digests),
    )
    (dataset / PLAN_FILE).write_bytes(encode(plan))


def make_commit(shard: int, sizes: dict[str, int], generator: random.Random) -> Commit:
    """A commit of candidates that nobody asked for.

    Digests are drawn: nothing reads the files, and alike ones would vanish in the manifest.
    """
    drawn = {word: round(share * generator.uniform(0.8, 1.2)) for word, share in SHARES.items()}
    drawn[Outcome.KEPT] = SHARD_CANDIDATES - sum(drawn.values())
    shard_sha256, ledger_sha256, root = (generator.randbytes(32).hex() for _ in range(3))
    return Commit(
        shard=shard,
        build_sha256="0" * 64,
        plan_file=plan_part_path(shard),
        plan_sha256="0" * 64,
        shard_file=content_path("shards", shard, shard_sha256, "tar"),
        shard_bytes=sizes["shard"],
        shard_sha256=shard_sha256,
        ledger_file=content_path("ledger", shard, ledger_sha256, "parquet"),
        ledger_bytes=sizes["ledger"],
        ledger_sha256=ledger_sha256,
        num_candidates=SHARD_CANDIDATES,
        num_kept=drawn[Outcome.KEPT],
        image_bytes=drawn[Outcome.KEPT] * generator.randrange(60_000, 70_000),
        outcomes={word.value: drawn[word] for word in Outcome if drawn.get(word)},
        merkle_root=root,
    )


def read_commit_files(dataset: Path) -> list[Commit]:
    return [decode(Commit, path.read_bytes()) for path in (dataset / "commits").iterdir()]


if __name__ == "__main__":
    main()
