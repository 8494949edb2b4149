"""HTTP requests by libcurl in an asyncio event loop: one request, one answer, no policy.

libcurl's multi interface with socket actions costs a third of aiohttp's CPU a request
(facts: benchmark README). Every socket is opened by our callback, which asks the address guard.
"""

import asyncio
import os
import selectors
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

import certifi
import pycurl

from ingest.errors import FetchError
from ingest.fetch.address_guard import AddressGuard
from ingest.inspect.spool import Region, Spool
from schemas.options import FetchOptions
from schemas.outcome import Outcome

# Bodies beyond this many bytes go to the spool while they arrive, so that memory stays bounded.
_SPILL_BYTES = 256 << 10
# The body of an error page is read this far, to keep the connection usable.
_DRAIN_BYTES = 64 << 10
_RECEIVE_BUFFER_BYTES = 128 << 10
_MAX_IDLE_CONNECTIONS = 512
_BODY_STATUSES = frozenset({200, 203})
_E_HTTP2_STREAM = 92  # libcurl's number; pycurl has no name for it.


@dataclass
class Answer:
    """What came back: status, headers by lower-case name, and the body, in a spool or here."""

    status: int
    headers: dict[str, list[str]]
    address: str
    body: Region | None = None
    content: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        values = self.headers.get(name)
        return values[0] if values else None


@dataclass
class _Transfer:
    """One running request: collects its headers and its body."""

    spool: Spool | None
    max_bytes: int
    guard: AddressGuard
    done: "asyncio.Future[Answer]"
    status: int = 0
    header_lines: list[bytes] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    num_bytes: int = 0
    reserved: int | None = None
    refused: str | None = None
    too_large: bool = False

    def on_body(self, chunk: bytes) -> int:
        """The number of bytes taken; fewer than given aborts the transfer."""
        if not self.num_bytes:
            self.status, _ = parse_headers(self.header_lines)
        keep = self.status in _BODY_STATUSES
        self.num_bytes += len(chunk)
        if self.num_bytes > (self.max_bytes if keep else _DRAIN_BYTES):
            self.too_large = True
            return 0
        if keep:
            self.body += chunk
            if self.spool and len(self.body) > _SPILL_BYTES:
                self._spill(self.spool)
        return len(chunk)

    def _spill(self, spool: Spool) -> None:
        if self.reserved is None:
            self.reserved = spool.reserve(self.max_bytes)
        spool.write_at(self.reserved + self.num_bytes - len(self.body), self.body)
        self.body.clear()

    def open_socket(self, purpose: int, address: tuple[int, int, int, tuple[str, int]]) -> object:
        """A socket for just the address that the guard has permitted, or a refusal."""
        family, kind, protocol, where = address
        if family not in (socket.AF_INET, socket.AF_INET6) or not self.guard.permits(where[0]):
            self.refused = str(where[0])
            return pycurl.SOCKET_BAD
        return _Descriptor(socket.socket(family, kind, protocol).detach())

    def answer(self, address: str) -> Answer:
        """The answer as far as it came."""
        self.status, headers = parse_headers(self.header_lines)
        answer = Answer(self.status, headers, address)
        if self.status not in _BODY_STATUSES:
            return answer
        if self.spool is None:
            answer.content = bytes(self.body)
        elif self.reserved is None:
            answer.body = self.spool.append(self.body)
        else:
            self._spill(self.spool)
            answer.body = Region(self.spool.index, self.reserved, self.num_bytes)
        return answer

    def discard(self) -> None:
        """Give back what the body took."""
        if self.spool and self.reserved is not None:
            self.spool.release(self.reserved)
            self.reserved = None

    def enough(self) -> bool:
        """Whether a transfer that was cut at its cap is an answer all the same."""
        return self.too_large and (self.spool is None or self.status not in _BODY_STATUSES)


class _Descriptor:
    """A socket's descriptor for pycurl, which takes a copy of its own and drops this object."""

    def __init__(self, number: int) -> None:
        self._number = number

    def fileno(self) -> int:
        return self._number

    def __del__(self) -> None:
        os.close(self._number)


class HttpClient:
    """Runs requests on the event loop that it was made in."""

    def __init__(self, options: FetchOptions, guard: AddressGuard) -> None:
        self._options, self._guard = options, guard
        self._loop = asyncio.get_event_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._running: dict[pycurl.Curl, _Transfer] = {}
        self._idle: list[pycurl.Curl] = []
        # One selector of our own behind one reader of the loop: libcurl changes its mind about each
        # socket three times a request, and asyncio's readers cost five times a selector's entry.
        self._selector = selectors.DefaultSelector()
        self._loop.add_reader(self._selector.fileno(), self._on_events)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, _MAX_IDLE_CONNECTIONS)

    async def get(self, url: str, max_bytes: int, spool: Spool | None = None) -> Answer:
        """The answer to one GET of a canonical URL; redirects are not followed.

        The body goes to `spool`; without one it stays in memory, cut at `max_bytes`. Raises
        FetchError: the deadline, the byte cap, the low-speed limit, a forbidden address, or
        whatever went wrong on the network.
        """
        transfer = _Transfer(spool, max_bytes, self._guard, self._loop.create_future())
        handle = self._idle.pop() if self._idle else self._new_handle()
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.HEADERFUNCTION, transfer.header_lines.append)
        handle.setopt(pycurl.WRITEFUNCTION, transfer.on_body)
        handle.setopt(pycurl.OPENSOCKETFUNCTION, transfer.open_socket)
        self._running[handle] = transfer
        self._multi.add_handle(handle)
        try:
            return await transfer.done
        finally:
            # Only when cancelled: otherwise the handle may serve another transfer by now.
            if self._running.get(handle) is transfer:
                self._release(handle)
                transfer.discard()

    def close(self) -> None:
        """Drop all connections; running requests are cancelled."""
        for handle, transfer in list(self._running.items()):
            transfer.done.cancel()
            self._release(handle)
        for handle in self._idle:
            handle.close()
        if self._timer:
            self._timer.cancel()
        self._loop.remove_reader(self._selector.fileno())
        self._multi.close()
        self._selector.close()

    def _new_handle(self) -> pycurl.Curl:
        handle, options = pycurl.Curl(), self._options
        for name, value in {
            pycurl.USERAGENT: options.user_agent,
            pycurl.HTTPHEADER: ["Accept: image/*,*/*;q=0.8"],
            pycurl.ACCEPT_ENCODING: "gzip, deflate, br",
            pycurl.PROXY: "",
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.NOSIGNAL: 1,
            pycurl.BUFFERSIZE: _RECEIVE_BUFFER_BYTES,
            pycurl.TIMEOUT_MS: int(options.timeout_s * 1000),
            pycurl.CONNECTTIMEOUT_MS: int(options.connect_timeout_s * 1000),
            pycurl.LOW_SPEED_LIMIT: options.low_speed_bytes_per_s,
            pycurl.LOW_SPEED_TIME: options.low_speed_s,
            # A company's own certificate authority is named the usual way.
            pycurl.CAINFO: os.environ.get("SSL_CERT_FILE") or certifi.where(),
        }.items():
            handle.setopt(name, value)
        return handle

    def _release(self, handle: pycurl.Curl) -> _Transfer:
        transfer = self._running.pop(handle)
        self._multi.remove_handle(handle)
        self._idle.append(handle)
        return transfer

    def _on_socket(self, event: int, descriptor: int, multi: object, data: object) -> None:
        # libcurl's IN and OUT are the bits of EVENT_READ and EVENT_WRITE.
        if event == pycurl.POLL_REMOVE:
            self._selector.unregister(descriptor)
        elif descriptor in self._selector.get_map():
            self._selector.modify(descriptor, event)
        else:
            self._selector.register(descriptor, event)

    def _on_events(self) -> None:
        for key, events in self._selector.select(0):
            self._multi.socket_action(key.fd, events)
        self._settle()

    def _on_timer(self, timeout_ms: int) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if timeout_ms >= 0:
            # Never from inside this callback: libcurl must not be called back into.
            self._timer = self._loop.call_later(timeout_ms / 1000, self._on_timeout)

    def _on_timeout(self) -> None:
        self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        self._settle()

    def _settle(self) -> None:
        """Hand out the answers of all transfers that ended."""
        while True:
            remaining, succeeded, failed = self._multi.info_read()
            for handle in succeeded:
                self._succeed(handle)
            for handle, code, message in failed:
                self._fail(handle, code, message)
            if not remaining:
                return

    def _succeed(self, handle: pycurl.Curl) -> None:
        address = handle.getinfo(pycurl.PRIMARY_IP)
        transfer = self._release(handle)
        if not transfer.done.done():
            transfer.done.set_result(transfer.answer(address))

    def _fail(self, handle: pycurl.Curl, code: int, message: str) -> None:
        address = handle.getinfo(pycurl.PRIMARY_IP)
        transfer = self._release(handle)
        transfer.discard()
        if transfer.done.done():
            return
        if transfer.enough():
            transfer.done.set_result(transfer.answer(address))
            return
        transfer.done.set_exception(_failure(transfer, code, message))


def parse_headers(lines: Sequence[bytes]) -> tuple[int, dict[str, list[str]]]:
    """Status and headers by lower-case name of the last answer among header lines (1xx come first).

    The status is 0, which no caller accepts, if there is none.
    """
    status, headers = 0, dict[str, list[str]]()
    for line in lines:
        if line.startswith(b"HTTP/"):
            words = line.split(None, 2)
            status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
            headers = {}
            continue
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), []).append(value.strip())
    return status, headers


def _failure(transfer: _Transfer, code: int, message: str) -> FetchError:
    if transfer.too_large:
        detail = f"expected at most {transfer.max_bytes} bytes, got more"
        return FetchError(Outcome.TOO_LARGE, detail)
    if code == pycurl.E_COULDNT_CONNECT and transfer.refused:
        detail = f"expected a public address, got {transfer.refused}"
        return FetchError(Outcome.FORBIDDEN_ADDRESS, detail)
    if code == pycurl.E_OPERATION_TIMEDOUT and "too slow" in message:
        return FetchError(Outcome.LOW_SPEED, message)
    if code == pycurl.E_RECV_ERROR and not transfer.header_lines:
        return FetchError(Outcome.CONNECT, message)
    return FetchError(_OUTCOMES.get(code, Outcome.PROTOCOL), message)


_OUTCOMES = {
    pycurl.E_URL_MALFORMAT: Outcome.INVALID_URL,
    pycurl.E_COULDNT_RESOLVE_HOST: Outcome.DNS,
    pycurl.E_COULDNT_CONNECT: Outcome.CONNECT,
    pycurl.E_OPERATION_TIMEDOUT: Outcome.TIMEOUT,
    pycurl.E_PARTIAL_FILE: Outcome.CONNECTION_LOST,
    pycurl.E_GOT_NOTHING: Outcome.CONNECTION_LOST,
    pycurl.E_SEND_ERROR: Outcome.CONNECTION_LOST,
    pycurl.E_RECV_ERROR: Outcome.CONNECTION_LOST,
    pycurl.E_HTTP2: Outcome.CONNECTION_LOST,
    _E_HTTP2_STREAM: Outcome.CONNECTION_LOST,
    **{
        getattr(pycurl, name): Outcome.TLS
        for name in (
            "E_SSL_CONNECT_ERROR",
            "E_PEER_FAILED_VERIFICATION",
            "E_SSL_CERTPROBLEM",
            "E_SSL_CIPHER",
            "E_SSL_CACERT_BADFILE",
            "E_SSL_ISSUER_ERROR",
            "E_SSL_INVALIDCERTSTATUS",
        )
    },
}
