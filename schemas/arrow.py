"""Records and their Arrow schemas from one definition; the only place that knows both.

A field is written `width_px: Pixels = Field(description="...")`, where `Pixels` is an annotated
type that carries its Arrow type. From it come the validated class, the column and its
documentation.
"""

import io
from collections.abc import Iterable, Mapping
from types import NoneType
from typing import Annotated, Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Text = Annotated[str, pa.string()]
Texts = Annotated[tuple[str, ...], pa.list_(pa.string())]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$"), pa.string()]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$"), pa.string()]
SampleId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$"), pa.string()]
Count = Annotated[int, Field(ge=0, lt=2**63), pa.int64()]
ShardNumber = Annotated[int, Field(ge=0, lt=2**32), pa.uint32()]
Small = Annotated[int, Field(ge=0, lt=2**16), pa.uint16()]
Pixels = Annotated[int, Field(ge=0, lt=2**32), pa.uint32()]
Share = Annotated[float, Field(ge=-1, le=1), pa.float32()]
Bytes = Annotated[bytes, pa.large_binary()]
Shares = Annotated[tuple[float, ...], pa.list_(pa.float32())]
Counts = Annotated[dict[str, int], pa.map_(pa.string(), pa.int64())]
_MOMENT = pa.timestamp("us", tz="UTC")
Timestamp = Annotated[int, Field(ge=0), _MOMENT]
Requests = Annotated[
    tuple[dict[str, Any], ...],
    pa.list_(pa.struct([pa.field("host", pa.string()), pa.field("at", _MOMENT)])),
]


class Record(BaseModel):
    """A row that this project writes; its Arrow schema is derived, never typed twice."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def arrow_schema(cls) -> pa.Schema:
        """The columns of a table of these records, in the order of the fields."""
        return pa.schema([_arrow_field(name, info) for name, info in cls.model_fields.items()])

    @classmethod
    def to_table(cls, records: "Iterable[Record]") -> pa.Table:
        """A table with one row for each record."""
        return cls.columns_to_table(
            {
                name: [getattr(record, name) for record in rows]
                for rows in [list(records)]
                for name in cls.model_fields
            }
        )

    @classmethod
    def columns_to_table(cls, columns: Mapping[str, list[Any]]) -> pa.Table:
        """A table from lists of plain values, one list a column: the way to write many rows."""
        schema = cls.arrow_schema()
        arrays = [pa.array(columns[field.name], type=field.type) for field in schema]
        return pa.Table.from_arrays(arrays, schema=schema)

    @classmethod
    def from_table(cls, table: pa.Table) -> "list[Any]":
        """The validated records of a table; raises pydantic.ValidationError on a foreign column."""
        # Arrow gives a map as a list of pairs; pydantic wants a dict.
        maps = [field.name for field in table.schema if pa.types.is_map(field.type)]
        records = []
        # Piece by piece: the plain values of a row take more memory than its record.
        for batch in table.to_batches(max_chunksize=1000):
            for row in batch.to_pylist():
                row.update({name: dict(row[name]) for name in maps if row[name] is not None})
                records.append(cls.model_validate(row))
        return records

    @classmethod
    def markdown(cls) -> str:
        """The documentation of the fields as a Markdown table."""
        lines = ["| column | type | meaning |", "|---|---|---|"]
        for field, info in zip(cls.arrow_schema(), cls.model_fields.values(), strict=True):
            dtype = str(field.type) + (", may be null" if field.nullable else "")
            lines.append(f"| `{field.name}` | {dtype} | {info.description} |")
        return "\n".join(lines)


def parquet_bytes(table: pa.Table) -> bytes:
    """The parquet file of a table, as all tables of a dataset are written."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_parquet_bytes(content: bytes) -> pa.Table:
    """The table of a parquet file, read by this thread alone.

    Arrow's own threads, asked by many of ours, have been seen to abort the exit of the interpreter.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
        return file.read(use_threads=False)
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(f"expected column names in UTF-8, got {error}") from error


def _arrow_field(name: str, info: FieldInfo) -> pa.Field:
    nullable = NoneType in get_args(info.annotation)
    metadata = list(info.metadata)
    for argument in get_args(info.annotation) if nullable else ():
        metadata.extend(getattr(argument, "__metadata__", ()))
    dtypes = [item for item in metadata if isinstance(item, pa.DataType)]
    if len(dtypes) != 1:
        raise TypeError(f"field {name!r}: expected one Arrow type in its annotation, got {dtypes}")
    return pa.field(name, dtypes[0], nullable=nullable)
