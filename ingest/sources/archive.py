"""WARC and WAT files by stretches of their bytes: each record belongs to the stretch it begins in.

In a `.gz` archive each record is a gzip member (WARC 1.1, annex D), so reading can begin anywhere.
A record that is broken costs itself: reading goes on with the next one.
"""

import io
import logging
import zlib
from collections.abc import Generator, Iterator
from typing import IO, NamedTuple

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from ingest import storage
from ingest.errors import FetchError, SetupError
from ingest.sources.piece import PIECE_BYTES, Piece, stretches
from schemas.outcome import Outcome

_MAGIC = b"\x1f\x8b\x08"
_VERSION = b"WARC/"
# A member must show its first bytes within so many compressed ones.
_PEEK_BYTES = 1 << 10
_SCAN_BYTES = 1 << 20

_log = logging.getLogger(__name__)


class Record(NamedTuple):
    """A record of an archive, read whole: where it lies in the file, and what it says.

    A broken one has no headers, and `problem` tells why.
    """

    offset: int
    length: int
    uri: str = ""
    date: str = ""
    kind: WarcRecordType = WarcRecordType.no_type
    block: bytes = b""
    problem: str | None = None


def split_archive(uri: str, kind: str) -> Iterator[Piece]:
    """The pieces of an archive; one that is not compressed is not split."""
    size = storage.size(uri)
    with storage.open_input(uri) as file:
        head = file.read(len(_MAGIC))
    if size and not head.startswith((_MAGIC, _VERSION[: len(_MAGIC)])):
        raise SetupError(f"{uri}: expected a WARC file, plain or gzip, got {head!r} at its begin")
    for begin, end in stretches(size, PIECE_BYTES) if head == _MAGIC else [(0, size)]:
        yield Piece(uri, kind, begin, end)


def read_records(uri: str, begin: int, end: int, wanted: WarcRecordType) -> Iterator[Record]:
    """The wanted records that begin in [begin, end), in their order; broken ones too."""
    with storage.open_input(uri) as file:
        archive = _Archive(file, storage.size(uri))
        position = archive.next_record(begin)
        while position < end:
            position = yield from archive.read_run(position, end, wanted)


def read_record(content: bytes) -> Record:
    """The record in these bytes; raises FetchError if there is no whole one."""
    try:
        for found in ArchiveIterator(io.BytesIO(content), parse_http=False):
            record = _read(found, 0)
            if record.problem is not None:
                raise FetchError(Outcome.UNREADABLE, record.problem)
            return record
    except (OSError, ValueError, RuntimeError) as error:
        raise FetchError(Outcome.UNREADABLE, f"expected a WARC record, got {error}") from error
    raise FetchError(Outcome.UNREADABLE, f"expected a WARC record, got {content[:20]!r}")


class _Archive:
    """An open archive; positions are those of its bytes as stored."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._size = file, size
        self._is_packed = file.read(len(_MAGIC)) == _MAGIC

    def read_run(
        self, start: int, end: int, wanted: WarcRecordType
    ) -> Generator[Record, None, int]:
        """Records from `start` up to `end` or to a broken one; returns where to go on."""
        last: Record | None = None
        at, is_read, problem = start, False, "no record"
        self._file.seek(start)
        try:
            for found in ArchiveIterator(self._file, parse_http=False, inplace=True):
                at, is_read = found.stream_pos, False
                if last is not None:
                    yield last._replace(length=at - last.offset)
                    last = None
                if at >= end:
                    return at
                if found.record_type & wanted:
                    last = _read(found, at)
                is_read = True
        except (OSError, ValueError, RuntimeError) as error:
            problem = str(error)
        # Where reading ended, well or not: FastWARC takes some broken records for the end.
        stop = self._end_of_record(at) if is_read else at
        if last is not None:
            yield last._replace(length=stop - last.offset)
        if stop >= min(end, self._size):
            return max(stop, end)
        resume = self.next_record(stop + 1)
        _log.warning("broken record at byte %d, going on at %d: %s", stop, resume, problem)
        yield Record(stop, resume - stop, problem=f"expected a whole record, got {problem}")
        return resume

    def next_record(self, begin: int) -> int:
        """Where the first record at or after `begin` starts; the file's size if there is none.

        An archive that is not packed tells only where it begins.
        """
        position = begin if self._is_packed or begin == 0 else self._size
        if position == 0:
            return 0
        while position < self._size:
            self._file.seek(position)
            window = self._file.read(_SCAN_BYTES + _PEEK_BYTES)
            at = window.find(_MAGIC)
            while 0 <= at < _SCAN_BYTES:
                if _is_record(window[at : at + _PEEK_BYTES]):
                    return position + at
                at = window.find(_MAGIC, at + 1)
            position += _SCAN_BYTES
        return self._size

    def _end_of_record(self, start: int) -> int:
        """Where the gzip member that begins at `start` ends."""
        if not self._is_packed:
            return self._size
        self._file.seek(start)
        member, position = zlib.decompressobj(31), start
        try:
            while not member.eof and (content := self._file.read(_SCAN_BYTES)):
                position += len(content)
                while content and not member.eof:
                    member.decompress(content, _SCAN_BYTES)
                    content = member.unconsumed_tail
        except zlib.error:
            return self._size
        return position - len(member.unused_data)


def _read(found: WarcRecord, offset: int) -> Record:
    block = found.reader.read()
    problem = None
    if len(block) < found.content_length:
        problem = f"expected {found.content_length} bytes of content, got {len(block)}"
    headers = found.headers
    uri, date = headers.get("WARC-Target-URI") or "", headers.get("WARC-Date") or ""
    return Record(offset, 0, uri.strip("<>"), date, found.record_type, block, problem)


def _is_record(head: bytes) -> bool:
    """Whether a gzip member that begins so holds a record."""
    try:
        return zlib.decompressobj(31).decompress(head, len(_VERSION)) == _VERSION
    except zlib.error:
        return False
