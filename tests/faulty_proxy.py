"""A reverse proxy on loopback that fails as object stores and networks do, from a seed."""

import http.client
import json
import random
import re
import socket
import struct
import threading
from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, urlsplit

UPLOADS = ("POST", "PUT")
ANY = re.compile("")
# The emulators answer one request at a time and let few wait.
NUM_UPSTREAM = 4
SLOW_S = 0.03
_HOP_BY_HOP = {"connection", "expect", "keep-alive", "transfer-encoding", "date", "server"}


class Fault(StrEnum):
    UNAVAILABLE = "503"
    THROTTLED = "429 with Retry-After"
    RESET_BEFORE = "reset before the request is forwarded"
    LOST_ACKNOWLEDGEMENT = "reset after the request was forwarded"
    SLOW = "a slow answer"
    TRUNCATED = "half an answer"
    FORBIDDEN = "403"
    FLIPPED = "a byte of the request is flipped"


PASSING = tuple(fault for fault in Fault if fault not in (Fault.FORBIDDEN, Fault.FLIPPED))


@dataclass(frozen=True)
class Seen:
    """A request that arrived, and what was done to it."""

    method: str
    target: str
    headers: dict
    fault: Fault | None


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list
    body: bytes


class FaultyProxy:
    """A context that serves on `port`; forwards to `upstream` (a port of 127.0.0.1)."""

    def __init__(self, upstream, seed=0):
        self.upstream = upstream
        self.injected = Counter()
        self.seen = []
        self._random = random.Random(seed)
        self._rate, self._kinds = 0.0, PASSING
        self._forced = deque()
        self._lock = threading.Lock()
        self.conditional = threading.Lock()
        self.slots = threading.Semaphore(NUM_UPSTREAM)
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"proxy": self}))
        self.port = self._server.server_address[1]

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def calm(self):
        """No faults from now on; forget what was seen."""
        with self._lock:
            self._rate, self._kinds = 0.0, PASSING
            self._forced.clear()
            self.injected.clear()
            self.seen.clear()

    def inject(self, rate, kinds=PASSING, seed=0):
        """Fail each request with this probability."""
        self._random = random.Random(seed)
        self._rate, self._kinds = rate, tuple(kinds)

    def once(self, fault, methods=UPLOADS, pattern=ANY):
        """Fail the next request of one of these methods whose target has this pattern."""
        self._forced.append((fault, methods, pattern))

    def draw(self, method, target, headers):
        with self._lock:
            fault, forced = None, self._forced[0] if self._forced else None
            if forced and method in forced[1] and forced[2].search(target):
                fault = self._forced.popleft()[0]
            elif self._random.random() < self._rate:
                fault = self._random.choice(self._kinds)
            if fault:
                self.injected[fault] += 1
            self.seen.append(Seen(method, target, headers, fault))
            return fault


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def shutdown_request(self, request):
        # Not `shutdown` first: a socket that lingers for no time is reset by `close`.
        request.close()

    def handle_error(self, request, client_address):
        """A client that went away is none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultyProxy

    def log_message(self, *_):
        pass

    def handle_request(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.draw(self.command, self.path, dict(self.headers))
        if fault is Fault.UNAVAILABLE:
            self.answer(Answer(503, [], b"service unavailable"))
        elif fault is Fault.THROTTLED:
            self.answer(Answer(429, [("Retry-After", "1")], b"slow down"))
        elif fault is Fault.FORBIDDEN:
            self.answer(Answer(403, [], b"<Error><Code>AccessDenied</Code></Error>"))
        elif fault is Fault.RESET_BEFORE:
            self.reset()
        else:
            if fault is Fault.FLIPPED:
                body = flipped(body)
            elif fault is Fault.SLOW:
                threading.Event().wait(SLOW_S)
            self.finish_forwarded(self.forward(body), fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = handle_request  # noqa: N815  http.server's

    def finish_forwarded(self, answer, fault):
        if fault is Fault.LOST_ACKNOWLEDGEMENT:
            self.reset()
        elif fault is Fault.TRUNCATED:
            self.answer(answer, len(answer.body) // 2)
            self.reset()
        else:
            self.answer(answer)

    def forward(self, body):
        if "ifGenerationMatch=0" in self.path:
            # The emulator of GCS ignores this condition; so it is kept here.
            with self.proxy.conditional:
                if self.ask("GET", object_target(self.path, body), b"").status == 200:
                    error = {"error": {"code": 412, "message": "conditionNotMet"}}
                    return Answer(412, [], json.dumps(error).encode())
                return self.ask(self.command, self.path, body)
        if self.headers.get("If-None-Match"):
            # moto looks, then writes: not in one step.
            with self.proxy.conditional:
                return self.ask(self.command, self.path, body)
        return self.ask(self.command, self.path, body)

    def ask(self, method, target, body):
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        headers["Content-Length"] = str(len(body))
        with self.proxy.slots:
            upstream = http.client.HTTPConnection("127.0.0.1", self.proxy.upstream, timeout=30)
            try:
                # The Host header stays: the URLs that the emulator hands out lead here.
                upstream.request(method, target, body, headers)
                got = upstream.getresponse()
                return Answer(got.status, got.getheaders(), got.read())
            except (http.client.HTTPException, OSError) as error:
                return Answer(502, [], repr(error).encode())
            finally:
                upstream.close()

    def answer(self, answer, num_bytes=None):
        self.send_response(answer.status)
        for name, value in answer.headers:
            if name.lower() not in _HOP_BY_HOP | {"content-length"}:
                self.send_header(name, value)
        lengths = [value for name, value in answer.headers if name.lower() == "content-length"]
        if self.command != "HEAD" or not lengths:
            lengths = [str(len(answer.body))]
        self.send_header("Content-Length", lengths[0])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[:num_bytes])

    def reset(self):
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True


def flipped(body):
    """The body with one bit changed in its middle."""
    changed = bytearray(body)
    if changed:
        changed[len(changed) // 2] ^= 1
    return bytes(changed)


def object_target(target, body):
    """The metadata URL of the object that an upload to GCS creates."""
    metadata = body.partition(b"\r\n\r\n")[2].partition(b"\r\n--")[0]
    bucket = urlsplit(target).path.split("/b/")[1].split("/")[0]
    return f"/storage/v1/b/{bucket}/o/{quote(json.loads(metadata)['name'], safe='')}"
