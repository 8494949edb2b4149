"""HTTP requests by libcurl in an asyncio event loop: one request, one answer, no policy.

libcurl's multi interface costs a third of aiohttp's CPU a request (0.04 against 0.14 ms, keep-alive
on loopback). Every socket is opened by our callback, which asks the address guard.
"""

import asyncio
import os
import selectors
import tempfile
from dataclasses import dataclass

import certifi
import pycurl

from ingest import storage
from ingest.fetch.address_guard import AddressGuard
from ingest.fetch.transfer import Answer, Transfer, failure
from ingest.fetch.url import host_and_port, origin_of
from ingest.spool import Spool
from schemas.options import FetchOptions

_RECEIVE_BUFFER_BYTES = 128 << 10
_MAX_IDLE_CONNECTIONS = 512
_EARLY_S = 0.001


@dataclass(frozen=True)
class Request:
    """One GET of a canonical URL, at addresses that were checked, within limits."""

    url: str
    addresses: tuple[str, ...]
    max_bytes: int
    timeout_s: float

    def pins(self) -> list[str]:
        """The addresses as libcurl takes them: just these, and only for this while."""
        host, port = host_and_port(origin_of(self.url))
        places = ",".join(f"[{one}]" if ":" in one else one for one in self.addresses)
        return [f"+{host}:{port}:{places}"]


class HttpClient:
    """Runs requests on the event loop that it was made in."""

    def __init__(self, options: FetchOptions, guard: AddressGuard) -> None:
        self._options, self._guard = options, guard
        self._loop = asyncio.get_event_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._due_s: float | None = None
        self._running: dict[pycurl.Curl, Transfer] = {}
        self._idle: list[pycurl.Curl] = []
        # libcurl wants a local file; this one is gone with the client.
        self._authorities = tempfile.NamedTemporaryFile(suffix=".pem")  # noqa: SIM115
        self._ca_file = self._local_ca_file(options.ca_file)
        # One selector of our own behind one reader of the loop: libcurl changes its mind about each
        # socket three times a request, and an entry here is cheaper than a reader there.
        self._selector = selectors.DefaultSelector()
        self._loop.add_reader(self._selector.fileno(), self._on_events)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)
        self._multi.setopt(pycurl.M_MAXCONNECTS, _MAX_IDLE_CONNECTIONS)

    async def get(self, request: Request, spool: Spool | None = None) -> Answer:
        """The answer to one GET; redirects are not followed.

        The body goes to `spool`; without one it stays in memory, cut at `max_bytes`. Raises
        FetchError: the deadline, the byte cap, the low-speed limit, a forbidden address, or
        whatever went wrong on the network.
        """
        transfer = Transfer(spool, request.max_bytes, self._guard, self._loop.create_future())
        handle = self._idle.pop() if self._idle else self._new_handle()
        handle.setopt(pycurl.URL, request.url)
        handle.setopt(pycurl.RESOLVE, request.pins())
        # Rather wait for a connection that may carry many requests (HTTP/2) than open another.
        handle.setopt(pycurl.PIPEWAIT, int(request.url.startswith("https:")))
        handle.setopt(pycurl.TIMEOUT_MS, max(1, int(request.timeout_s * 1000)))
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
        self._authorities.close()

    def _local_ca_file(self, uri: str) -> str:
        if "://" not in uri:
            return uri
        self._authorities.write(storage.read_bytes(uri))
        self._authorities.flush()
        return self._authorities.name

    def _new_handle(self) -> pycurl.Curl:
        handle, options = pycurl.Curl(), self._options
        for name, value in {
            pycurl.USERAGENT: options.user_agent,
            pycurl.HTTPHEADER: ["Accept: image/*,*/*;q=0.8"],
            pycurl.ACCEPT_ENCODING: "gzip, deflate, br",
            pycurl.PROXY: options.proxy,
            pycurl.PROTOCOLS: pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS,
            pycurl.NOSIGNAL: 1,
            pycurl.BUFFERSIZE: _RECEIVE_BUFFER_BYTES,
            pycurl.CONNECTTIMEOUT_MS: int(options.connect_timeout_s * 1000),
            pycurl.LOW_SPEED_LIMIT: options.low_speed_bytes_per_s,
            pycurl.LOW_SPEED_TIME: options.low_speed_s,
            # A company's own certificate authority is named the usual way.
            pycurl.CAINFO: self._ca_file or os.environ.get("SSL_CERT_FILE") or certifi.where(),
        }.items():
            handle.setopt(name, value)
        return handle

    def _release(self, handle: pycurl.Curl) -> Transfer:
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
        """Note when libcurl wants to be called; it says so anew with each request."""
        self._due_s = None if timeout_ms < 0 else self._loop.time() + timeout_ms / 1000
        # Never from inside this callback: libcurl must not be called back into.
        if self._due_s is not None and (self._timer is None or self._timer.when() > self._due_s):
            self._wake_at(self._due_s)

    def _wake_at(self, due_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due_s, self._on_timeout)

    def _on_timeout(self) -> None:
        self._timer = None
        if self._due_s is None:
            return
        if self._due_s > self._loop.time() + _EARLY_S:
            self._wake_at(self._due_s)
            return
        self._due_s = None
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
        connected = handle.getinfo(pycurl.CONNECT_TIME)
        transfer = self._release(handle)
        transfer.discard()
        # Of a connection that is used again libcurl tells no time of connecting.
        if code == pycurl.E_OPERATION_TIMEDOUT and transfer.opened and not connected:
            code = pycurl.E_COULDNT_CONNECT
        if transfer.done.done():
            return
        if transfer.enough():
            transfer.done.set_result(transfer.answer(address))
            return
        transfer.done.set_exception(failure(transfer, code, message))
