"""What a terminal shows of long work: a live line there, plain lines into a file or a pipe."""

import logging
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import orjson
from rich.console import Console
from rich.live import Live
from rich.table import Table

from schemas.manifest import DatasetRecord
from schemas.outcome import Outcome

_log = logging.getLogger(__name__)
_POLL_S, _LINE_S = 0.25, 10.0
_MAX_DATAGRAM_BYTES = 1 << 16
_SHOWN_OUTCOMES = 6


class Tally:
    """Counts of a running build and the sentence that tells them."""

    def __init__(self, num_candidates: int, now: Callable[[], float] = time.monotonic) -> None:
        self._num_candidates, self._now = num_candidates, now
        self._began_s = now()
        self._outcomes: Counter[str] = Counter()
        self._num_bytes = 0

    def add(self, message: bytes) -> None:
        """Count what a worker sent."""
        outcomes, num_bytes = orjson.loads(message)
        self._outcomes.update(outcomes)
        self._num_bytes += num_bytes

    def line(self) -> str:
        """Share done, rates, time left and the commonest outcomes."""
        done, elapsed_s = self._outcomes.total(), max(self._now() - self._began_s, 1e-9)
        share = done / self._num_candidates if self._num_candidates else 1.0
        left = f"{elapsed_s / share - elapsed_s:,.0f} s left" if 0 < share < 1 else ""
        words = [
            f"{word} {count:,}"
            for word, count in self._outcomes.most_common(_SHOWN_OUTCOMES)
            if count
        ]
        rates = f"{done / elapsed_s:,.0f} images/s  {self._num_bytes / elapsed_s / 1e6:,.1f} MB/s"
        parts = (f"{share:6.1%} of {self._num_candidates:,}", rates, left, ", ".join(words))
        return "  ".join(part for part in parts if part)


@contextmanager
def show_progress(num_candidates: int, beam_arguments: Sequence[str]) -> Iterator[str]:
    """The address that workers on this machine report to; "" if the runner is elsewhere."""
    if not any("FnApiRunner" in argument for argument in beam_arguments):
        yield ""
        return
    with tempfile.TemporaryDirectory(prefix="uncurated-") as folder:
        address = str(Path(folder) / "progress")
        stop = threading.Event()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        listener.bind(address)
        listener.settimeout(_POLL_S)
        tally = Tally(num_candidates)
        thread = threading.Thread(target=_listen, args=(listener, tally, stop), daemon=True)
        thread.start()
        try:
            yield address
        finally:
            stop.set()
            thread.join()
            listener.close()


@contextmanager
def count_on_terminal(noun: str) -> Iterator[Callable[..., None]]:
    """A function to call for each thing that is done, or for many: it tells how many so far."""
    count, last_s = 0, time.monotonic()
    console = Console(stderr=True)
    with Live(console=console, transient=True, auto_refresh=False) as live:

        def on_item(name: str, number: int = 1) -> None:
            nonlocal count, last_s
            count += number
            interval_s = _POLL_S if console.is_terminal else _LINE_S
            if time.monotonic() - last_s < interval_s:
                return
            last_s = time.monotonic()
            if console.is_terminal:
                live.update(f"{count:,} {noun}", refresh=True)
            else:
                _log.info("%s %s", f"{count:,}", noun)

        yield on_item


def outcome_table(record: DatasetRecord) -> Table:
    """What became of the candidates, one row an outcome."""
    table = Table(title=f"{record.num_candidates:,} candidates in {record.num_shards:,} shards")
    table.add_column("outcome")
    table.add_column("candidates", justify="right")
    table.add_column("meaning")
    for word, count in sorted(record.outcomes.items(), key=lambda item: -item[1]):
        table.add_row(word, f"{count:,}", Outcome(word).explanation)
    return table


def _listen(listener: socket.socket, tally: Tally, stop: threading.Event) -> None:
    console = Console(stderr=True)
    last_line_s = time.monotonic()
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while not stop.is_set():
            try:
                tally.add(listener.recv(_MAX_DATAGRAM_BYTES))
            except TimeoutError:
                continue
            if console.is_terminal:
                live.update(tally.line(), refresh=True)
            elif time.monotonic() - last_line_s > _LINE_S:
                last_line_s = time.monotonic()
                _log.info(tally.line())
