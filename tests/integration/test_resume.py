import random
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.building import (
    ALLOW,
    HOST,
    build,
    command,
    picture_site,
    record_of,
    shards_of,
    uncurated,
    write_urls,
)

NUM_PICTURES = 240
OPTIONS = ("--shard-candidates=12", "--decoder-processes=1", "--connections=4")


def committed(dataset):
    return {path.name for path in Path(dataset, "commits").glob("*.json")}


def test_a_build_killed_ten_times_ends_with_the_root_of_one_left_alone(serve, tmp_path):
    web = serve(picture_site(NUM_PICTURES), latency_s=0.05)
    urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES)]
    table = write_urls(tmp_path / "urls.csv", urls)
    alone = build(tmp_path / "alone", f"--input={table}", *OPTIONS)
    num_alone = len(web.requests())

    killed, generator = tmp_path / "killed", random.Random(7)
    num_kills, num_finished = 0, []
    fetched_after_commit = []
    while num_kills < 10:
        begin = len(web.requests())
        arguments = ("build", f"--output={killed}", f"--input={table}", *OPTIONS, *ALLOW)
        process = subprocess.Popen(
            command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        before = committed(killed)
        assert web.wait_for_requests(begin + generator.randrange(1, 32), timeout_s=60)
        process.send_signal(signal.SIGKILL)
        process.wait()
        num_kills += 1
        num_finished.append(len(committed(killed)))
        paths = {request.path for request in web.requests()[begin:]}
        fetched_after_commit.append((before, paths))
    record = build(killed, f"--input={table}", *OPTIONS)

    assert record.merkle_root == alone.merkle_root
    assert shards_of(killed) == shards_of(tmp_path / "alone")
    assert num_finished[-1] > 0, "no shard was finished by a killed run: kill later"
    assert num_alone >= NUM_PICTURES
    paths_of = planned_paths(killed)
    for before, paths in fetched_after_commit:
        finished = {path for name in before for path in paths_of[name]}
        assert not finished & paths, "a finished shard was fetched again"
    assert uncurated("audit", killed).returncode == 0


def planned_paths(dataset):
    """The paths that each shard's plan part leads to, by the name of its commit."""
    import pyarrow.parquet as pq

    return {
        path.with_suffix(".json").name: {
            "/" + url.rpartition("/")[2] for url in pq.read_table(path)["url"].to_pylist()
        }
        for path in Path(dataset, "plan").glob("*.parquet")
    }


def test_a_finished_dataset_is_neither_fetched_nor_written_again(serve, tmp_path):
    web = serve(picture_site(20))
    table = write_urls(tmp_path / "urls.csv", [web.url(HOST, f"/{n}") for n in range(20)])
    dataset = tmp_path / "dataset"
    build(dataset, f"--input={table}")
    count = len(web.requests())
    times = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    build(dataset, f"--input={table}")
    assert len(web.requests()) == count
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == times


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timeout-s=7"], "expected timeout_s 30.0 as recorded, got 7.0"),
        (["--max-pixels=5"], "expected max_pixels 100000000 as recorded, got 5"),
        (["--sample-rate=0.5"], "expected sample_rate 1.0 as recorded, got 0.5"),
    ],
)
def test_other_options_than_the_recorded_ones_are_refused(serve, tmp_path, arguments, message):
    web = serve(picture_site(3))
    table = write_urls(tmp_path / "urls.csv", [web.url(HOST, f"/{n}") for n in range(3)])
    dataset = tmp_path / "dataset"
    record = build(dataset, f"--input={table}")
    refused = uncurated("build", f"--output={dataset}", f"--input={table}", *ALLOW, *arguments)
    assert refused.returncode == 2
    assert message in " ".join(refused.stderr.split())
    assert record_of(dataset) == record


def test_speed_options_may_change_between_runs(serve, tmp_path):
    web = serve(picture_site(3))
    table = write_urls(tmp_path / "urls.csv", [web.url(HOST, f"/{n}") for n in range(3)])
    record = build(tmp_path / "dataset", f"--input={table}")
    assert build(tmp_path / "dataset", f"--input={table}", "--connections=7") == record
    assert Counter(record.outcomes) == {"kept": 3}
