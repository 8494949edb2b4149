"""The one place where a request to an object store is made again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from ingest.errors import StorageError

T = TypeVar("T")

# 408 and the 5xx that Google and Amazon both name as worth another attempt.
PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})


class Passing(Exception):
    """A request failed for a reason that may pass: overload, a timeout, a lost connection."""


class Refused(Exception):
    """The store will not do this, however often it is asked: no leave, or not such a request."""


class DigestMismatch(Passing):
    """The store holds, or was sent, other bytes than ours; the message has both digests."""


@dataclass(frozen=True)
class Patience:
    """How long to go on asking after a failure.

    Pauses double from `first_s` to `longest_s` and are cut at random, all of them ("full jitter").
    Source: Brooker 2015, "Exponential backoff and jitter".
    """

    deadline_s: float = 180.0
    first_s: float = 0.1
    longest_s: float = 15.0

    def pause_s(self, attempt: int, fraction: float) -> float:
        """The pause after attempt 1, 2, ...; `fraction` is random in [0, 1)."""
        return fraction * min(self.longest_s, self.first_s * 2.0 ** min(attempt, 30))


def persist(
    what: str,
    request: Callable[[], T],
    patience: Patience = Patience(),
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """What `request` returns, made again as long as it raises `Passing`.

    Raises StorageError when the next attempt would begin after the deadline, which counts from
    the first failure: how long a request may take, its own timeouts say. All else that the
    request raises is an answer and goes through.
    """
    first_failure: float | None = None
    for attempt in count(1):
        try:
            return request()
        except Passing as error:
            # Not for secrets: only that workers do not come back all at once.
            pause_s = patience.pause_s(attempt, random.random())
            now = clock()
            first_failure = now if first_failure is None else first_failure
            if now + pause_s - first_failure > patience.deadline_s:
                raise StorageError(
                    f"{what}: expected an answer within {patience.deadline_s:g} s of the first "
                    f"failure, got {attempt} failures; the last: {error}"
                ) from error
        sleep(pause_s)
    raise AssertionError("unreachable")
