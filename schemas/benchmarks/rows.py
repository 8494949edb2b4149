"""Tables whose rows are images: parquet files and Arrow files, read without decoding an image.

Arrow files are this project's shards (the IPC file format) or what Hugging Face's datasets library
saves (the stream format, which can be read at any place only where it can be mapped).
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.benchmarks.class_names import class_names
from schemas.benchmarks.image_column import image_column
from schemas.benchmarks.storage import LayoutError
from schemas.benchmarks.tables import name_column

ARROW_MAGIC = b"ARROW1"


@dataclass(frozen=True)
class Rows:
    """What stands beside the images of a table: N rows.

    inner: the path of each image, "" if it has none. columns: those that were wanted. others: the
    names of all columns but that of the images.
    """

    num_rows: int
    inner: list[str]
    columns: dict[str, list[Any]]
    others: list[str]


def read_rows(uri: str, file: IO[bytes], wanted: Collection[str], *, arrow: bool) -> Rows:
    """The rows of a parquet file, or of an Arrow file; wanted: columns, in small letters.

    Raises LayoutError if it is broken or has no column of images.
    """
    kind = "Arrow" if arrow else "parquet"
    try:
        found = _arrow_columns(uri, file, wanted) if arrow else _parquet(uri, file, wanted)
    except (OSError, pa.ArrowException) as error:
        raise LayoutError(f"{uri}: expected a whole {kind} file, got {error}") from error
    schema, num_rows, columns, paths = found
    columns = {one: class_names(schema, one, values) for one, values in columns.items()}
    texts = (one for one in columns if pa.types.is_string(schema.field(one).type))
    name = name_column(texts)
    if paths is None:
        paths = columns[name] if name else [""] * num_rows
    image = image_column(uri, schema)
    others = [one for one in schema.names if one != image]
    return Rows(num_rows, [str(path or "") for path in paths], columns, others)


def open_arrow(file: Any) -> Any:
    """Arrow's reader of a file, in either of its formats; raises pyarrow's exceptions."""
    head = file.read(len(ARROW_MAGIC))
    file.seek(0)
    return pa.ipc.open_file(file) if head == ARROW_MAGIC else pa.ipc.open_stream(file)


def arrow_batches(reader: Any) -> Iterator[Any]:
    """The record batches of either kind of reader, one at a time."""
    if hasattr(reader, "num_record_batches"):
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)
    else:
        yield from reader


_Columns = tuple[Any, int, dict[str, list[Any]], list[Any] | None]


def _parquet(uri: str, file: IO[bytes], wanted: Collection[str]) -> _Columns:
    with pq.ParquetFile(file) as table:
        schema = table.schema_arrow
        image, chosen, has_paths = _chosen(uri, schema, wanted)
        found = table.read(columns=[*chosen, f"{image}.path"] if has_paths else chosen)
        paths = [one and one["path"] for one in found[image].to_pylist()] if has_paths else None
        columns = {one: found[one].to_pylist() for one in chosen}
        return schema, table.metadata.num_rows, columns, paths


def _arrow_columns(uri: str, file: IO[bytes], wanted: Collection[str]) -> _Columns:
    reader = open_arrow(file)
    image, chosen, has_paths = _chosen(uri, reader.schema, wanted)
    columns: dict[str, list[Any]] = {one: [] for one in chosen}
    paths: list[Any] = []
    num_rows = 0
    for batch in arrow_batches(reader):
        num_rows += batch.num_rows
        for one, values in columns.items():
            values += batch.column(one).to_pylist()
        if has_paths:
            paths += batch.column(image).field("path").to_pylist()
    return reader.schema, num_rows, columns, paths if has_paths else None


def _chosen(uri: str, schema: Any, wanted: Collection[str]) -> tuple[str, list[str], bool]:
    """The column of images, those that are wanted beside it, and whether images have paths."""
    image = image_column(uri, schema)
    chosen = [one for one in schema.names if one != image and one.lower() in wanted]
    dtype = schema.field(image).type
    return image, chosen, pa.types.is_struct(dtype) and dtype.get_field_index("path") >= 0
