"""Rows of parquet tables, as plain values that are the same on every machine."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.sources.piece import PIECE_BYTES
from ingest.sources.row import BATCH_ROWS, Row, distinct_names, require_column

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (times without a zone stay without)
# What pyarrow raises for a value that Python cannot hold; KeyError: no such time zone here.
_FOREIGN = (ValueError, OverflowError, KeyError, pa.ArrowException)


# A stretch of row groups; an end of -1 is that of the file.
Groups = tuple[int, int]
_WHOLE: Groups = (0, -1)


def split_parquet(file: IO[bytes], uri: str, url_column: str) -> Iterator[tuple[int, int, int]]:
    """(first row group, end, number of the first row) of stretches of a table that are large.

    Raises SetupError without a URL column.
    """
    table = pq.ParquetFile(file)
    require_column(table.schema_arrow.names, url_column, uri)
    return group_stretches(table.metadata)


def group_stretches(metadata: Any) -> Iterator[tuple[int, int, int]]:
    """(first row group, end, number of the first row) of stretches of some size; at least one."""
    begin = first_row = rows = size = 0
    for group in range(metadata.num_row_groups):
        rows += metadata.row_group(group).num_rows
        size += metadata.row_group(group).total_byte_size
        if size >= PIECE_BYTES:
            yield begin, group + 1, first_row
            begin, first_row, size = group + 1, rows, 0
    if begin < metadata.num_row_groups or not begin:
        yield begin, metadata.num_row_groups, first_row


def read_parquet(
    file: IO[bytes], uri: str, url_column: str, groups: Groups = _WHOLE
) -> Iterator[Row]:
    """The rows of a table, by row batches; raises SetupError without a URL column."""
    table = pq.ParquetFile(file)
    name = require_column(distinct_names(table.schema_arrow.names), url_column, uri)
    for values, problem in read_values(table, _range(table, groups)):
        yield values.pop(name, None), values, problem


def read_values(
    table: pq.ParquetFile, groups: Sequence[int], columns: Sequence[str] | None = None
) -> Iterator[tuple[dict[str, Any], str | None]]:
    """(values by column, what is wrong with them) of the rows of some row groups.

    columns: paths of columns; None: all of them.
    """
    for batch in table.iter_batches(
        BATCH_ROWS, row_groups=groups, columns=columns, use_threads=False
    ):
        names = distinct_names(batch.schema.names)
        try:
            cells_of = [_values(column) for column in batch.columns]
        except _FOREIGN:
            yield from (_row(batch, names, row) for row in range(batch.num_rows))
            continue
        for cells in zip(*cells_of, strict=True):
            yield dict(zip(names, cells, strict=True)), None


@contextmanager
def opened_parquet(uri: str) -> Iterator[IO[bytes]]:
    """A parquet file; what turns out to be wrong with it as SetupError."""
    try:
        with storage.open_input(uri) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise SetupError(f"{uri}: expected a whole parquet file, got {error}") from error


def count_parquet(file: IO[bytes], uri: str, url_column: str, groups: Groups = _WHOLE) -> int:
    """The number of rows, from the footer; raises SetupError without a URL column."""
    table = pq.ParquetFile(file)
    require_column(table.schema_arrow.names, url_column, uri)
    return sum(table.metadata.row_group(group).num_rows for group in _range(table, groups))


def read_parquet_urls(
    file: IO[bytes], uri: str, url_column: str, groups: Groups = _WHOLE
) -> Iterator[pa.Array]:
    """The URL column alone, as string arrays; a column of no strings gives nulls."""
    table = pq.ParquetFile(file)
    name = require_column(distinct_names(table.schema_arrow.names), url_column, uri)
    place = distinct_names(table.schema_arrow.names).index(name)
    column = table.schema_arrow.names[place]
    for batch in table.iter_batches(
        BATCH_ROWS, row_groups=_range(table, groups), columns=[column], use_threads=False
    ):
        yield _texts(batch.column(0))


def _range(table: pq.ParquetFile, groups: Groups) -> list[int]:
    begin, end = groups
    return list(range(begin, table.num_row_groups if end < 0 else end))


def _row(batch: pa.RecordBatch, names: list[str], row: int) -> tuple[dict[str, Any], str | None]:
    """One row of a batch that has a foreign value somewhere."""
    values: dict[str, Any] = {}
    problem = None
    for column_name, column in zip(names, batch.columns, strict=True):
        try:
            values[column_name] = _values(column.slice(row, 1))[0]
        except UnicodeDecodeError as error:
            problem = f"column {column_name!r}: expected UTF-8, got {error.reason}"
        except _FOREIGN as error:
            number = getattr(column[row], "value", None)
            if isinstance(number, int):
                values[column_name] = f"{number} {column.type}"
            else:
                problem = f"column {column_name!r}: expected a value of Python, got {error}"
    return values, problem


def _values(column: pa.Array) -> list[Any]:
    """The values of a column, times in UTC and ISO 8601.

    pyarrow alone would give other values where pandas or a time zone database is installed.
    """
    dtype = column.type
    if pa.types.is_timestamp(dtype) and dtype.unit == "ns":
        zone = UTC if dtype.tz else None
        return [_iso_text(number, zone) for number in column.cast(pa.int64()).to_pylist()]
    if pa.types.is_timestamp(dtype) and dtype.tz:
        return list(column.cast(pa.timestamp(dtype.unit, "UTC")).to_pylist())
    if dtype in (pa.duration("ns"), pa.time64("ns")):
        numbers = column.cast(pa.int64()).to_pylist()
        return [None if number is None else f"{number} {dtype}" for number in numbers]
    return list(column.to_pylist())


def _texts(column: pa.Array) -> pa.Array:
    """A column as strings, with signs of replacement for what is no UTF-8; nulls if it is none."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if column.type not in (pa.string(), pa.large_string(), pa.string_view()):
        return pa.nulls(len(column), pa.string())
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        values = column.cast(pa.binary()).to_pylist()
        texts = [None if one is None else one.decode("utf-8", "replace") for one in values]
        return pa.array(texts, pa.string())
    return column.cast(pa.string())


def _iso_text(time_ns: int | None, zone: Any) -> str | None:
    if time_ns is None:
        return None
    time_us, rest_ns = divmod(time_ns, 1000)
    moment = _EPOCH + timedelta(microseconds=time_us)
    text = f"{moment.isoformat(timespec='microseconds')}{rest_ns:03d}" if rest_ns else ""
    return (text or moment.isoformat()) + ("+00:00" if zone else "")
