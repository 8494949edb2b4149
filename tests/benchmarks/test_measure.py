"""The meter itself: it must see processes that hide from `getrusage`."""

import sys
from pathlib import Path

import pytest

from tests.benchmarks.measure import Command, measure

BURN_CPU = "import time\nwhile time.process_time() < {cpu_s}: pass"
DOUBLE_FORK = """
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        {burn}
    os._exit(0)
os.wait()
"""


def run_python(code: str, folder: Path, timeout_s: float = 60.0) -> Command:
    return Command([sys.executable, "-c", code], folder / "log", timeout_s=timeout_s)


def test_cpu_time_of_the_command_is_counted(tmp_path: Path) -> None:
    cost = measure(run_python(BURN_CPU.format(cpu_s=0.5), tmp_path))
    assert 0.5 <= cost.cpu_s < 0.8


def test_a_double_forked_process_is_waited_for_and_counted(tmp_path: Path) -> None:
    burn = BURN_CPU.format(cpu_s=1.0).replace("\n", "\n        ")
    cost = measure(run_python(DOUBLE_FORK.format(burn=burn), tmp_path))
    assert 1.0 <= cost.cpu_s < 1.4
    assert cost.wall_s < 0.8, "the command itself ends before its orphan"


def test_grandchildren_are_counted(tmp_path: Path) -> None:
    burn = BURN_CPU.format(cpu_s=0.4)
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    assert 0.4 <= measure(run_python(code, tmp_path)).cpu_s < 0.8


def test_peak_memory_includes_children(tmp_path: Path) -> None:
    child = "import time; block = b'x' * 300_000_000; time.sleep(1)"
    code = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    assert 300e6 < measure(run_python(code, tmp_path)).peak_rss_bytes < 400e6


def test_a_failing_command_is_an_error_with_its_output(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 3: the reason"):
        measure(run_python("print('the reason'); raise SystemExit(3)", tmp_path))


def test_a_command_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="No such file"):
        measure(Command(["/does/not/exist"], tmp_path / "log"))


def test_a_command_that_never_ends_is_ended(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError, match="has not ended"):
        measure(run_python("import time; time.sleep(600)", tmp_path, timeout_s=1.0))
