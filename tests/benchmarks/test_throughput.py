"""The harness with a stand-in for the tools: what it counts, refuses and computes."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.benchmarks.measure import Measurement
from tests.benchmarks.report import OURS, PEER, Run, results_table
from tests.benchmarks.throughput import NUM_SMALL, Tables, Tool, measure_tool, run_rounds

STAND_IN = """
import io, sys, tarfile, pathlib
import pyarrow.parquet as pq
table, output, num_lost = sys.argv[1:]
output = pathlib.Path(output) / "shards"
output.mkdir(parents=True)
with tarfile.open(output / "00000.tar", "w") as shard:
    for row in range(pq.read_metadata(table).num_rows - int(num_lost)):
        for suffix in ("jpg", "json"):
            shard.addfile(tarfile.TarInfo(f"{row:05d}.{suffix}"))
"""


def make_stand_in(num_lost: int = 0) -> Tool:
    def arguments(url_table: Path, output: Path) -> list[str]:
        return [sys.executable, "-c", STAND_IN, str(url_table), str(output), str(num_lost)]

    return Tool("stand-in", arguments)


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    made = Tables(tmp_path, NUM_SMALL + 100)
    for length in (NUM_SMALL, made.num_urls):
        pq.write_table(pa.table({"url": [""] * length}), made.path(length))
    return made


def test_tools_take_turns_and_leave_nothing_behind(tables: Tables) -> None:
    rounds = run_rounds({OURS: make_stand_in(), PEER: make_stand_in()}, tables, 2)
    assert [list(one) for one in rounds] == [[OURS, PEER]] * 2
    assert not list(tables.folder.rglob("*.tar"))


def test_a_lost_image_is_an_error(tables: Tables) -> None:
    with pytest.raises(RuntimeError, match="expected 200 images in x, got 199"):
        measure_tool(make_stand_in(num_lost=1), tables, NUM_SMALL, "x")


def make_run(tool: str, startup_s: float, image_s: float) -> Run:
    small, full = (
        Measurement(startup_s + image_s * count, wall_s=1.0, peak_rss_bytes=0, other_load=0.0)
        for count in (200, 1200)
    )
    return Run(tool, small, full, num_small=200, num_urls=1200)


def test_startup_does_not_enter_the_net_figure() -> None:
    run = make_run("a", startup_s=3.0, image_s=0.005)
    assert run.net_ms == pytest.approx(5.0)
    assert run.startup_s == pytest.approx(3.0)
    assert run.gross_ms == pytest.approx(7.5)


def test_ratios_are_taken_within_each_round() -> None:
    rounds = [
        {OURS: make_run("a", 0, 0.001 * slow), PEER: make_run("b", 0, 0.002 * slow)}
        for slow in (1, 5, 2)
    ]
    assert "**net 2.00 (2.00-2.00)**" in results_table(rounds, {OURS: "a", PEER: "b"})
