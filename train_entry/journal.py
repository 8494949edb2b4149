"""What is told of a run: JSON lines, TensorBoard events, progress on the terminal, profiles."""

import json
import logging
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from train_entry.config import JournalConfig

JOURNAL_FILE = "journal.jsonl"
_LOG = logging.getLogger(__name__)

# Dense peak of a device in bfloat16, TFLOP/s, by a part of its name. Source: NVIDIA's data sheets.
_PEAK_TFLOPS = {"H200": 989.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "B200": 2250.0}


class Journal:
    """A context that keeps the journal of a run; only the first rank opens one.

    A run that is taken up again before step `first_step` drops the lines that it will write anew.
    """

    def __init__(self, output: str, config: JournalConfig, first_step: int, steps: int) -> None:
        self._output, self._config, self._steps = Path(output), config, steps
        self._first_step = first_step
        self._file: IO[str] | None = None
        self._board: Any = None
        self._progress: Progress | None = None

    def __enter__(self) -> "Journal":
        self._output.mkdir(parents=True, exist_ok=True)
        path = self._output / JOURNAL_FILE
        kept = [one for one in read_journal(path) if one["step"] < self._first_step]
        path.write_text("".join(json.dumps(one) + "\n" for one in kept))
        self._file = path.open("a")
        if self._config.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(
                str(self._output / "tensorboard"), purge_step=self._first_step
            )
        if self._config.progress:
            self._progress = _progress()
            self._progress.start()
            self._task = self._progress.add_task(
                "", total=self._steps, completed=self._first_step, told=""
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
        if self._board is not None:
            self._board.close()
        if self._progress is not None:
            self._progress.stop()

    def advance(self, step: int) -> None:
        """Show that a step is done."""
        if self._progress is not None:
            self._progress.update(self._task, completed=step + 1)

    def write(self, line: dict[str, Any]) -> None:
        """Add a line; it has the key `step`, and its numbers become curves in TensorBoard."""
        assert self._file is not None
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in line.items():
                if name != "step" and isinstance(value, int | float):
                    self._board.add_scalar(name, value, line["step"])
        told = f"loss {line['loss']:.4f}  {line['images_per_s']:.0f} images/s"
        if self._progress is not None:
            self._progress.update(self._task, told=told)
        if self._progress is None or not self._progress.console.is_terminal:
            _LOG.info("step %d of %d: %s", line["step"] + 1, self._steps, told)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal; a last one that a crash cut short is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text().splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def peak_flops(device: torch.device, config: JournalConfig) -> float | None:
    """Operations per second that a device could do at best; None if unknown."""
    if config.peak_tflops:
        return config.peak_tflops * 1e12
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak * 1e12 for part, peak in _PEAK_TFLOPS.items() if part in name), None)


def peak_memory_mib(device: torch.device) -> float:
    """Most memory that this process has held on its device so far, MiB."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def profiler(output: str, device: torch.device) -> torch.profiler.profile:
    """A profiler that writes a trace for TensorBoard or Perfetto into the run's folder."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    folder = Path(output) / "profile"
    return torch.profiler.profile(
        activities=activities,
        record_shapes=True,
        profile_memory=True,
        on_trace_ready=torch.profiler.tensorboard_trace_handler(str(folder)),
    )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.fields[told]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
