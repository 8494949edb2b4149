"""Threads that fetch what the next steps need while the present one is used.

This is the trainer's one place of threads: what a fetcher does in them has no locks beyond its own.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Protocol

from train_entry.dataset import Places
from train_entry.source import Contents
from train_entry.steps import Step


class Job(NamedTuple):
    """Something to fetch, and about how many bytes it will hold until its step is delivered."""

    num_bytes: int
    run: Callable[[], Any]


class Fetcher(Protocol):
    """What is to be fetched for a step, and what becomes of it."""

    def jobs(self, step: Step) -> list[Job]:
        """What to fetch for this step that no earlier step has asked for."""

    def collect(self, step: Step, results: list[Any]) -> Contents:
        """The bytes of a step, when its jobs have these results."""

    def read(self, places: Places) -> Contents:
        """The bytes of some samples, now."""


class Limits(NamedTuple):
    """How far to run ahead: bytes fetched or on their way, requests in flight, and steps."""

    num_bytes: int
    connections: int
    steps: int


class ReadAhead:
    """A source that fetches ahead of its consumer."""

    def __init__(self, fetcher: Fetcher, limits: Limits) -> None:
        self._fetcher, self._limits = fetcher, limits

    def stream(self, steps: Iterator[Step]) -> Iterator[tuple[Step, Contents]]:
        run = _Run(self._fetcher, self._limits)
        run.start(steps)
        try:
            while True:
                pending = run.next()
                results = [future.result() for future in pending.futures]
                contents = self._fetcher.collect(pending.step, results)
                run.release(pending)
                step = pending.step
                del pending, results
                yield step, contents
        finally:
            run.stop()

    def read(self, places: Places) -> Contents:
        return self._fetcher.read(places)


class _Pending:
    """A step on its way; complete when all its jobs have been handed to threads."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.futures: list[Future[Any]] = []
        self.num_bytes = 0
        self.complete = False


class _Run:
    """One pass over steps: a thread that plans them, a pool that fetches, one consumer."""

    def __init__(self, fetcher: Fetcher, limits: Limits) -> None:
        self._fetcher, self._limits = fetcher, limits
        self._pool = ThreadPoolExecutor(limits.connections, thread_name_prefix="fetch")
        self._changed = threading.Condition()
        self._queue: deque[_Pending] = deque()
        self._wanted: _Pending | None = None
        self._num_bytes = 0
        self._stopped = False
        self._error: BaseException | None = None

    def start(self, steps: Iterator[Step]) -> None:
        """Begin to plan and fetch."""
        threading.Thread(target=self._plan, args=(steps,), name="plan", daemon=True).start()

    def next(self) -> _Pending:
        """The next step, all of its jobs begun; raises what its planning has raised."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._error)
            if self._queue:
                self._wanted = self._queue.popleft()
                self._changed.notify_all()
                self._changed.wait_for(
                    lambda: (self._wanted and self._wanted.complete) or self._error
                )
            if self._wanted is None or not self._wanted.complete:
                assert self._error is not None
                raise self._error
            return self._wanted

    def release(self, pending: _Pending) -> None:
        """What a step held is the consumer's now."""
        with self._changed:
            self._num_bytes -= pending.num_bytes
            self._wanted = None
            self._changed.notify_all()

    def stop(self) -> None:
        """Fetch no more; what is on its way ends by itself."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _plan(self, steps: Iterator[Step]) -> None:
        try:
            for step in steps:
                pending = _Pending(step)
                if not self._admit(partial(self._is_near, step.number)):
                    return
                with self._changed:
                    self._queue.append(pending)
                    self._changed.notify_all()
                for job in self._fetcher.jobs(step):
                    if not self._begin(pending, job):
                        return
                with self._changed:
                    pending.complete = True
                    self._changed.notify_all()
        except BaseException as error:  # the consumer raises it
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _is_near(self, number: int) -> bool:
        return not self._queue or number - self._queue[0].step.number < self._limits.steps

    def _begin(self, pending: _Pending, job: Job) -> bool:
        def fits() -> bool:
            # What is waited for must come, whatever it takes.
            free = self._limits.num_bytes - self._num_bytes
            return job.num_bytes <= free or not self._num_bytes or self._wanted is pending

        if not self._admit(fits):
            return False
        with self._changed:
            self._num_bytes += job.num_bytes
            pending.num_bytes += job.num_bytes
            if not self._stopped:
                pending.futures.append(self._pool.submit(job.run))
        return True

    def _admit(self, condition: Callable[[], bool]) -> bool:
        """Wait for a condition; False if it is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or condition())
            return not self._stopped
