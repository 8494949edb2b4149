"""What a command costs: CPU time, peak memory and wall time of its whole process tree."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no annotations

SUBREAPER = Path(__file__).with_name("subreaper.py")
SAMPLE_INTERVAL_S = 0.1


@dataclass(frozen=True)
class Measurement:
    """The costs of one command.

    cpu_s: user and system time of all its processes. peak_rss_bytes: the largest sum over them, in
    which shared pages count once a process. other_load: cores that everything else kept busy.
    """

    cpu_s: float
    wall_s: float
    peak_rss_bytes: int
    other_load: float


@dataclass(frozen=True)
class Command:
    """What to run; its output goes to the file `log`."""

    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 1800.0


def measure(command: Command) -> Measurement:
    """The costs of a command, once it and all that it started have ended.

    Raises RuntimeError if it fails, TimeoutError if it or a descendant outlives `timeout_s`.
    """
    with tempfile.TemporaryDirectory() as folder, command.log.open("wb") as log:
        report = Path(folder) / "report.json"
        busy_before_s, started = _busy_cpu_s(), time.monotonic()
        supervisor = subprocess.Popen(
            [sys.executable, str(SUBREAPER), str(report), *command.arguments],
            env={**os.environ, **command.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            peak_rss_bytes = _watch(supervisor, started + command.timeout_s)
        finally:
            _end_tree(supervisor)
        busy_s, elapsed_s = _busy_cpu_s() - busy_before_s, time.monotonic() - started
        result: dict[str, float] = json.loads(report.read_text()) if report.exists() else {}
    if result.get("exit_code") != 0:
        ending = command.log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{command.arguments[0]} ended with {result.get('exit_code')}: {ending}")
    return Measurement(
        cpu_s=result["cpu_s"],
        wall_s=result["wall_s"],
        peak_rss_bytes=peak_rss_bytes,
        other_load=max(0.0, busy_s - result["cpu_s"]) / elapsed_s,
    )


def _watch(supervisor: subprocess.Popen[bytes], deadline: float) -> int:
    """The peak memory of the descendants of `supervisor`, sampled until it ends."""
    peak_bytes = 0
    while supervisor.poll() is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{supervisor.args!r} has not ended")
        peak_bytes = max(peak_bytes, sum(_rss_bytes(one) for one in _descendants(supervisor)))
        time.sleep(SAMPLE_INTERVAL_S)
    return peak_bytes


def _descendants(supervisor: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return list(psutil.Process(supervisor.pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _rss_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _end_tree(supervisor: subprocess.Popen[bytes]) -> None:
    """End what still runs after an error or an interrupt; nothing, after a normal end."""
    for process in [] if supervisor.poll() is not None else _descendants(supervisor):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    supervisor.wait()


def _busy_cpu_s() -> float:
    """CPU seconds that all cores were busy since the machine started."""
    times = psutil.cpu_times()
    # Guest time is part of user time already.
    idle_s = times.idle + times.iowait + times.guest + times.guest_nice
    return float(sum(times) - idle_s)
