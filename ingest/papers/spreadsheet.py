"""CSV files that are safe to open in a spreadsheet program."""

import csv
import io
from collections.abc import Iterable, Sequence

_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def write_csv(header: Sequence[str], rows: Iterable[Sequence[str | int | float]]) -> bytes:
    """A CSV file (RFC 4180, UTF-8): a line of names, then the rows.

    A text that a spreadsheet would take for a formula, because it begins with = + - @, a tab or a
    carriage return, gets an apostrophe before it. Numbers are left as they are.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(header)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return buffer.getvalue().encode()


def _safe(cell: str | int | float) -> str | int | float:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_SIGNS) else cell
