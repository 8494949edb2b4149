"""Hugging Face's numbers of classes, turned into their names."""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

_KEY = b"huggingface"
# Where classes are told by their places among sorted names, the numbers are such places.
_LABEL = "label"


def class_names(schema: pa.Schema, column: str, values: Sequence[Any]) -> list[Any]:
    """The values of a column, by name where the file says what its numbers stand for.

    A `label` whose names are not in order stays a number: ImageNet's classes are told by number
    elsewhere, in the order of WordNet's ids, which the names do not show.
    """
    names = _names(schema, column)
    if not names or (column == _LABEL and names != sorted(names)):
        return list(values)
    return [_named(value, names) for value in values]


def _named(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list | tuple):
        return [_named(one, names) for one in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def _names(schema: pa.Schema, column: str) -> list[str]:
    """The class names of a column, from the metadata that the datasets library writes."""
    told = (schema.metadata or {}).get(_KEY)
    if told is None:
        return []
    try:
        feature = json.loads(told)["info"]["features"][column]
        feature = feature.get("feature", feature) if isinstance(feature, dict) else feature
        found = feature["names"] if feature["_type"] == "ClassLabel" else []
    except (KeyError, TypeError, ValueError):
        return []
    return [str(name) for name in found]
