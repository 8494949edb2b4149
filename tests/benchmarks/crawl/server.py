"""A web of many hosts on loopback, some of them dead, mute or dripping; it counts what it is asked.

`python -m tests.benchmarks.crawl.server FOLDER --latency-s 0.1` serves the images of a folder under
every host name, prints its ports, and on SIGTERM the busiest second of each host, as JSON.

The first label of the host tells how it behaves: `mute` takes a request and never answers, `drip`
sends a byte a second, all else answers after the latency. Port `dead` lets nobody in: its queue of
connections is full, so that connecting takes as long as one waits.
"""

import asyncio
import json
import signal
import socket
import sys
import time
from argparse import ArgumentParser
from collections import defaultdict, deque
from pathlib import Path

WINDOW_S = 1.0
DRIP_S = 1.0


class Hosts:
    """How often each host was asked, and the most requests in any window of a second."""

    def __init__(self) -> None:
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)
        self.requests: defaultdict[str, int] = defaultdict(int)
        self.busiest: defaultdict[str, int] = defaultdict(int)

    def count(self, host: str, now_s: float) -> None:
        recent = self._recent[host]
        recent.append(now_s)
        while recent[0] <= now_s - WINDOW_S:
            recent.popleft()
        self.requests[host] += 1
        self.busiest[host] = max(self.busiest[host], len(recent))


class Conversation(asyncio.Protocol):
    """One connection: answers each request after the latency."""

    def __init__(self, images: dict[str, bytes], hosts: Hosts, latency_s: float) -> None:
        self._images, self._hosts, self._latency_s = images, hosts, latency_s
        self._loop = asyncio.get_running_loop()
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head, self._received = self._received[:end], self._received[end + 4 :]
            self._respond(head.decode("latin-1"))

    def _respond(self, head: str) -> None:
        path = head.split(" ", 2)[1]
        host = next(
            line[5:].strip() for line in head.split("\r\n") if line.lower().startswith("host:")
        )
        name = host.partition(":")[0]
        self._hosts.count(name, time.monotonic())
        if name.startswith("drip") and path != "/robots.txt":
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            self._drip()
        elif not name.startswith("mute"):
            self._loop.call_later(self._latency_s, self._send, path.rpartition("/")[2])

    def _send(self, name: str) -> None:
        if self._transport.is_closing():
            return
        body = self._images.get(name)
        status = b"404 Not Found" if body is None else b"200 OK"
        body = body or b""
        head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        self._transport.writelines([head, body])

    def _drip(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"\xff")
            self._loop.call_later(DRIP_S, self._drip)


def full_listener() -> tuple[socket.socket, list[socket.socket]]:
    """A listening socket whose queue is full, and the connections that fill it."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


async def serve(folder: Path, latency_s: float) -> None:
    """Serve until SIGTERM."""
    images = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    hosts, loop, stop = Hosts(), asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    server = await loop.create_server(
        lambda: Conversation(images, hosts, latency_s), sock=listener, backlog=4096
    )
    dead, fillers = full_listener()
    ports = {"port": listener.getsockname()[1], "dead": dead.getsockname()[1]}
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()
    sys.stdout.write(json.dumps({"requests": hosts.requests, "busiest": hosts.busiest}) + "\n")
    for one in (dead, *fillers):
        one.close()


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--latency-s", type=float, default=0.0)
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.folder, arguments.latency_s))
