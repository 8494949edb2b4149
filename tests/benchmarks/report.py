"""The result of a comparison as text: figures of each tool, ratios, and where they were taken."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no annotations

from tests.benchmarks.measure import Measurement

OURS = "ours"
PEER = "peer"
DIRECT = "direct"
COLUMNS = (
    "tool",
    "**CPU ms/image, net**: median (min-max)",
    "all included",
    "start-up, CPU s",
    "images/s, wall",
    "peak RSS, MB",
    "other load, cores",
)


@dataclass(frozen=True)
class Run:
    """One tool in one round: the small table, then the full one."""

    tool: str
    small: Measurement
    full: Measurement
    num_small: int
    num_urls: int

    @property
    def net_ms(self) -> float:
        """CPU ms of one more image: what start-up costs is in both tables and cancels out."""
        return 1000 * (self.full.cpu_s - self.small.cpu_s) / (self.num_urls - self.num_small)

    @property
    def gross_ms(self) -> float:
        """CPU ms an image with everything included."""
        return 1000 * self.full.cpu_s / self.num_urls

    @property
    def startup_s(self) -> float:
        """CPU seconds that do not depend on the number of images."""
        return self.small.cpu_s - self.net_ms * self.num_small / 1000


def spread(values: Sequence[float], digits: int) -> str:
    """Median, minimum and maximum."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{middle:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"


def results_table(rounds: Sequence[dict[str, Run]], names: dict[str, str]) -> str:
    """A Markdown row for each tool of `names`, and ratios within each round if both were run."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 1)]
    lines += [_tool_row(name, [one[tool] for one in rounds]) for tool, name in names.items()]
    for other in names.keys() - {OURS} if OURS in names else ():
        net = [one[OURS].net_ms / one[other].net_ms for one in rounds]
        gross = [one[OURS].gross_ms / one[other].gross_ms for one in rounds]
        lines.append(
            f"\nRatio, {names[OURS]} to {names[other]}, pairwise by round: "
            f"**net {spread(net, 2)}**, all included {spread(gross, 2)}."
        )
    return "\n".join(lines)


def _tool_row(name: str, runs: Sequence[Run]) -> str:
    cells = (
        name,
        spread([run.net_ms for run in runs], 2),
        spread([run.gross_ms for run in runs], 2),
        f"{statistics.median(run.startup_s for run in runs):.2f}",
        spread([run.num_urls / run.full.wall_s for run in runs], 0),
        f"{max(run.full.peak_rss_bytes for run in runs) / 1e6:,.0f}",
        f"{statistics.mean(run.full.other_load for run in runs):.2f}",
    )
    return f"| {' | '.join(cells)} |"


def describe_machine(today: date) -> str:
    """Date, processor, cores, memory and Python version in one line."""
    memory_gib = psutil.virtual_memory().total / 2**30
    return (
        f"{today.isoformat()}; {cpu_model()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB; "
        f"Python {platform.python_version()}; Linux {platform.release()}"
    )


def cpu_model() -> str:
    """What the processor calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
