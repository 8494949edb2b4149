"""One HTTP transfer of libcurl: collects headers and body, and names what went wrong."""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

import pycurl

from ingest.errors import FetchError
from ingest.fetch.address_guard import AddressGuard
from ingest.spool import Region, Spool
from schemas.outcome import Outcome

# Bodies beyond this many bytes go to the spool while they arrive, so that memory stays bounded.
_SPILL_BYTES = 256 << 10
# The body of an error page is read this far, to keep the connection usable.
_DRAIN_BYTES = 64 << 10
# Each chunk costs a microsecond, however small: beyond the first ones they must be worth it.
_FREE_CHUNKS, _CHUNK_BYTES = 20_000, 32
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
class Transfer:
    """One running request: collects its headers and its body."""

    spool: Spool | None
    max_bytes: int
    guard: AddressGuard
    done: "asyncio.Future[Answer]"
    status: int = 0
    header_lines: list[bytes] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    num_bytes: int = 0
    num_chunks: int = 0
    crumbled: bool = False
    reserved: int | None = None
    opened: bool = False
    refused: str | None = None
    too_large: bool = False

    def on_body(self, chunk: bytes) -> int:
        """The number of bytes taken; fewer than given aborts the transfer."""
        if not self.num_bytes:
            self.status = last_status(self.header_lines)
        keep = self.status in _BODY_STATUSES
        self.num_bytes += len(chunk)
        self.num_chunks += 1
        if self.num_chunks > _FREE_CHUNKS and self.num_bytes < _CHUNK_BYTES * self.num_chunks:
            self.crumbled = True
            return 0
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
        self.opened = True
        return _Descriptor(socket.socket(family, kind, protocol).detach())

    def answer(self, address: str) -> Answer:
        """The answer as far as it came."""
        self.status = last_status(self.header_lines)
        answer = Answer(self.status, parse_headers(self.header_lines), address)
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


def last_status(lines: Sequence[bytes]) -> int:
    """The status of the last answer among header lines (1xx come first); 0 if it has no valid one.

    Source: RFC 9110, section 15: three digits.
    """
    for line in reversed(lines):
        if line.startswith(b"HTTP/"):
            words = line.split(None, 2)
            valid = len(words) > 1 and len(words[1]) == 3 and words[1].isdigit()
            return int(words[1]) if valid else 0
    return 0


def parse_headers(lines: Sequence[bytes]) -> dict[str, list[str]]:
    """Headers by lower-case name of the last answer among header lines."""
    headers = dict[str, list[str]]()
    for line in b"".join(lines).decode("latin-1").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), []).append(value.strip())
        elif line.startswith("HTTP/"):
            headers = {}
    return headers


def failure(transfer: Transfer, code: int, message: str) -> FetchError:
    """The error of a transfer that libcurl ended with this code."""
    if transfer.too_large:
        detail = f"expected at most {transfer.max_bytes} bytes, got more"
        return FetchError(Outcome.TOO_LARGE, detail)
    if transfer.crumbled:
        detail = f"expected chunks of {_CHUNK_BYTES} bytes or more, on average, got less"
        return FetchError(Outcome.PROTOCOL, detail)
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
