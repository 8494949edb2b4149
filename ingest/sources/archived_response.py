"""An archived answer: the HTTP message in a WARC record, and its body as a browser would get it."""

import io
import zlib
from dataclasses import dataclass

from fastwarc.stream_io import BrotliReader, ZstdReader

from ingest.errors import FetchError
from ingest.sources.archive_records import MAX_RECORD_BYTES, split_record
from schemas.outcome import Outcome

_CHUNK_LINE_BYTES = 256
_MAX_ENCODINGS = 5


@dataclass(frozen=True)
class ArchivedResponse:
    """What a record holds: status (200 for a `resource`), headers in their order, and the body."""

    url: str
    status: int
    headers: list[tuple[str, str]]
    warc_date: str
    body: bytes

    def header(self, name: str) -> str:
        """The first header of this name, in any case; empty if there is none."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), "")

    def decoded(self, max_bytes: int) -> bytes:
        """The body without transfer- and content-encodings.

        Encodings that the crawler has undone but left in the headers are told by the body itself.
        Raises FetchError: too_large beyond `max_bytes`, unreadable if an encoding is broken.
        """
        body, codings = self.body, []
        for name, value in self.headers:
            key = name.lower()
            if key == "transfer-encoding" and "chunked" in value.lower():
                body = _unchunked(body)
            elif key == "content-encoding":
                codings += [one.strip().lower() for one in value.split(",")]
        for coding in reversed(codings[:_MAX_ENCODINGS]):
            body = _decompressed(body, coding, max_bytes)
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body


def read_record(content: bytes, max_bytes: int) -> ArchivedResponse:
    """The answer in the bytes of one record, plain or gzip, with its body decoded.

    Raises FetchError: too_large if the body has more than `max_bytes`, unreadable if it is broken.
    """
    if content.startswith(b"\x1f\x8b"):
        # Headers are no part of the body: 1 MiB of them is more than any crawler stores.
        content = _inflated(content, 31, min(max_bytes + (1 << 20), MAX_RECORD_BYTES))
    answer = parse_record(content)
    body = answer.decoded(max_bytes)
    return ArchivedResponse(answer.url, answer.status, answer.headers, answer.warc_date, body)


def parse_record(content: bytes) -> ArchivedResponse:
    """The answer in a plain record, its body as stored; raises FetchError (unreadable)."""
    try:
        header, block = split_record(content)
    except ValueError as error:
        raise FetchError(Outcome.UNREADABLE, str(error)) from error
    fields = {name.lower(): value for name, value in _headers(header)}
    url = fields.get("warc-target-uri", "").strip("<>")
    date = fields.get("warc-date", "")
    if fields.get("warc-type", "").lower() == "resource":
        kind = [("Content-Type", fields["content-type"])] if "content-type" in fields else []
        return ArchivedResponse(url, 200, kind, date, block)
    end, length = block.find(b"\r\n\r\n"), 4
    if end < 0:
        end, length = block.find(b"\n\n"), 2
    first = block[: max(end, 0)].split(b"\n", 1)[0].split()
    if len(first) < 2 or not first[0].startswith(b"HTTP/") or not first[1].isdigit():
        raise FetchError(Outcome.UNREADABLE, f"expected an HTTP answer, got {block[:50]!r}")
    return ArchivedResponse(
        url, int(first[1][:9]), _headers(block[:end]), date, block[end + length :]
    )


def _headers(content: bytes) -> list[tuple[str, str]]:
    """The headers after the first line; a line that begins with white space goes on (obs-fold)."""
    found: list[tuple[str, str]] = []
    text = content.decode("utf-8", "replace")
    for line in text.split("\n")[1:]:
        name, colon, value = line.partition(":")
        if line[:1] in (" ", "\t") and found:
            found[-1] = found[-1][0], f"{found[-1][1]} {line.strip()}"
        elif colon:
            found.append((name.strip(), value.strip()))
    return found


def _unchunked(body: bytes) -> bytes:
    """The content of a chunked body; the body itself if it is not chunked any more.

    Raises FetchError (unreadable) if it begins with a chunk and breaks off later.
    """
    parts: list[bytes] = []
    position = 0
    while True:
        end = body.find(b"\n", position, position + _CHUNK_LINE_BYTES)
        size = _chunk_size(body[position:end]) if end >= 0 else None
        if size is None:
            if position == 0:
                return body
            raise FetchError(
                Outcome.UNREADABLE, f"expected a chunk, got {body[position : position + 20]!r}"
            )
        if size == 0:
            return b"".join(parts)
        parts.append(body[end + 1 : end + 1 + size])
        if len(parts[-1]) < size:
            raise FetchError(
                Outcome.UNREADABLE, f"expected a chunk of {size} bytes, got {len(parts[-1])}"
            )
        position = end + 1 + size
        position += 2 if body[position : position + 2] == b"\r\n" else 1


def _chunk_size(line: bytes) -> int | None:
    digits = line.partition(b";")[0].strip()
    if not digits or len(digits) > 16 or digits.strip(b"0123456789abcdefABCDEF"):
        return None
    return int(digits, 16)


def _decompressed(body: bytes, coding: str, max_bytes: int) -> bytes:
    if coding in ("gzip", "x-gzip"):
        return _inflated(body, 31, max_bytes) if body.startswith(b"\x1f\x8b") else body
    if coding == "deflate":
        is_wrapped = (
            len(body) > 1 and body[0] & 15 == 8 and int.from_bytes(body[:2], "big") % 31 == 0
        )
        return _inflated(body, 15 if is_wrapped else -15, max_bytes)
    if coding not in ("br", "zstd") or not body:
        return body
    reader = BrotliReader if coding == "br" else ZstdReader
    try:
        content = _read_at_most(reader(io.BytesIO(body)), max_bytes + 1)
    except OSError as error:
        raise FetchError(Outcome.UNREADABLE, f"expected {coding}, got {error}") from error
    if len(content) > max_bytes:
        raise _too_large(max_bytes)
    return content


def _read_at_most(stream: BrotliReader | ZstdReader, max_bytes: int) -> bytes:
    parts, missing = [], max_bytes
    while missing and (part := stream.read(min(missing, 1 << 16))):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _inflated(content: bytes, window_bits: int, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(window_bits)
    try:
        found = inflater.decompress(content, max_bytes + 1)
    except zlib.error as error:
        raise FetchError(Outcome.UNREADABLE, f"expected gzip or deflate, got {error}") from error
    if len(found) > max_bytes:
        raise _too_large(max_bytes)
    if not inflater.eof:
        raise FetchError(Outcome.UNREADABLE, f"expected a whole stream, got {len(content)} bytes")
    return found


def _too_large(max_bytes: int) -> FetchError:
    return FetchError(Outcome.TOO_LARGE, f"expected at most {max_bytes} bytes, got more")
