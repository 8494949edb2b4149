"""Rows of csv and tsv tables.

A quote that is never closed would swallow all rows after it. So a row that breaks the rules of
RFC 4180 costs its first line only: that line is read alone, and reading goes on with the next.
"""

import csv
import io
import threading
from collections import deque
from collections.abc import Iterator
from typing import IO

from ingest.errors import SetupError
from ingest.sources.row import MAX_LINE_BYTES, Row, distinct_names, require_column


class _FieldLimit:
    """While a reader is open, a field may be as long as a line.

    The limit belongs to the process, not to a reader: the first reader sets it, the last one puts
    it back, so that readers in several threads do not cut each other's fields.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_open = self._previous = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._num_open == 0:
                self._previous = csv.field_size_limit(MAX_LINE_BYTES)
            self._num_open += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._num_open -= 1
            if self._num_open == 0:
                csv.field_size_limit(self._previous)


_field_limit = _FieldLimit()


class _Lines:
    """The lines of a text, of bounded length, of which a broken row gives back all but its first.

    `None` stands for a line that was too long; it is a row of its own.
    """

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._waiting: deque[str | None] = deque()
        self._row: list[str] = []
        self._row_chars = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._waiting.popleft() if self._waiting else self._read()
        if line is None:
            if self._row:
                self._waiting.appendleft(None)
            raise csv.Error(f"a line of more than {MAX_LINE_BYTES} characters")
        self._row.append(line)
        self._row_chars += len(line)
        if self._row_chars > MAX_LINE_BYTES:
            raise csv.Error(f"more than {MAX_LINE_BYTES} characters")
        return line

    def end_row(self) -> None:
        """Forget the lines of a row that was whole."""
        self._row.clear()
        self._row_chars = 0

    def break_row(self) -> str:
        """The first line of a broken row; the others come again."""
        first = self._row[0] if self._row else ""
        self._waiting.extendleft(reversed(self._row[1:]))
        self.end_row()
        return first

    def _read(self) -> str | None:
        line = self._text.readline(MAX_LINE_BYTES)
        if not line:
            raise StopIteration
        if len(line) < MAX_LINE_BYTES or line.endswith(("\n", "\r")):
            return line
        while rest := self._text.readline(MAX_LINE_BYTES):
            if rest.endswith(("\n", "\r")):
                break
        return None


def read_delimited(file: IO[bytes], uri: str, url_column: str, delimiter: str) -> Iterator[Row]:
    """The data rows of a table with a header; raises SetupError if the header is of no use."""
    # Undecodable bytes come through as lone surrogates, and mark their row.
    text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
    with _field_limit:
        rows = _csv_rows(_Lines(text), delimiter)
        header = next(rows, [])
        if isinstance(header, str):
            raise SetupError(f"{uri}: expected a header, got {header}")
        if not _is_utf8(header):
            raise SetupError(f"{uri}: expected a header in UTF-8, got {header[:10]!r}"[:300])
        names = distinct_names(header)
        name = require_column(names, url_column, uri)
        for fields in rows:
            if isinstance(fields, str):
                yield None, {}, fields
            else:
                yield _row(names, name, fields)


def _row(names: list[str], name: str, fields: list[str]) -> Row:
    problem = None
    if not _is_utf8(fields):
        fields = [field.encode("utf-8", "replace").decode() for field in fields]
        problem = "expected UTF-8, got other bytes"
    if len(fields) != len(names):
        problem = f"expected {len(names)} fields, got {len(fields)}"
    values = dict(zip(names, fields, strict=False))
    return values.pop(name, None), values, problem


def _csv_rows(lines: _Lines, delimiter: str) -> Iterator[list[str] | str]:
    """The rows that are not blank; for one that cannot be parsed, what is wrong with it."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            first = lines.break_row()
            alone = _parse_alone(first, delimiter)
            if not alone:
                yield f"expected a row of fields, got {error}: {first[:100]!r}"
                continue
            fields = alone
        else:
            lines.end_row()
        if fields:
            yield fields


def _parse_alone(line: str, delimiter: str) -> list[str]:
    """The fields of a line with stray quotes, as in `1,"so" said`; none if a quote stays open."""
    if len(line) >= MAX_LINE_BYTES:
        return []
    fields = next(csv.reader([line.rstrip("\r\n") + "\n"], delimiter=delimiter), [])
    # Only an open quote takes in the end of the line.
    return [] if any("\n" in field for field in fields) else fields


def _is_utf8(fields: list[str]) -> bool:
    try:
        "".join(fields).encode()
    except UnicodeEncodeError:
        return False
    return True
