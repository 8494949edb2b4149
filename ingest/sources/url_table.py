"""URL tables: parquet, csv, tsv, jsonl and txt, plain or compressed, streamed from any store.

Rows count from 0 over the data rows: a header is none, blank lines are none. A row that cannot be
used is a candidate with a problem, never a lost row and never a crash.
"""

import csv
import io
from collections.abc import Callable, Iterator
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError, UrlError
from ingest.fetch.url import canonical_url
from ingest.sampling import sample_id
from schemas.candidate import Candidate, Carrier
from schemas.outcome import Outcome

_BATCH_ROWS = 8192
_MAX_LINE_BYTES = 16 << 20
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_KINDS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "txt",
}

# A row: its URL, its other columns, and what is wrong with it, if anything.
_Row = tuple[Any, dict[str, Any], str | None]


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
    kind, compression = table_kind(uri)
    row = 0
    batch: list[Candidate] = []
    try:
        with storage.open_input(uri) as file:
            for values in _READERS[kind](_decompressed(file, compression), uri, url_column):
                batch.append(_candidate(uri, row, values))
                row += 1
                if len(batch) == _BATCH_ROWS:
                    yield batch
                    batch = []
    except (OSError, EOFError, pa.ArrowException) as error:
        raise SetupError(
            f"{uri}: expected a whole {kind} file, got {error} at row {row}"
        ) from error
    if batch:
        yield batch


def _candidate(uri: str, row: int, values: _Row) -> Candidate:
    url, columns, problem = values
    outcome, detail = None, problem
    if problem is not None:
        outcome = Outcome.MALFORMED_ROW
    elif not isinstance(url, str) or not url.strip():
        outcome, detail = Outcome.MALFORMED_ROW, f"expected a URL, got {url!r}"[:200]
    text = _clean(url) if isinstance(url, str) else ""
    if outcome is None:
        try:
            canonical_url(text)
        except UrlError as error:
            outcome, detail = error.outcome, error.detail
    return Candidate.model_construct(
        id=sample_id(uri, row, text),
        source=uri,
        row=row,
        url=text,
        carrier=Carrier.URL,
        columns=_to_json(columns) if columns else None,
        problem=outcome,
        problem_detail=None if detail is None else _clean(detail),
    )


def _clean(text: str) -> str:
    """Text that every parquet reader takes: no lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _to_json(columns: dict[str, Any]) -> str:
    return orjson.dumps(
        columns, default=_to_text, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    ).decode()


def _to_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _find_column(names: list[str], wanted: str, uri: str) -> str:
    """The name of the URL column, in any case; raises SetupError that names those there are."""
    if wanted in names:
        return wanted
    for name in names:
        if name.lower() == wanted.lower():
            return name
    raise SetupError(
        f"{uri}: expected a column {wanted!r} (--url-column), got {', '.join(names) or 'none'}"
    )


def _decompressed(file: IO[bytes], compression: str | None) -> IO[bytes]:
    if compression is None:
        return file
    stream: IO[bytes] = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression)
    return stream


def _read_parquet(file: IO[bytes], uri: str, url_column: str) -> Iterator[_Row]:
    table = pq.ParquetFile(file)
    name = _find_column(table.schema_arrow.names, url_column, uri)
    for batch in table.iter_batches(_BATCH_ROWS):
        for values in batch.to_pylist():
            url = values.pop(name)
            yield url, values, None


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines without their ends; one that is too long is cut, which then is a malformed row."""
    buffered = io.BufferedReader(_Raw(file), 1 << 20)
    while line := buffered.readline(_MAX_LINE_BYTES):
        if not line.endswith(b"\n") and len(line) == _MAX_LINE_BYTES:
            while rest := buffered.readline(_MAX_LINE_BYTES):
                if rest.endswith(b"\n"):
                    break
        yield line.rstrip(b"\r\n")


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


def _read_txt(file: IO[bytes], uri: str, url_column: str) -> Iterator[_Row]:
    for number, line in enumerate(_lines(file)):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 0 else line
        if not text.strip():
            continue
        try:
            yield text.decode(), {}, None
        except UnicodeDecodeError as error:
            yield text.decode(errors="replace"), {}, f"expected UTF-8, got {error.reason}"


def _read_jsonl(file: IO[bytes], uri: str, url_column: str) -> Iterator[_Row]:
    name: str | None = None
    for line in _lines(file):
        if not line.strip():
            continue
        try:
            values = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield None, {}, f"expected a JSON object, got {error}: {line[:100]!r}"
            continue
        if not isinstance(values, dict):
            yield None, {}, f"expected a JSON object, got {type(values).__name__}"
            continue
        if name is None:
            name = _find_column(list(values), url_column, uri)
        yield values.pop(name, None), values, None


def _read_delimited(file: IO[bytes], uri: str, url_column: str, delimiter: str) -> Iterator[_Row]:
    # Undecodable bytes come through as lone surrogates, and mark their row.
    text = io.TextIOWrapper(
        io.BufferedReader(_Raw(file), 1 << 20), "utf-8-sig", errors="surrogateescape", newline=""
    )
    rows = _csv_rows(text, delimiter)
    header = next(rows, [])
    if isinstance(header, str):
        raise SetupError(f"{uri}: expected a header, got {header}")
    name = _find_column(header, url_column, uri)
    for fields in rows:
        if isinstance(fields, str):
            yield None, {}, fields
            continue
        values: dict[str, Any] = dict(zip(header, fields, strict=False))
        url, problem = values.pop(name, None), None
        if len(fields) != len(header):
            problem = f"expected {len(header)} fields, got {len(fields)}"
        elif any(not _is_text(field) for field in fields):
            problem = "expected UTF-8, got other bytes"
        yield url, {key: _clean(value) for key, value in values.items()}, problem


def _csv_rows(text: IO[str], delimiter: str) -> Iterator[list[str] | str]:
    """The rows that are not blank; for one that cannot be parsed, what is wrong with it."""
    previous_limit = csv.field_size_limit(_MAX_LINE_BYTES)
    reader = csv.reader(text, delimiter=delimiter)
    try:
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield f"expected a row of fields, got {error}"
                continue
            if fields:
                yield fields
    finally:
        csv.field_size_limit(previous_limit)


def _is_text(field: str) -> bool:
    return field.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in field)


_READERS: dict[str, Callable[[IO[bytes], str, str], Iterator[_Row]]] = {
    "parquet": _read_parquet,
    "txt": _read_txt,
    "jsonl": _read_jsonl,
    "csv": lambda file, uri, column: _read_delimited(file, uri, column, ","),
    "tsv": lambda file, uri, column: _read_delimited(file, uri, column, "\t"),
}
