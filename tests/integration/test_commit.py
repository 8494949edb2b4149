import multiprocessing
import subprocess
from pathlib import Path

import pytest

from ingest.pack import commit as commit_module
from ingest.plan_part import read_plan, read_plan_part
from ingest.work_unit import Engine, Run
from schemas.options import BuildOptions, FetchOptions, InspectOptions
from tests.building import ALLOW, HOST, command, picture_site, uncurated, write_urls

NUM_PICTURES = 30


def planned(web, tmp_path):
    """A planned dataset of one shard, and the options to build it."""
    urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES)]
    table, dataset = write_urls(tmp_path / "urls.csv", urls), str(tmp_path / "dataset")
    assert uncurated("plan", f"--input={table}", f"--output={dataset}").returncode == 0
    options = BuildOptions(
        output=dataset,
        fetch=FetchOptions(allow_network=("127.0.0.0/8", "::1/128")),
        inspect=InspectOptions(decoder_processes=1),
    )
    return dataset, options


def build_shard(options, barrier):
    """What one of two workers does that have been given the same shard."""
    engine = Engine(Run(options, "0" * 64))
    barrier.wait(60)
    commits = engine.submit(0) + engine.drain()
    engine.close()
    assert len(commits) == 1


def test_two_workers_that_build_one_shard_at_once_leave_one_valid_shard(serve, tmp_path):
    web = serve(picture_site(NUM_PICTURES), latency_s=0.02)
    dataset, options = planned(web, tmp_path)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    workers = [context.Process(target=build_shard, args=(options, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(web.requests()) >= 2 * NUM_PICTURES
    for folder in ("commits", "shards", "ledger"):
        assert len(list(Path(dataset, folder).iterdir())) == 1, folder


def test_two_builds_of_one_dataset_at_once_agree(serve, tmp_path):
    web = serve(picture_site(NUM_PICTURES), latency_s=0.05)
    urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES)]
    table, dataset = write_urls(tmp_path / "urls.csv", urls), tmp_path / "dataset"
    arguments = ("build", f"--output={dataset}", f"--input={table}", *ALLOW)
    both = [
        subprocess.Popen(
            command(*arguments, "--shard-candidates=10"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], errors
    audit = uncurated("audit", dataset)
    assert audit.returncode == 0, audit.stdout
    assert "no commit names" not in audit.stdout


def test_a_lost_row_fails_the_build(serve, tmp_path, monkeypatch):
    web = serve(picture_site(NUM_PICTURES))
    dataset, options = planned(web, tmp_path)
    counted = commit_module.count_outcomes
    monkeypatch.setattr(commit_module, "count_outcomes", lambda words: counted([*words][1:]))
    engine = Engine(Run(options, "0" * 64))
    try:
        with pytest.raises(AssertionError, match="expected 30 outcomes"):
            _ = engine.submit(0) + engine.drain()
    finally:
        engine.close()
    assert not list(Path(dataset, "commits").glob("*"))


def test_a_lost_plan_row_fails_the_seal(serve, tmp_path, monkeypatch):
    web = serve(picture_site(NUM_PICTURES))
    dataset, options = planned(web, tmp_path)

    def lossy(dataset, path):
        candidates, digest = read_plan_part(dataset, path)
        return candidates[1:], digest

    monkeypatch.setattr("ingest.work_unit.read_plan_part", lossy)
    from pipelines.build import build

    plan = read_plan(dataset)
    with pytest.raises(
        (AssertionError, RuntimeError), match="expected 30 planned candidates, got 29"
    ):
        build(options, plan, ["--runner=FnApiRunner"])
    assert not Path(dataset, "dataset.json").exists()
