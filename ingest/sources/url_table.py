"""URL tables: parquet, csv, tsv, jsonl and txt, plain or compressed, streamed from any store.

Rows count from 0 over the data rows: a header is none, blank lines are none. A row that cannot be
used is a candidate with a problem, never a lost row and never a crash. Large parquet files are
split by row groups, plain jsonl and txt by bytes; csv is not: a quoted field may hold line ends.
"""

import io
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import IO, Any

import orjson
import pyarrow as pa

from ingest import storage
from ingest.errors import SetupError
from ingest.sources.candidates import in_batches, to_url, url_candidate
from ingest.sources.delimited import read_delimited
from ingest.sources.parquet import (
    count_parquet,
    opened_parquet,
    read_parquet,
    read_parquet_urls,
    split_parquet,
)
from ingest.sources.piece import PIECE_BYTES, UNCOUNTED, WHOLE, Piece, stretches
from ingest.sources.row import BATCH_ROWS, MAX_LINE_BYTES, Row, find_column, missing_column
from schemas.candidate import Candidate
from schemas.options import PlanOptions

KIND = "table"
# Small, so that an error in a compressed stream is told near the row where it lies.
_BUFFER_BYTES = 1 << 16
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_KINDS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "txt",
}
_SPLIT_BY_LINES = ("jsonl", "txt")


def table_kind(uri: str) -> tuple[str, str | None]:
    """Kind and compression of a table by its name; raises SetupError if it is of no known kind."""
    name, compression = uri.lower(), None
    for suffix, found in _COMPRESSIONS.items():
        if name.endswith(suffix):
            name, compression = name.removesuffix(suffix), found
    for suffix, kind in _KINDS.items():
        if name.endswith(suffix) and not (kind == "parquet" and compression):
            return kind, compression
    known = ", ".join(suffix[1:] for suffix in _KINDS)
    raise SetupError(
        f"--input: expected a folder or a file ending in {known}, plain or with .gz or .zst "
        f"(not parquet), got {uri}"
    )


def split_table(uri: str, options: PlanOptions) -> Iterator[Piece]:
    """The pieces of a table; raises SetupError if a parquet file has no such column."""
    kind, compression = table_kind(uri)
    if kind == "parquet":
        with opened_parquet(uri) as file:
            for begin, end, first_row in split_parquet(file, uri, options.url_column):
                yield Piece(uri, KIND, begin, end, first_row)
    elif kind in _SPLIT_BY_LINES and not compression:
        found = stretches(storage.size(uri), PIECE_BYTES)
        if len(found) == 1:
            yield Piece(uri, KIND)
        else:
            yield from (Piece(uri, KIND, begin, end, UNCOUNTED) for begin, end in found)
    else:
        yield Piece(uri, KIND)


def read_table(piece: Piece, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The candidates of a piece in row order, in batches.

    Raises SetupError if there is no such column, or if the file cannot be read to its end.
    """
    rows = enumerate(_read_rows(piece, options.url_column), start=piece.first_row)
    return in_batches(url_candidate(piece.uri, row, *values) for row, values in rows)


def count_table(piece: Piece, options: PlanOptions) -> int:
    """The number of rows of a piece; raises SetupError as `read_table` does."""
    if table_kind(piece.uri)[0] != "parquet":
        return sum(1 for _ in _read_rows(piece, options.url_column))
    with opened_parquet(piece.uri) as file:
        return count_parquet(file, piece.uri, options.url_column, _groups(piece))


def read_urls(piece: Piece, options: PlanOptions) -> Iterator[pa.Array]:
    """The URLs of a piece in row order, as string arrays; of parquet no other column is read."""
    if table_kind(piece.uri)[0] != "parquet":
        rows = _read_rows(piece, options.url_column)
        while batch := [to_url(values[0]) for values in islice(rows, BATCH_ROWS)]:
            yield pa.array(batch, pa.string())
        return
    with opened_parquet(piece.uri) as file:
        yield from read_parquet_urls(file, piece.uri, options.url_column, _groups(piece))


def _read_rows(piece: Piece, url_column: str) -> Iterator[Row]:
    uri = piece.uri
    kind, compression = table_kind(uri)
    if compression and storage.size(uri) == 0:
        raise SetupError(f"{uri}: expected a whole {kind} file, got 0 bytes at row 0")
    row = max(0, piece.first_row)
    try:
        with storage.open_input(uri) as file:
            if kind == "parquet":
                rows = read_parquet(file, uri, url_column, _groups(piece))
            else:
                stream = _buffered(file, compression, piece)
                rows = _READERS[kind](stream, uri, url_column)
            for values in rows:
                yield values
                row += 1
    except (OSError, EOFError, pa.ArrowException) as error:
        raise SetupError(
            f"{uri}: expected a whole {kind} file, got {error} at row {row}"
        ) from error


def _groups(piece: Piece) -> tuple[int, int]:
    return piece.begin, piece.end


class _Raw(io.RawIOBase):
    """Any readable stream as a raw one, so that `io` can buffer it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def _buffered(file: IO[bytes], compression: str | None, piece: Piece) -> IO[bytes]:
    """The decompressed bytes, with the fast `readline` that files of object stores lack."""
    stream = file
    if compression:
        stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression)
    if piece.end == WHOLE:
        return io.BufferedReader(_Raw(stream), _BUFFER_BYTES)
    return (_Later if piece.begin else _Stretch)(stream, piece.begin, piece.end)


class _Stretch(io.BufferedReader):
    """The lines that begin in [begin, end) of a stream, whole, however often they are cut."""

    def __init__(self, file: IO[bytes], begin: int, end: int) -> None:
        # A line begins after the end of the one before it.
        file.seek(max(0, begin - 1))
        super().__init__(_Raw(file), _BUFFER_BYTES)
        self._position, self._end = max(0, begin - 1), end
        self._inside = False
        while begin and not (line := self._next_bytes()).endswith(b"\n") and line:
            pass

    def readline(self, size: int | None = -1, /) -> bytes:
        if self._position >= self._end and not self._inside:
            return b""
        line = self._next_bytes(size)
        self._inside = not line.endswith(b"\n")
        return line

    def _next_bytes(self, size: int | None = MAX_LINE_BYTES) -> bytes:
        line = super().readline(size)
        self._position += len(line)
        return line


class _Later(_Stretch):
    """A stretch that does not begin where its file begins."""


def _lines(file: IO[bytes]) -> Iterator[bytes | None]:
    """Lines without their ends, nor the file's byte order mark; None for one that is too long."""
    mark = _BYTE_ORDER_MARK
    while line := file.readline(MAX_LINE_BYTES):
        whole = line.endswith(b"\n") or len(line) < MAX_LINE_BYTES
        while not whole:
            rest = file.readline(MAX_LINE_BYTES)
            if not rest or rest.endswith(b"\n"):
                break
        yield line.removeprefix(mark).rstrip(b"\r\n") if whole else None
        mark = b""


_TOO_LONG: Row = (None, {}, f"expected less than {MAX_LINE_BYTES} bytes in a line, got more")


def _read_txt(file: IO[bytes], uri: str, url_column: str) -> Iterator[Row]:
    for line in _lines(file):
        if line is None:
            yield _TOO_LONG
        elif line.strip():
            try:
                yield line.decode(), {}, None
            except UnicodeDecodeError as error:
                yield line.decode(errors="replace"), {}, f"expected UTF-8, got {error.reason}"


def _read_jsonl(file: IO[bytes], uri: str, url_column: str) -> Iterator[Row]:
    names: dict[str, None] = {}
    has_column = False
    for line in _lines(file):
        if line is None:
            yield _TOO_LONG
        elif line.strip():
            values = _json_object(line)
            if isinstance(values, str):
                yield None, {}, values
                continue
            name = find_column(values, url_column)
            if name is None and not has_column:
                names.update(dict.fromkeys(values))
            has_column = has_column or name is not None
            yield (values.pop(name) if name else None), values, None
    # The keys of an object may differ from line to line, so that only the end can tell; what begins
    # in the midst of a file cannot.
    if names and not has_column and not isinstance(file, _Later):
        raise missing_column(list(names)[:100], url_column, uri)


def _json_object(line: bytes) -> dict[str, Any] | str:
    """The object on a line, or what is wrong with it."""
    try:
        values = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"expected a JSON object, got {error}: {line[:100]!r}"
    if not isinstance(values, dict):
        return f"expected a JSON object, got {type(values).__name__}"
    return values


_READERS: dict[str, Callable[[IO[bytes], str, str], Iterator[Row]]] = {
    "txt": _read_txt,
    "jsonl": _read_jsonl,
    "csv": partial(read_delimited, delimiter=","),
    "tsv": partial(read_delimited, delimiter="\t"),
}
