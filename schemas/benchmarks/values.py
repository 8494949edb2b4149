"""From what is written beside an image to the value of a field: split, bins, words."""

import bisect
import math
from collections.abc import Sequence
from typing import Any

from schemas.benchmarks.field_rules import FieldRule
from schemas.benchmarks.storage import LayoutError


def is_missing(found: Any) -> bool:
    """Whether this is no value: null, an empty text or cell, or no number."""
    return found is None or found == "" or (isinstance(found, float) and math.isnan(found))


def value_of(rule: FieldRule, found: Any) -> Any:
    """The value that a rule makes of what was found, or a tuple if that is several.

    Raises LayoutError if there are bins, and something is neither a number nor one of the words.
    """
    if isinstance(found, list | tuple):
        return tuple(value_of(rule, one) for one in found)
    if rule.separator is not None and isinstance(found, str):
        parts = (part.strip() for part in found.split(rule.separator))
        return tuple(_single(rule, part) for part in parts if part)
    return _single(rule, found)


def number_of_labels(labels: Sequence[Any]) -> list[Any]:
    """The labels of a split; numbers if all of them are numbers, however they are written.

    Else one set would have class 7 of a parquet file and class `007` of a folder as two.
    """
    if all(_is_number(one) for label in labels for one in _several(label)):
        return [_as_number(label) for label in labels]
    return [_as_text(label) for label in labels]


def _single(rule: FieldRule, found: Any) -> Any:
    if rule.bins and str(found) not in rule.words:
        try:
            found = bisect.bisect_right(rule.bins, float(found))
        except (TypeError, ValueError) as error:
            raise LayoutError(f"expected a number for bins, got {found!r}") from error
    return rule.words.get(str(found), found)


def _several(label: Any) -> tuple[Any, ...]:
    return label if isinstance(label, tuple) else (label,)


def _is_number(one: Any) -> bool:
    if isinstance(one, str):
        return one.isascii() and one.isdecimal()
    return one is None or isinstance(one, int) or (isinstance(one, float) and one.is_integer())


def _as_number(label: Any) -> Any:
    if isinstance(label, tuple):
        return tuple(_as_number(one) for one in label)
    return None if label is None else int(label)


def _as_text(label: Any) -> Any:
    if isinstance(label, tuple):
        return tuple(_as_text(one) for one in label)
    return None if label is None else str(label)
