"""What each reader of a table yields, and the names of its columns."""

from collections.abc import Iterable, Sequence
from typing import Any

from ingest.errors import SetupError

BATCH_ROWS = 8192
MAX_LINE_BYTES = 16 << 20

# A row: its URL, its other columns, and what is wrong with it, if anything.
Row = tuple[Any, dict[str, Any], str | None]


def find_column(names: Iterable[str], wanted: str) -> str | None:
    """The name of the URL column, as given or in another case; None if there is none."""
    found = list(names)
    if wanted in found:
        return wanted
    return next((name for name in found if name.lower() == wanted.lower()), None)


def require_column(names: Sequence[str], wanted: str, uri: str) -> str:
    """The name of the URL column; raises SetupError that names those there are."""
    name = find_column(names, wanted)
    if name is None:
        raise missing_column(names, wanted, uri)
    return name


def missing_column(names: Iterable[str], wanted: str, uri: str) -> SetupError:
    """The error that names the expected column and those there are."""
    found = ", ".join(names) or "none"
    return SetupError(f"{uri}: expected a column {wanted!r} (--url-column), got {found}")


def distinct_names(names: Iterable[str]) -> list[str]:
    """The names, repeated ones with a number (`c`, `c.2`), so that no column hides another."""
    distinct: dict[str, None] = {}
    for name in names:
        unique, number = name, 1
        while unique in distinct:
            number += 1
            unique = f"{name}.{number}"
        distinct[unique] = None
    return list(distinct)
