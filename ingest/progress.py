"""Progress of a build from its workers to the terminal: counts by outcome and bytes, as datagrams.

The launcher listens on a Unix socket; workers of any local runner send to it what changed, twice a
second. Losing a datagram costs a number on the screen and nothing else.
"""

import contextlib
import socket
import time
from collections import Counter

import orjson

_INTERVAL_S = 0.5


class ProgressSender:
    """Sends counts to the listener at `address`; without an address it only forgets them."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._counts: Counter[str] = Counter()
        self._num_bytes = 0
        self._last_s = 0.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if address else None

    def add(self, outcome: str, count: int = 1, num_bytes: int = 0) -> None:
        """Count candidates that ended, and bytes that arrived."""
        if self._socket is None:
            return
        self._counts[outcome] += count
        self._num_bytes += num_bytes
        if time.monotonic() - self._last_s > _INTERVAL_S:
            self.flush()

    def change(self, counted: str, outcome: str) -> None:
        """Count a candidate that was counted as something else, both in one message."""
        if self._socket is not None:
            self._counts[counted] -= 1
            self.add(outcome)

    def flush(self) -> None:
        """Send what has not been sent."""
        if self._socket is None:
            return
        self._last_s = time.monotonic()
        message = orjson.dumps([self._counts, self._num_bytes], option=orjson.OPT_NON_STR_KEYS)
        with contextlib.suppress(OSError):
            self._socket.sendto(message, socket.MSG_DONTWAIT, self._address)
        self._counts.clear()
        self._num_bytes = 0

    def close(self) -> None:
        """Send the rest and stop."""
        self.flush()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
