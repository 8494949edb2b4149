"""Decoder processes: a crash, a hang or a memory hog costs one image its outcome, nothing else."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from base64 import b64decode
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ingest.errors import InspectError
from ingest.fingerprint import View
from ingest.inspect.decode import Inspection
from ingest.inspect.decoder import ANSWER_LENGTH, REQUEST
from ingest.spool import Region
from schemas.options import InspectOptions
from schemas.outcome import Outcome

# Enough that a decoder never waits for its next image, few enough that a crash requeues little.
_DEPTH = 8
_READ_BYTES = 1 << 16
_CLOSE_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class _Job:
    region: Region
    side_px: int
    done: "asyncio.Future[Any]"


class DecoderPool:
    """A pool of decoder processes over some spools; use it from one event loop."""

    def __init__(self, options: InspectOptions, spools: Sequence[int]) -> None:
        self._options = options
        self._spools = tuple(spools)
        self._waiting: deque[_Job] = deque()
        count = options.decoder_processes or len(os.sched_getaffinity(0))
        self._decoders = [_Decoder(self) for _ in range(count)]
        self.timeout_s = options.decode_timeout_s

    async def inspect(self, region: Region) -> Inspection:
        """What the image in `region` is; raises InspectError, also when it killed its decoder."""
        *plain, notes, assertions, views = await self._ask(region, 0)
        fields = [*plain, tuple(notes), tuple(assertions), tuple(map(_view, views))]
        return Inspection(*fields)

    async def small_picture(self, region: Region, side_px: int) -> NDArray[np.uint8]:
        """The image in colour, uint8 [h, w, 3], sides at most `side_px`; raises InspectError."""
        height, width, pixels = await self._ask(region, side_px)
        return np.frombuffer(b64decode(pixels), np.uint8).reshape(height, width, 3)

    async def _ask(self, region: Region, side_px: int) -> list[Any]:
        job = _Job(region, side_px, asyncio.get_running_loop().create_future())
        self._waiting.append(job)
        self.feed()
        answer: list[Any] = await job.done
        return answer

    def feed(self) -> None:
        """Hand waiting jobs to the least busy decoders."""
        while self._waiting:
            decoder = min(self._decoders, key=lambda one: len(one.jobs))
            if len(decoder.jobs) >= _DEPTH:
                return
            decoder.send(self._waiting.popleft())

    def requeue(self, jobs: Sequence[_Job]) -> None:
        """Put jobs that a dead decoder had not begun back in front."""
        self._waiting.extendleft(reversed(jobs))
        self.feed()

    def spawn(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        """A fresh decoder process and our end of its socket."""
        ours, theirs = socket.socketpair()
        with theirs:
            limits = self._options
            command = [sys.executable, "-m", "ingest.inspect.decoder", str(theirs.fileno())]
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
        """End all decoder processes."""
        for decoder in self._decoders:
            decoder.close()


class _Decoder:
    """One decoder process and the jobs it has, the first of which it is working on."""

    def __init__(self, pool: DecoderPool) -> None:
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
        while len(self._buffer) >= ANSWER_LENGTH.size:
            end = ANSWER_LENGTH.size + ANSWER_LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                break
            _settle(self.jobs.popleft(), orjson.loads(self._buffer[ANSWER_LENGTH.size : end]))
            del self._buffer[:end]
        self._pool.feed()

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


def _view(values: list[Any]) -> View:
    code, texture, certainty, thumbnail = values
    return View(b64decode(code), texture, b64decode(certainty), b64decode(thumbnail))


def _settle(job: _Job, answer: list[Any]) -> None:
    if job.done.done():
        return
    status, *values = answer
    if status == "ok":
        job.done.set_result(values)
    else:
        job.done.set_exception(InspectError(Outcome(status), values[0]))
