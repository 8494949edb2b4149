"""The records of a WARC file by stretches of its bytes, each one exactly where it begins.

In a `.gz` archive each record is a gzip member (WARC 1.1, annex D). A record begins wherever a
member inflates to `WARC/1.`; that asks nothing of what lies before, so that all ways to split a
file give the same records. A plain archive has one after each blank line before `WARC/1.`. Archives
stored inside a record without compression are therefore read as well.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from typing import IO, NamedTuple

import imagecodecs

from ingest import storage
from ingest.errors import SetupError

MAX_RECORD_BYTES = 256 << 20
_READ_BYTES = 1 << 20
_MAGIC = b"\x1f\x8b\x08"
_VERSION = b"WARC/1."
_BREAK = b"\r\n\r\n"
# The smallest gzip member: header, an empty block, trailer.
_MEMBER_BYTES = 20
# More than deflate can: what claims more is broken, and no memory is taken for it.
_MAX_RATIO = 1100
# A member shows its first bytes within so many compressed ones.
_PEEK_BYTES = 1 << 12
_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength[ \t]*+:[ \t]*+([0-9]{1,18}+)[ \t]*+\r\n")


class Record(NamedTuple):
    """A record: where it lies in the file, as stored, and its bytes, header and block."""

    offset: int
    length: int
    content: bytes


class ArchiveProblem(NamedTuple):
    """A stretch from `record_offset` on that is no whole record, and what is wrong with it."""

    record_offset: int
    detail: str


def read_records(uri: str, begin: int, end: int) -> Iterator[Record | ArchiveProblem]:
    """The records whose first byte lies in [begin, end), in order; a problem for a broken one.

    Bytes after a record that begin no other are a problem too. Raises SetupError if the file is
    no archive.
    """
    head = storage.read_range(uri, 0, len(_VERSION))
    is_named = bool(head) and uri.endswith((".gz", ".warc"))
    if not head.startswith((_MAGIC, _VERSION)) and not is_named:
        raise SetupError(f"{uri}: expected a WARC file, plain or gzip, got {head!r} at its begin")
    is_plain = head.startswith(b"WARC") or not (head.startswith(_MAGIC) or uri.endswith(".gz"))
    with storage.open_input(uri) as file:
        window = _Window(file, max(0, begin - len(_BREAK)) if is_plain else begin)
        yield from _walk(window, begin, end, _PLAIN if is_plain else _PACKED)


def split_record(content: bytes) -> tuple[bytes, bytes]:
    """Header and block of a record; raises ValueError if its length is not the one declared."""
    at = content.find(_BREAK) + len(_BREAK)
    if at < len(_BREAK):
        raise ValueError(f"expected a blank line after the header, got {content[-20:]!r}")
    header = content[:at]
    match = _LENGTH.search(header) or _LENGTH.search(header.lower())
    if not match:
        raise ValueError(f"expected a Content-Length, got {header[:100]!r}")
    end = at + int(match[1])
    if len(content) < end:
        raise ValueError(f"expected {end - at} bytes of content, got {len(content) - at}")
    if content[end:] not in (_BREAK, b""):
        raise ValueError(f"expected the record to end, got {content[end : end + 20]!r}")
    return header, content[at:end]


class _Window:
    """The part of a file that is being looked at; positions are those of the file."""

    def __init__(self, file: IO[bytes], begin: int) -> None:
        self._file = file
        self._begin = begin
        self._content = b""
        self._is_whole = False
        file.seek(begin)

    def find(self, sign: bytes, position: int, limit: int) -> int:
        """Where `sign` next begins, at `position` or after, before `limit`; -1 if nowhere."""
        while True:
            stop = max(0, limit + len(sign) - 1 - self._begin)
            at = self._content.find(sign, position - self._begin, stop)
            if at >= 0:
                return self._begin + at
            seen = self._begin + len(self._content)
            if seen >= limit + len(sign) - 1 or not self._extend():
                return -1
            position = max(position, seen - len(sign) + 1)

    def peek(self, position: int, length: int) -> bytes:
        """So many bytes from `position` on; fewer at the end of the file."""
        at = position - self._begin
        while len(self._content) < at + length and self._extend():
            pass
        return self._content[at : at + length]

    def end(self) -> int:
        """The size of the file, where it has been read to its end, else of what has been read."""
        return self._begin + len(self._content)

    def drop(self, position: int) -> None:
        """Forget what lies before `position`."""
        if position - self._begin >= _READ_BYTES:
            self._content = self._content[position - self._begin :]
            self._begin = position

    def _extend(self) -> bool:
        more = b"" if self._is_whole else self._file.read(_READ_BYTES)
        self._is_whole = not more
        self._content += more
        return bool(more)


class _Format(NamedTuple):
    """How records are told: what may begin one, whether it does, and how to read it.

    read: the record, None if none begins there, and where to look for the next one.
    """

    sign: bytes
    begins: Callable[[_Window, int], bool]
    read: Callable[[_Window, int], tuple[Record | ArchiveProblem | None, int]]


def _walk(
    window: _Window, begin: int, end: int, form: _Format
) -> Iterator[Record | ArchiveProblem]:
    """Records and problems; after each record, and at the file's begin, a record must follow."""
    expected = 0 if begin == 0 else None
    position = window.find(form.sign, begin, end)
    while position >= 0:
        item, after = form.read(window, position)
        # Told before the window leaves the place where a record had to begin.
        if expected is not None and (item is not None or position >= expected):
            if item is None or position != expected:
                yield from _gap(window, expected, form)
            expected = None
        if item is not None:
            yield item
            expected = item.offset + item.length if isinstance(item, Record) else None
        window.drop(after - len(_BREAK))
        position = window.find(form.sign, after, end)
    if expected is not None:
        yield from _gap(window, expected, form)


def _gap(window: _Window, position: int, form: _Format) -> Iterator[ArchiveProblem]:
    if not window.peek(position, 1) or form.begins(window, position):
        return
    yield ArchiveProblem(position, f"expected a record, got {window.peek(position, 20)!r}")


def _begins_member(window: _Window, position: int) -> bool:
    try:
        head = zlib.decompressobj(31).decompress(window.peek(position, _PEEK_BYTES), len(_VERSION))
    except zlib.error:
        return False
    return head == _VERSION


def _read_member(window: _Window, begin: int) -> tuple[Record | ArchiveProblem | None, int]:
    """The record in the member at `begin`.

    libdeflate inflates in three quarters of zlib's time, but must be told where a member ends: at
    the next magic number, as a rule. Where that is not so, zlib finds the end.
    """
    limit = begin + MAX_RECORD_BYTES
    stop = window.find(_MAGIC, begin + _MEMBER_BYTES, limit)
    if stop < 0:
        stop = min(window.end(), limit)
    member = window.peek(begin, stop - begin)
    size = int.from_bytes(member[-4:], "little")
    if len(member) >= _MEMBER_BYTES and size <= min(MAX_RECORD_BYTES, _MAX_RATIO * len(member)):
        try:
            content = imagecodecs.gzip_decode(member, out=size)
        except (RuntimeError, ValueError):
            content = b""
        if size and len(content) == size and content.startswith(_VERSION):
            return Record(begin, len(member), bytes(content)), stop
    return (_read_slowly(window, begin) if _begins_member(window, begin) else None), begin + 1


def _read_slowly(window: _Window, begin: int) -> Record | ArchiveProblem:
    inflater, parts, num_bytes, position = zlib.decompressobj(31), [], 0, begin
    try:
        while not inflater.eof and (packed := window.peek(position, _READ_BYTES)):
            parts.append(inflater.decompress(packed, MAX_RECORD_BYTES - num_bytes + 1))
            num_bytes += len(parts[-1])
            position += len(packed)
            if num_bytes > MAX_RECORD_BYTES or position - begin > MAX_RECORD_BYTES:
                return ArchiveProblem(begin, f"expected at most {MAX_RECORD_BYTES} bytes, got more")
    except zlib.error as error:
        return ArchiveProblem(begin, f"expected a whole gzip member, got {error}")
    if not inflater.eof:
        return ArchiveProblem(begin, f"expected a whole gzip member, got {position - begin} bytes")
    return Record(begin, position - len(inflater.unused_data) - begin, b"".join(parts))


def _begins_plain(window: _Window, position: int) -> bool:
    before = window.peek(position - len(_BREAK), len(_BREAK)) if position else _BREAK
    return before == _BREAK and window.peek(position, len(_VERSION)) == _VERSION


def _read_plain(window: _Window, begin: int) -> tuple[Record | ArchiveProblem | None, int]:
    item = _read_plain_record(window, begin) if _begins_plain(window, begin) else None
    return item, begin + 1


def _read_plain_record(window: _Window, begin: int) -> Record | ArchiveProblem:
    """The record at `begin`, with the blank line that ends it."""
    end = window.find(_BREAK, begin, begin + _READ_BYTES)
    header = window.peek(begin, end + len(_BREAK) - begin) if end >= 0 else b""
    match = _LENGTH.search(header) or _LENGTH.search(header.lower())
    if not match:
        return ArchiveProblem(begin, f"expected a header with Content-Length, got {header[:100]!r}")
    length = len(header) + int(match[1]) + len(_BREAK)
    if length > MAX_RECORD_BYTES:
        return ArchiveProblem(begin, f"expected at most {MAX_RECORD_BYTES} bytes, got {length}")
    content = window.peek(begin, length)
    try:
        split_record(content)
    except ValueError as error:
        return ArchiveProblem(begin, str(error))
    return Record(begin, len(content), content)


_PACKED = _Format(_MAGIC, _begins_member, _read_member)
_PLAIN = _Format(_VERSION, _begins_plain, _read_plain)
