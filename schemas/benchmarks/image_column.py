"""Which column of a parquet file holds images: bytes, or a struct of bytes and path."""

from typing import Any

import pyarrow as pa

from schemas.benchmarks.storage import LayoutError

_BYTES_COLUMNS = ("image", "img", "bytes", "image_bytes", "jpg", "jpeg", "png", "webp")


def image_column(uri: str, schema: pa.Schema) -> str:
    """The column that holds images: by its name, else the first struct with bytes.

    Raises LayoutError if there is none.
    """
    holders: list[str] = [field.name for field in schema if holds_bytes(field.type)]
    structs = [name for name in holders if pa.types.is_struct(schema.field(name).type)]
    for name in (*_BYTES_COLUMNS, *structs):
        if name in holders:
            return name
    expected = ", ".join(_BYTES_COLUMNS)
    found = ", ".join(f"{field.name}: {field.type}" for field in schema)
    raise LayoutError(f"{uri}: expected image bytes in {expected}, got {found}")


def holds_bytes(dtype: pa.DataType) -> bool:
    """Whether a column of this type holds bytes, by themselves or as `bytes` of a struct."""
    if pa.types.is_struct(dtype):
        place = dtype.get_field_index("bytes")
        return place >= 0 and holds_bytes(dtype.field(place).type)
    return bool(pa.types.is_binary(dtype) or pa.types.is_large_binary(dtype))


def cell_content(value: Any) -> tuple[bytes | None, str | None]:
    """Bytes and name of a cell; no bytes if it is null or empty."""
    if isinstance(value, dict):
        return value["bytes"] or None, value.get("path")
    return value or None, None
