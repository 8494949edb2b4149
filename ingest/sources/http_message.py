"""An HTTP answer as archives hold it: status, headers, and the body with its encodings undone."""

import io
from typing import NamedTuple

from fastwarc.stream_io import BrotliReader, ChunkedReader, GzipReader, WarcReader, ZstdReader
from fastwarc.warc import HeaderMap

from ingest.errors import FetchError
from schemas.outcome import Outcome


class Message(NamedTuple):
    """An answer; header names in lower case."""

    status: int
    headers: dict[str, list[str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        values = self.headers.get(name)
        return values[0] if values else None


def parse_message(block: bytes, max_bytes: int) -> Message:
    """The answer; raises FetchError if it is broken, or its body larger than `max_bytes`."""
    stream = io.BytesIO(block)
    found = HeaderMap()
    try:
        start = found.parse(stream)
        status = found.status_code
        headers: dict[str, list[str]] = {}
        for name, value in found.items_bytes():
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        body = _decoded(block[start:], headers, max_bytes)
    except (OSError, ValueError, RuntimeError) as error:
        raise FetchError(Outcome.UNREADABLE, f"expected an HTTP answer, got {error}") from error
    if status is None:
        raise FetchError(Outcome.UNREADABLE, f"expected an HTTP answer, got {block[:40]!r}")
    if len(body) > max_bytes:
        raise FetchError(Outcome.TOO_LARGE, f"expected at most {max_bytes} bytes, got more")
    return Message(status, headers, body)


def _decoded(body: bytes, headers: dict[str, list[str]], max_bytes: int) -> bytes:
    """The body without its encodings, cut after `max_bytes` and one."""
    names = _codings(headers, "transfer-encoding") + _codings(headers, "content-encoding")[::-1]
    if not names:
        return body
    reader: io.BytesIO | WarcReader = io.BytesIO(body)
    for name in names:
        reader = _reader(name, reader)
    content = bytearray()
    while len(content) <= max_bytes and (some := reader.read(max_bytes + 1 - len(content))):
        content += some
    return bytes(content)


def _codings(headers: dict[str, list[str]], name: str) -> list[str]:
    found = ",".join(headers.get(name, ())).lower().split(",")
    return [one.strip() for one in found if one.strip() not in ("", "identity", "none", "utf-8")]


def _reader(name: str, inner: io.BytesIO | WarcReader) -> WarcReader:
    if name == "chunked":
        return ChunkedReader(inner)
    if name in ("gzip", "x-gzip"):
        return GzipReader(inner)
    if name == "deflate":
        return GzipReader(inner, zlib=True)
    if name == "br":
        return BrotliReader(inner)
    if name == "zstd":
        return ZstdReader(inner)
    raise ValueError(f"an unknown encoding {name!r}")
