"""Record sets of a Croissant record, derived from the models whose rows the files hold."""

from typing import Any

import pyarrow as pa

from schemas.arrow import Record

Json = dict[str, Any]

_URLS = frozenset({"url", "final_url", "redirects"})
_IMAGES = frozenset({"preview"})


def record_set(name: str, description: str, fields: list[Json], key: tuple[str, ...]) -> Json:
    """A record set whose records are told apart by the fields `key`."""
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": description,
        "key": [{"@id": f"{name}/{one}"} for one in key],
        "field": fields,
    }


def fields_of(model: type[Record], name: str, source: Json) -> list[Json]:
    """The fields of a record set over parquet files of this model, with its own descriptions.

    source: the file object or file set. Columns that Croissant has no type for are left out.
    """
    fields = []
    for column in model.arrow_schema():
        description = model.model_fields[column.name].description
        place = {**source, "extract": {"column": column.name}}
        typed = _typed(f"{name}/{column.name}", column, place)
        if typed is not None:
            fields.append({**typed, "description": description})
    return fields


def left_out(model: type[Record]) -> list[str]:
    """The columns of a model that Croissant has no type for: plain bytes, and maps."""
    schema = model.arrow_schema()
    return [one.name for one in schema if _typed(one.name, one, {}) is None]


def image_fields(name: str, file_set: str) -> list[Json]:
    """Fields for the images in tar shards: the sample's id, from the file's name, and its pixels.

    name: of the record set; file_set: of the image files.
    """
    source = {"fileSet": {"@id": file_set}}
    return [
        {
            **_field(f"{name}/id", "sc:Text"),
            "description": "the sample's key, as in the ledger",
            "source": {
                **source,
                "extract": {"fileProperty": "filename"},
                "transform": {"regex": "^([0-9a-f]{32})\\..*$"},
            },
        },
        {
            **_field(f"{name}/image", "sc:ImageObject"),
            "description": "the image, as received",
            "source": {**source, "extract": {"fileProperty": "content"}},
        },
    ]


def _typed(path: str, column: pa.Field, place: Json) -> Json | None:
    dtype = column.type
    is_list = pa.types.is_list(dtype)
    value = dtype.value_type if is_list else dtype
    array: Json = {"isArray": True, "arrayShape": "-1"} if is_list else {}
    if pa.types.is_struct(value):
        # mlcroissant reads a column of structures through a JSON path for each member.
        members = [value.field(at) for at in range(value.num_fields)]
        parts = [_member(path, member, place) for member in members]
        return {"@type": "cr:Field", "@id": path, "name": column.name, **array, "subField": parts}
    data_type = _data_type(column.name, value)
    return None if data_type is None else {**_field(path, data_type), **array, "source": place}


def _member(path: str, member: pa.Field, place: Json) -> Json:
    data_type = _data_type(member.name, member.type)
    if data_type is None:
        raise TypeError(f"{path}/{member.name}: expected a simple type, got {member.type}")
    return {
        **_field(f"{path}/{member.name}", data_type),
        "source": {**place, "transform": {"jsonPath": f"$.{member.name}"}},
    }


def _data_type(name: str, dtype: pa.DataType) -> str | None:
    if name in _IMAGES:
        return "sc:ImageObject"
    if pa.types.is_string(dtype):
        return "sc:URL" if name in _URLS else "sc:Text"
    kinds = {
        "sc:Boolean": pa.types.is_boolean,
        "sc:Integer": pa.types.is_integer,
        "sc:Float": pa.types.is_floating,
        "sc:DateTime": pa.types.is_timestamp,
    }
    return next((word for word, matches in kinds.items() if matches(dtype)), None)


def _field(path: str, data_type: str) -> Json:
    return {
        "@type": "cr:Field",
        "@id": path,
        "name": path.rpartition("/")[2],
        "dataType": data_type,
    }
