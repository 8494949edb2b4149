"""One small build on each kind of runner that works without a network gives the same root."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ingest.miniweb.server import MiniWeb
from tests.building import ALLOW, HOST, command, picture_site, record_of, shards_of, write_urls

NUM_PICTURES = 60
LIMIT_S = 120
OPTIONS = ("--shard-candidates=12", "--decoder-processes=1", "--host-requests-per-s=10000")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    with MiniWeb(picture_site(NUM_PICTURES)) as web:
        urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES)]
        yield write_urls(tmp_path_factory.mktemp("table") / "urls.csv", urls)


@pytest.fixture(scope="module")
def reference(table, tmp_path_factory):
    """A dataset built by FnApiRunner in memory."""
    dataset = tmp_path_factory.mktemp("reference") / "dataset"
    run_build(dataset, table, "--runner=FnApiRunner")
    return dataset


@pytest.fixture
def job_service(tmp_path):
    """The address of a portable job service, and the words that start a worker for it."""
    port_file = tmp_path / "port"
    module = "apache_beam.runners.portability.local_job_service_main"
    with started(tmp_path / "service.log", "-m", module, f"--port_file={port_file}") as process:
        wait_for(port_file.exists, process)
        yield f"localhost:{port_file.read_text()}"


@pytest.fixture
def worker_pool(tmp_path):
    """The address of a pool that starts workers in processes of their own."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    module = "apache_beam.runners.worker.worker_pool_main"
    with started(tmp_path / "pool.log", "-m", module, f"--service_port={port}") as process:
        wait_for(lambda: accepts(port), process)
        yield f"localhost:{port}"


@pytest.mark.timeout(2 * LIMIT_S)
def test_two_worker_processes_build_the_same_dataset(table, reference, dataset):
    mode = "--direct_running_mode=multi_processing"
    run_build(dataset, table, "--runner=FnApiRunner", mode, "--direct_num_workers=2")
    assert_same(dataset, reference)


@pytest.mark.timeout(3 * LIMIT_S)
def test_a_job_service_with_a_worker_process_builds_the_same_dataset(
    table, reference, dataset, job_service
):
    run_build(
        dataset,
        table,
        *("--runner=PortableRunner", f"--job_endpoint={job_service}"),
        "--environment_type=beam:env:harness_subprocess_python:v1",
        f"--environment_config={sys.executable} -m apache_beam.runners.worker.sdk_worker_main",
        "--fetching-processes=1",
    )
    assert_same(dataset, reference)


@pytest.mark.timeout(3 * LIMIT_S)
def test_a_job_service_with_a_worker_pool_builds_the_same_dataset(
    table, reference, dataset, job_service, worker_pool
):
    run_build(
        dataset,
        table,
        *("--runner=PortableRunner", f"--job_endpoint={job_service}"),
        *("--environment_type=EXTERNAL", f"--environment_config={worker_pool}"),
        "--fetching-processes=1",
    )
    assert_same(dataset, reference)


def assert_same(dataset, reference):
    assert record_of(dataset).outcomes == {"kept": NUM_PICTURES}
    assert record_of(dataset).num_shards == 5
    assert record_of(dataset).merkle_root == record_of(reference).merkle_root
    assert shards_of(dataset) == shards_of(reference)


def run_build(dataset, table, *arguments):
    """Build in a process group that does not outlive the limit."""
    words = command("build", f"--output={dataset}", f"--input={table}", *ALLOW, *OPTIONS)
    log = Path(f"{dataset}.log")
    with started(log, *words[1:], *arguments) as process:
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            code = f"none after {LIMIT_S} s"
    assert code == 0, f"exit code {code}: {log.read_text()}"


@contextlib.contextmanager
def started(log, *arguments):
    """A Python process in a group of its own, which ends with the block, children and all.

    Its output goes to a file: nothing waits for a pipe that a child holds open.
    """
    # The worker pool starts a bare `python`: it must be this one.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PATH": path},
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", port)) == 0


def wait_for(happened, process):
    deadline = time.monotonic() + 60
    while not happened():
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < deadline, "it has not started within a minute"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
