"""URL tables: parquet, csv, tsv, jsonl and txt, plain or compressed, streamed from any store.

Rows count from 0 over the data rows: a header is none, blank lines are none. A row that cannot be
used is a candidate with a problem, never a lost row and never a crash.
"""

import io
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import IO, Any

import orjson
import pyarrow as pa

from ingest import storage
from ingest.errors import SetupError, UrlError
from ingest.fetch.inline import check_url
from ingest.sampling import sample_id
from ingest.sources.delimited import read_delimited
from ingest.sources.parquet import count_parquet, read_parquet, read_parquet_urls
from ingest.sources.row import BATCH_ROWS, MAX_LINE_BYTES, Row, find_column, missing_column
from schemas.candidate import Candidate, Carrier
from schemas.outcome import Outcome

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


def read_table(uri: str, url_column: str) -> Iterator[list[Candidate]]:
    """The candidates of a table in row order, in batches.

    Raises SetupError if there is no such column, or if the file cannot be read to its end.
    """
    batch: list[Candidate] = []
    for row, values in enumerate(_read_rows(uri, url_column)):
        batch.append(_candidate(uri, row, values))
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def count_table(uri: str, url_column: str) -> int:
    """The number of rows of a table; raises SetupError as `read_table` does."""
    if table_kind(uri)[0] != "parquet":
        return sum(1 for _ in _read_rows(uri, url_column))
    try:
        with storage.open_input(uri) as file:
            return count_parquet(file, uri, url_column)
    except (OSError, pa.ArrowException) as error:
        raise SetupError(f"{uri}: expected a whole parquet file, got {error}") from error


def read_ids(uri: str, url_column: str) -> Iterator[str]:
    """The ids of the candidates that `read_table` gives, at half its cost."""
    for row, values in enumerate(_read_rows(uri, url_column)):
        yield sample_id(uri, row, _text(values[0]))


def read_urls(uri: str, url_column: str) -> Iterator[pa.Array]:
    """The URLs of a table in row order, as string arrays; of parquet no other column is read."""
    if table_kind(uri)[0] != "parquet":
        rows = _read_rows(uri, url_column)
        while batch := [_text(values[0]) for values in islice(rows, BATCH_ROWS)]:
            yield pa.array(batch, pa.string())
        return
    try:
        with storage.open_input(uri) as file:
            yield from read_parquet_urls(file, uri, url_column)
    except (OSError, pa.ArrowException) as error:
        raise SetupError(f"{uri}: expected a whole parquet file, got {error}") from error


def _read_rows(uri: str, url_column: str) -> Iterator[Row]:
    kind, compression = table_kind(uri)
    if compression and storage.size(uri) == 0:
        raise SetupError(f"{uri}: expected a whole {kind} file, got 0 bytes at row 0")
    row = 0
    try:
        with storage.open_input(uri) as file:
            stream = file if kind == "parquet" else _buffered(file, compression)
            for values in _READERS[kind](stream, uri, url_column):
                yield values
                row += 1
    except (OSError, EOFError, pa.ArrowException) as error:
        raise SetupError(
            f"{uri}: expected a whole {kind} file, got {error} at row {row}"
        ) from error


def _candidate(uri: str, row: int, values: Row) -> Candidate:
    url, columns, problem = values
    outcome, detail = None, problem
    text = _text(url)
    columns_json = None
    try:
        columns_json = _to_json(columns) if columns else None
    except TypeError as error:
        detail = problem = f"expected columns that JSON can hold, got {error}"
    if problem is not None:
        outcome = Outcome.MALFORMED_ROW
    elif not text.strip():
        outcome, detail = Outcome.MALFORMED_ROW, f"expected a URL, got {url!r}"[:200]
    else:
        try:
            check_url(text)
        except UrlError as error:
            outcome, detail = error.outcome, error.detail
    return Candidate.model_construct(
        id=sample_id(uri, row, text),
        source=uri,
        row=row,
        url=text,
        carrier=Carrier.URL,
        columns=columns_json,
        problem=outcome,
        problem_detail=None if detail is None else _clean(detail),
    )


def _text(url: Any) -> str:
    return _clean(url) if isinstance(url, str) else ""


def _clean(text: str) -> str:
    """Text that every parquet reader takes: no lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _to_json(columns: dict[str, Any]) -> str:
    return orjson.dumps(
        columns, default=_to_text, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    ).decode()


def _to_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


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


def _buffered(file: IO[bytes], compression: str | None) -> IO[bytes]:
    """The decompressed bytes, with the fast `readline` that files of object stores lack."""
    stream = file
    if compression:
        stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression)
    return io.BufferedReader(_Raw(stream), _BUFFER_BYTES)


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
    # The keys of an object may differ from line to line, so that only the end can tell.
    if names and not has_column:
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
    "parquet": read_parquet,
    "txt": _read_txt,
    "jsonl": _read_jsonl,
    "csv": partial(read_delimited, delimiter=","),
    "tsv": partial(read_delimited, delimiter="\t"),
}
