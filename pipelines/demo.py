"""The whole story on a miniature web: serve, index, plan, build, audit, and tell the tale."""

import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from ingest import storage
from ingest.audit.report import make_report
from ingest.audit.verify import audit
from ingest.errors import SetupError
from ingest.miniweb.server import MiniWeb
from ingest.miniweb.world import World, build_world
from pipelines.build import build
from pipelines.index import index
from pipelines.page import write_report
from pipelines.plan import plan
from pipelines.progress import show_progress
from schemas.audit_options import ReportOptions
from schemas.command_options import DemoOptions, IndexOptions
from schemas.manifest import MANIFEST_FILE, Commit, DatasetRecord
from schemas.options import BuildOptions, FetchOptions, MatchOptions, PlanOptions
from schemas.outcome import Outcome

# A hanging host of the miniature web costs this long, not the half minute of the real one.
_FETCH = FetchOptions(
    timeout_s=5.0,
    connect_timeout_s=2.0,
    low_speed_s=3,
    max_image_bytes=8 << 20,
    user_agent="uncurated/0.1 (demo; loopback only)",
    allow_network=("127.0.0.0/8", "::1/128"),
)
_CANARIES = 84
_SHARD_CANDIDATES = 100


def run_demo(options: DemoOptions, beam_arguments: Sequence[str]) -> int:
    """The exit code: 0 if the finished dataset passes its audit."""
    began_s = time.monotonic()
    console = Console()
    folder = _new_folder(options.output)
    console.print("Making a miniature web of real photographs, dead links and traps ...")
    world = build_world(options.seed)
    with MiniWeb(world.site) as web:
        console.print(f"Serving it on 127.0.0.1:{web.port}")
        record = _build(world, web, folder, beam_arguments)
    dataset = str(folder / "dataset")
    report = audit(dataset)
    console.print(_table(dataset, record))
    console.print(f"Audit: {'every byte verified' if not report.findings else 'FAILED'}")
    for finding in report.findings:
        console.print(f"  {finding}", markup=False)
    console.print(f"Merkle root: {record.merkle_root}")
    with console.status("writing page and papers"):
        written = write_report(ReportOptions(dataset=dataset), make_report(dataset))
    console.print("Page and papers:", style="bold")
    for line in written:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    took = f"Took {time.monotonic() - began_s:.0f} s. The dataset lies in {dataset}"
    console.print(took, soft_wrap=True)
    console.print("What next:", style="bold")
    for command in _next_commands(dataset):
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
    return 1 if report.findings else 0


def _new_folder(output: str) -> Path:
    if not output:
        return Path(tempfile.mkdtemp(prefix="uncurated-demo-"))
    folder = Path(output)
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise SetupError(f"--output: expected a new folder, got the existing {output}") from error
    except OSError as error:
        raise SetupError(f"--output: expected to make a folder, got {error}") from error
    return folder.absolute()


def _build(
    world: World, web: MiniWeb, folder: Path, beam_arguments: Sequence[str]
) -> DatasetRecord:
    """Index, plan and build, just as the commands do."""
    world.write_urls(folder / "urls.parquet", web)
    world.write_evaluation_set(folder / "evaluation-set")
    index_uri, dataset = str(folder / "eval.index"), str(folder / "dataset")
    sources = (f"demo={folder / 'evaluation-set'}",)
    index(IndexOptions(eval_set=sources, output=index_uri, canaries=_CANARIES), beam_arguments)
    plan_options = PlanOptions(
        input=(str(folder / "urls.parquet"),), shard_candidates=_SHARD_CANDIDATES
    )
    planned = plan(plan_options, dataset, beam_arguments)
    options = BuildOptions(output=dataset, fetch=_FETCH, match=MatchOptions(eval_index=index_uri))
    with show_progress(planned.num_candidates, beam_arguments) as address:
        return build(options, planned, beam_arguments, address)


def _table(dataset: str, record: DatasetRecord) -> Table:
    """What went in and what became of it and why, with an example for each outcome."""
    table = Table(title=f"{record.num_candidates} URLs went in, {record.num_kept} images came out")
    table.add_column("outcome", no_wrap=True)
    table.add_column("URLs", justify="right")
    table.add_column("why")
    table.add_column("for example")
    examples = _examples(dataset)
    for word, count in Counter(record.outcomes).most_common():
        table.add_row(word, str(count), Outcome(word).explanation, examples[word])
    return table


def _examples(dataset: str) -> dict[str, str]:
    """One detail for each outcome, from the ledger."""
    with storage.open_input(storage.join(dataset, MANIFEST_FILE)) as file:
        rows = Commit.from_table(pq.read_table(file))
    ledger = pa.concat_tables(
        pq.read_table(storage.join(dataset, row.ledger_file), columns=["outcome", "detail", "url"])
        for row in rows
    )
    return {row["outcome"]: (row["detail"] or row["url"])[:60] for row in ledger.to_pylist()}


def _next_commands(dataset: str) -> list[str]:
    """Commands that run as they stand, in this virtual environment or outside of it."""
    beside = Path(sys.executable).with_name("uncurated")
    program = "uncurated" if shutil.which("uncurated") else str(beside)
    count = f"pq.read_table('{dataset}/ledger').group_by('outcome').aggregate([('id', 'count')])"
    return [
        f"{program} audit {dataset} --samples all --lineage",
        f"{program} query {dataset} 'SELECT outcome, count(*) FROM ledger GROUP BY 1 ORDER BY 2'",
        f"tar tf {dataset}/shards/00000-*.tar | head",
        f'{sys.executable} -c "import pyarrow.parquet as pq; print({count}.to_pylist())"',
        f"{program} build --help",
    ]
