"""Serves a site over HTTP/1.1 on loopback, in a thread of its own, and remembers every request."""

import asyncio
import contextlib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import TracebackType

from ingest.miniweb.nameserver import Names, NameServer
from ingest.miniweb.ports import DeadPorts, listen, port_of
from ingest.miniweb.site import Delivery, Page, Site
from ingest.miniweb.wire import NOISE, play, script

_TLS_HANDSHAKE = b"\x16"
_QUIET = (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


@dataclass(frozen=True)
class Request:
    """One request as it came; `at_s` is on the monotonic clock."""

    host: str
    path: str
    user_agent: str
    at_s: float
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Manner:
    """How a web is served: pause before each answer and between slow bytes, TLS, and names."""

    latency_s: float = 0.0
    drip_s: float = 0.05
    tls: ssl.SSLContext | None = None
    names: Names | None = None
    nameserver_port: int = 0


class MiniWeb:
    """A running server; use it as a context manager."""

    def __init__(
        self, site: Site, port: int = 0, latency_s: float = 0.0, manner: Manner | None = None
    ) -> None:
        self._site, self._manner = site, manner or Manner(latency_s)
        self._requests: list[Request] = []
        self._changed = threading.Condition()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._listener, self._tls_listener = listen(port), listen()
        self._dead = DeadPorts()
        names = self._manner.names
        self.nameserver = NameServer(names or {}, self._manner.nameserver_port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="miniweb", daemon=True)
        self._stop: asyncio.Event | None = None
        self._started = threading.Event()

    @property
    def port(self) -> int:
        """The port that is served."""
        return port_of(self._listener)

    @property
    def closed_port(self) -> int:
        """A port where nobody listens."""
        return port_of(self._dead.closed_socket)

    def fill(self, url: str) -> str:
        """A URL with the numbers of this web in place of {port}, {tls_port}, {closed_port}, ..."""
        ports = {
            "port": self._listener,
            "tls_port": self._tls_listener,
            "closed_port": self._dead.closed_socket,
            "deaf_port": self._dead.deaf_socket,
            "full_port": self._dead.full_socket,
        }
        for name, listener in ports.items():
            url = url.replace(f"{{{name}}}", str(port_of(listener)))
        return url

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
        for one in (self._listener, self._tls_listener, self._dead):
            one.close()

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

        servers = [await asyncio.start_server(accept, sock=self._listener)]
        if self._manner.tls:
            context = self._manner.tls
            servers.append(await asyncio.start_server(accept, sock=self._tls_listener, ssl=context))
        async with self.nameserver:
            self._started.set()
            await self._stop.wait()
        for server in servers:
            server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # Aborted connections close their sockets in the next round.

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until either side has enough."""
        # Each step is with the kernel before the next begins.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            with contextlib.suppress(*_QUIET):
                while await self._respond(reader, writer):
                    pass
        finally:
            writer.transport.abort()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection can be used again."""
        first = await reader.readexactly(1)
        if first == _TLS_HANDSHAKE:
            writer.write(NOISE[:1000])
            await writer.drain()
            return False
        request = _parse(first + await reader.readuntil(b"\r\n\r\n"))
        self._remember(request)
        page = self._page(request)
        await asyncio.sleep(self._manner.latency_s + page.delay_s)
        await play(script(page), writer, self._manner.drip_s)
        return page.delivery is Delivery.WHOLE and not page.steps

    def _remember(self, request: Request) -> None:
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()

    def _page(self, request: Request) -> Page:
        page = self._site.find(request.host, request.path)
        filled = tuple((name, self.fill(value)) for name, value in page.headers)
        page = replace(page, headers=filled)
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
    return Request(host, path, headers.get("user-agent", ""), time.monotonic(), headers)
