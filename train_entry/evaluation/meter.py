"""How fast a work of all ranks goes: on the terminal meanwhile, and in the log at its end."""

import logging
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LOG = logging.getLogger(__name__)


class Meter:
    """A context; `advance` tells it of images that this rank has done.

    What it says of all ranks is this rank's own times their number, and only the first one says it.
    """

    def __init__(self, title: str, num_images: int, world: int, first: bool) -> None:
        self._title, self._world, self._first = title, world, first
        self._began_s, self._done = time.monotonic(), 0
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:,.0f} images/s"),
            TimeRemainingColumn(),
            console=console,
            disable=not (first and console.is_terminal),
        )
        self._task = self._bar.add_task(title, total=num_images * world, rate=0.0)

    def __enter__(self) -> "Meter":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        if self._first and error is None:
            count = self._done * self._world
            _LOG.info("%s: %d images, %.1f images/s", self._title, count, self._rate())

    def advance(self, num_images: int) -> None:
        """So many more."""
        self._done += num_images
        self._bar.update(self._task, advance=num_images * self._world, rate=self._rate())

    def _rate(self) -> float:
        return self._done * self._world / max(time.monotonic() - self._began_s, 1e-9)
