"""Serves a site over HTTP/1.1 on loopback, in a thread of its own, and remembers every request."""

import asyncio
import contextlib
import random
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType

from ingest.miniweb.site import Delivery, Headers, Page, Site

_NOISE = random.Random(0).randbytes(1 << 18)
_LONG_BYTES = 200_000_000
_DRIP_S = 0.05


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    host: str
    path: str
    user_agent: str


class MiniWeb:
    """A running server; use it as a context manager."""

    def __init__(self, site: Site, port: int = 0, latency_s: float = 0.0) -> None:
        self._site, self._latency_s = site, latency_s
        self._requests: list[Request] = []
        self._changed = threading.Condition()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        # Bound but not listening: connections to it are refused.
        self._closed = socket.socket()
        self._closed.bind(("127.0.0.1", 0))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="miniweb", daemon=True)
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()

    @property
    def port(self) -> int:
        """The port that is served."""
        return int(self._listener.getsockname()[1])

    @property
    def closed_port(self) -> int:
        """A port where nobody listens."""
        return int(self._closed.getsockname()[1])

    def url(self, host: str, path: str) -> str:
        """The URL of a page."""
        return f"http://{host}:{self.port}{path}"

    def requests(self) -> list[Request]:
        """All requests so far, in order."""
        with self._changed:
            return list(self._requests)

    def wait_for_requests(self, total: int, timeout_s: float = 60.0) -> bool:
        """Wait until `total` requests have come; whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._requests) >= total, timeout_s)

    def __enter__(self) -> "MiniWeb":
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._listener.close()
        self._closed.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._converse(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(accept, sock=self._listener)
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # Aborted connections close their sockets in the next round.

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until either side has enough."""
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._respond(reader, writer):
                    pass
        finally:
            writer.transport.abort()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection can be used again."""
        request = _parse(await reader.readuntil(b"\r\n\r\n"))
        self._remember(request)
        page = self._page(request)
        await asyncio.sleep(self._latency_s + page.delay_s)
        return await _answer(page, writer)

    def _remember(self, request: Request) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def _page(self, request: Request) -> Page:
        page = self._site.find(request.host, request.path)
        where = (request.host, request.path)
        if self._failures[where] < page.num_failures:
            self._failures[where] += 1
            return Page(b"try again", page.failure_status, page.failure_headers)
        return page


def _parse(head: bytes) -> Request:
    lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines[1:])
    }
    path = lines[0].split(" ")[1] if " " in lines[0] else "/"
    host = headers.get("host", "").partition(":")[0]
    return Request(host, path, headers.get("user-agent", ""))


async def _answer(page: Page, writer: asyncio.StreamWriter) -> bool:
    """Send a page; whether the connection can be used again."""
    if page.delivery is Delivery.NEVER:
        await asyncio.Event().wait()
    if page.delivery is Delivery.GARBAGE:
        writer.write(b"\x00\x01 this is no HTTP\r\n\r\n" + _NOISE[:1000])
    elif page.delivery in (Delivery.WHOLE, Delivery.CUT):
        whole = page.delivery is Delivery.WHOLE
        body = page.body if whole else page.body[: len(page.body) // 2]
        writer.write(_head(page, (("Content-Length", str(len(page.body))),)) + body)
        await writer.drain()
        return whole
    else:
        length = (("Content-Length", str(_LONG_BYTES)),)
        framing = length if page.delivery is Delivery.LONG else ()
        writer.write(_head(page, (*framing, ("Connection", "close"))))
        async for block in _stream(page.delivery):
            writer.write(block)
            await writer.drain()
    await writer.drain()
    return False


async def _stream(delivery: Delivery) -> AsyncIterator[bytes]:
    if delivery is Delivery.LONG:
        for _ in range(_LONG_BYTES // len(_NOISE)):
            yield _NOISE
        yield _NOISE[: _LONG_BYTES % len(_NOISE)]
    while delivery is Delivery.ENDLESS:
        yield _NOISE
    while delivery is Delivery.DRIP:
        yield b"\xff"
        await asyncio.sleep(_DRIP_S)


def _head(page: Page, framing: Headers) -> bytes:
    reason = HTTPStatus(page.status).phrase if page.status in set(HTTPStatus) else "Unknown"
    lines = [f"HTTP/1.1 {page.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in (*page.headers, *framing)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
