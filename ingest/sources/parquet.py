"""Rows of parquet tables, as plain values that are the same on every machine."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.sources.row import BATCH_ROWS, Row, distinct_names, require_column

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (times without a zone stay without)
# What pyarrow raises for a value that Python cannot hold; KeyError: no such time zone here.
_FOREIGN = (ValueError, OverflowError, KeyError, pa.ArrowException)


def read_parquet(file: IO[bytes], uri: str, url_column: str) -> Iterator[Row]:
    """The rows of a table, by row batches; raises SetupError without a URL column."""
    table = pq.ParquetFile(file)
    names = distinct_names(table.schema_arrow.names)
    name = require_column(names, url_column, uri)
    for batch in table.iter_batches(BATCH_ROWS):
        try:
            columns = [_values(column) for column in batch.columns]
        except _FOREIGN:
            yield from (_row(batch, names, name, row) for row in range(batch.num_rows))
            continue
        for cells in zip(*columns, strict=True):
            values = dict(zip(names, cells, strict=True))
            yield values.pop(name), values, None


def count_parquet(file: IO[bytes], uri: str, url_column: str) -> int:
    """The number of rows, from the footer; raises SetupError without a URL column."""
    table = pq.ParquetFile(file)
    require_column(table.schema_arrow.names, url_column, uri)
    return int(table.metadata.num_rows)


def read_parquet_urls(file: IO[bytes], uri: str, url_column: str) -> Iterator[pa.Array]:
    """The URL column alone, as string arrays; a column of no strings gives nulls."""
    table = pq.ParquetFile(file)
    name = require_column(distinct_names(table.schema_arrow.names), url_column, uri)
    place = distinct_names(table.schema_arrow.names).index(name)
    column = table.schema_arrow.names[place]
    for batch in table.iter_batches(BATCH_ROWS, columns=[column], use_threads=False):
        yield _texts(batch.column(0))


def _row(batch: pa.RecordBatch, names: list[str], name: str, row: int) -> Row:
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
    return values.pop(name, None), values, problem


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
