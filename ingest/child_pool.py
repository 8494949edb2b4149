"""Child processes that read spools: a crash, a hang or a memory hog costs one image its outcome."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson

from ingest.child_program import ANSWER_HEAD, REQUEST
from ingest.errors import InspectError
from ingest.spool import Region
from schemas.options import InspectOptions
from schemas.outcome import Outcome

# Enough that a child never waits for its next image, few enough that a crash requeues little.
_DEPTH = 8
_READ_BYTES = 1 << 16
_CLOSE_TIMEOUT_S = 1.0

T = TypeVar("T")


@dataclass(frozen=True)
class _Job:
    region: Region
    side_px: int
    done: "asyncio.Future[Any]"


class ChildPool(Generic[T]):
    """A pool of processes of one program over some spools; use it from one event loop.

    `program`: a module that calls `serve`, then its own arguments. `read`: its payload -> a result.
    """

    def __init__(
        self,
        program: Sequence[str],
        read: Callable[[bytes], T],
        options: InspectOptions,
        spools: Sequence[int],
    ) -> None:
        self._program, self._options, self._spools = tuple(program), options, tuple(spools)
        self._waiting: deque[_Job] = deque()
        count = options.decoder_processes or len(os.sched_getaffinity(0))
        self._children = [_Child(self) for _ in range(count)]
        self.read = read
        self.timeout_s = options.decode_timeout_s

    async def ask(self, region: Region, side_px: int = 0) -> T:
        """What a child makes of a region; raises InspectError, also when that killed the child."""
        job = _Job(region, side_px, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self.feed()
        result: T = await job.done
        return result

    def feed(self) -> None:
        """Hand waiting jobs to the least busy children."""
        while self._waiting:
            child = min(self._children, key=lambda one: len(one.jobs))
            if len(child.jobs) >= _DEPTH:
                return
            child.send(self._waiting.popleft())

    def requeue(self, jobs: Sequence[_Job]) -> None:
        """Put jobs that a dead child had not begun back in front."""
        self._waiting.extendleft(reversed(jobs))
        self.feed()

    def spawn(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """A fresh child process and our end of its socket."""
        ours, theirs = socket.socketpair()
        with theirs:
            limits = self._options
            command = [sys.executable, "-m", *self._program, str(theirs.fileno())]
            command += [str(limits.decode_timeout_s), str(limits.decoder_memory_mib)]
            command += [str(limits.max_pixels), *map(str, self._spools)]
            process = subprocess.Popen(
                command,
                pass_fds=(theirs.fileno(), *self._spools),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
        return process, ours

    def close(self) -> None:
        """End all child processes."""
        for child in self._children:
            child.close()


class _Child:
    """One child process and the jobs it has, the first of which it is working on."""

    def __init__(self, pool: ChildPool[Any]) -> None:
        self._pool = pool
        self._running: tuple[subprocess.Popen[bytes], socket.socket] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._buffer = bytearray()
        self.jobs: deque[_Job] = deque()

    def send(self, job: _Job) -> None:
        if self._running is None:
            self._running = self._pool.spawn()
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._running[1].fileno(), self._read, self._running[1])
        self.jobs.append(job)
        region = job.region
        # If the process just died, reading sees the end of the stream and deals with all its jobs.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            request = REQUEST.pack(region.spool, region.offset, region.length, job.side_px)
            self._running[1].sendall(request)

    def close(self) -> int:
        """The exit code of the process, which is ended if it still runs."""
        if self._running is None or self._loop is None:
            return 0
        process, channel = self._running
        self._loop.remove_reader(channel.fileno())
        channel.close()
        try:
            code = process.wait(timeout=_CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        self._running, self._buffer = None, bytearray()
        return code

    def _read(self, channel: socket.socket) -> None:
        try:
            received = channel.recv(_READ_BYTES)
        except ConnectionResetError:
            received = b""
        if not received:
            self._bury()
            return
        self._buffer += received
        while len(self._buffer) >= ANSWER_HEAD.size:
            done, length = ANSWER_HEAD.unpack_from(self._buffer)
            end = ANSWER_HEAD.size + length
            if len(self._buffer) < end:
                break
            payload = bytes(self._buffer[ANSWER_HEAD.size : end])
            del self._buffer[:end]
            self._settle(self.jobs.popleft(), done, payload)
        self._pool.feed()

    def _settle(self, job: _Job, done: bool, payload: bytes) -> None:
        if job.done.done():
            return
        if done:
            job.done.set_result(self._pool.read(payload))
        else:
            word, detail = orjson.loads(payload)
            job.done.set_exception(InspectError(Outcome(word), detail))

    def _bury(self) -> None:
        """The process died: its current job is to blame, the others go back to the queue."""
        jobs, self.jobs = list(self.jobs), deque()
        code = self.close()
        if jobs and not jobs[0].done.done():
            jobs[0].done.set_exception(self._blame(code))
        self._pool.requeue(jobs[1:])

    def _blame(self, code: int) -> InspectError:
        if code == -signal.SIGALRM:
            limit = f"expected to end within {self._pool.timeout_s} s, was killed"
            return InspectError(Outcome.DECODER_TIMEOUT, limit)
        return InspectError(Outcome.DECODER_CRASH, f"decoder process ended with code {code}")
