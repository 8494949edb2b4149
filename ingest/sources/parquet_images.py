"""Parquet files with image bytes, as Hugging Face writes them: one candidate a row.

When planning, no image is read: a candidate names its row group, its row in it, and the column.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.sources.candidates import in_batches, stored_candidate
from ingest.sources.parquet import group_stretches, opened_parquet, read_values
from ingest.sources.piece import Piece
from ingest.sources.row import find_column
from schemas.candidate import Candidate, Carrier
from schemas.options import PlanOptions
from schemas.outcome import Outcome

KIND = "images"
_BINARY = (pa.binary(), pa.large_binary(), pa.binary_view())
# Of several columns of bytes the first of these is meant, else the first of all.
_USUAL_NAMES = ("image", "img", "jpg", "jpeg", "png", "webp", "image_bytes", "bytes", "content")


def image_column(schema: pa.Schema, wanted: str = "") -> str | None:
    """The path of the column of images, such as `jpg` or `image.bytes`; None: there is none.

    wanted: name of that column; empty: by its type, bytes or a struct with a field `bytes`.
    """
    paths = {field.name: path for field in schema if (path := _bytes_path(field)) is not None}
    if wanted:
        return paths.get(wanted)
    usual = [name for name in _USUAL_NAMES if name in paths]
    return paths[(usual or list(paths))[0]] if paths else None


def other_columns(schema: pa.Schema) -> list[str]:
    """The paths of all columns but those of bytes, which would be images in text."""
    paths = []
    for field in schema:
        if pa.types.is_struct(field.type):
            paths += [f"{field.name}.{one.name}" for one in field.type if one.type not in _BINARY]
        elif field.type not in _BINARY:
            paths.append(field.name)
    return paths


def split_images(uri: str, options: PlanOptions) -> Iterator[Piece]:
    """The pieces of a file, by row groups; raises SetupError if it has no images."""
    with opened_parquet(uri) as file:
        table = pq.ParquetFile(file)
        _require_images(table, uri, options)
        for begin, end, first_row in group_stretches(table.metadata):
            yield Piece(uri, KIND, begin, end, first_row)


def read_images(piece: Piece, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The rows of a piece, without their images."""
    with opened_parquet(piece.uri) as file:
        table = pq.ParquetFile(file)
        column = _require_images(table, piece.uri, options)
        rows = read_stored(table, column, piece.begin, piece.end)
        yield from in_batches(
            _candidate(piece.uri, piece.first_row + number, values, problem, place, options)
            for number, (values, problem, place) in enumerate(rows)
        )


def count_images(piece: Piece, options: PlanOptions) -> int:
    """The number of rows of a piece, from the footer."""
    with opened_parquet(piece.uri) as file:
        metadata = pq.ParquetFile(file).metadata
        return sum(metadata.row_group(group).num_rows for group in range(piece.begin, piece.end))


def read_stored(
    table: pq.ParquetFile, column: str, begin: int, end: int
) -> Iterator[tuple[dict[str, Any], str | None, str]]:
    """(values, what is wrong with them, place of the image) of the rows of some row groups."""
    names = other_columns(table.schema_arrow)
    for group in range(begin, end):
        places = (
            f"{group}:{row}:{column}" for row in range(table.metadata.row_group(group).num_rows)
        )
        rows: Iterator[tuple[dict[str, Any], str | None]]
        rows = read_values(table, [group], names) if names else (({}, None) for _ in iter(int, 1))
        for place, (values, problem) in zip(places, rows, strict=False):
            yield values, problem, place


def read_cells(
    uri: str, group: int, column: str, wanted: set[int]
) -> Iterator[tuple[int, bytes | None]]:
    """(row, bytes) of the wanted rows of a row group, in their order; None for null.

    Memory holds a few images at a time, however large the row group is.
    """
    with storage.open_input(uri) as file:
        table = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        first = 0
        for batch in table.iter_batches(
            _CELLS, row_groups=[group], columns=[column], use_threads=False
        ):
            cells = batch.column(0)
            for name in column.split(".")[1:]:
                cells = cells.field(name)
            for row in range(first, first + len(cells)):
                if row in wanted:
                    yield row, cells[row - first].as_py()
            first += len(cells)


_CELLS, _BUFFER_BYTES = 32, 1 << 20


def _bytes_path(field: pa.Field) -> str | None:
    if field.type in _BINARY:
        return str(field.name)
    if pa.types.is_struct(field.type):
        index = field.type.get_field_index("bytes")
        if index >= 0 and field.type.field(index).type in _BINARY:
            return f"{field.name}.bytes"
    return None


def _require_images(table: pq.ParquetFile, uri: str, options: PlanOptions) -> str:
    column = image_column(table.schema_arrow, options.image_column)
    if column is None:
        expected = f"{options.image_column!r} of bytes" if options.image_column else "of bytes"
        found = ", ".join(f"{field.name}: {field.type}" for field in table.schema_arrow)
        raise SetupError(f"{uri}: expected a column {expected} (--image-column), got {found}"[:600])
    return column


def _candidate(
    uri: str,
    row: int,
    values: dict[str, Any],
    problem: str | None,
    place: str,
    options: PlanOptions,
) -> Candidate:
    name = find_column(values, options.url_column)
    named = values.get(name) if name else None
    url = named if isinstance(named, str) and named else f"{uri}#{row}"
    wrong = None if problem is None else (Outcome.MALFORMED_ROW, problem)
    return stored_candidate(uri, row, url, values, (Carrier.PARQUET, uri, place), wrong)
