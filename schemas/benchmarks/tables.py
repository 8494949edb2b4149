"""Lists of images beside them: CSV, TSV, JSON, JSON lines, or text whose lines begin with a name.

Each becomes columns. A list names images in its own way: with folders that are not on disk or
without those that are, with or without extension; `NameIndex` finds an image's rows all the same.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

import orjson

from schemas.benchmarks.storage import LayoutError

# Columns that name an image, in small letters; the first that is there does.
NAME_COLUMNS = (
    "path",
    "file_path",
    "file_name",
    "filename",
    "file",
    "image",
    "img",
    "image_name",
    "name",
    "image_id",
    "imageid",
    "query_id",
    "id",
)
# Of a text list: the first word of each line, and what follows it.
FIRST, REST = "path", "rest"
_DELIMITERS = {".csv": ",", ".tsv": "\t"}

Columns = Mapping[str, Sequence[Any]]


def read_table(uri: str, content: bytes) -> dict[str, list[Any]]:
    """The columns of a list, by its extension; raises LayoutError if it is broken.

    JSON is a list of objects, or an object with one as `images`. A CSV file whose first line names
    no column of images, and any other text, has lines of words: the image's name and the rest.
    """
    suffix = PurePosixPath(uri).suffix.lower()
    if suffix == ".json":
        return _columns(_objects(uri, content))
    text = content.decode("utf-8-sig", "replace")
    if suffix == ".jsonl":
        lines = (line for line in text.splitlines() if line.strip())
        return _columns(_object(uri, line.encode()) for line in lines)
    if suffix in _DELIMITERS:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=_DELIMITERS[suffix])
        header = [name.strip() for name in next(rows, [])]
        if name_column(header):
            return _read_rows(uri, header, rows)
    return _read_lines(text)


def name_column(columns: Iterable[str]) -> str | None:
    """The column that names images; None if none does."""
    by_name = {name.lower(): name for name in columns}
    return next((by_name[name] for name in NAME_COLUMNS if name in by_name), None)


def image_names(uri: str, content: bytes) -> list[str]:
    """The names of the images that a list has; raises LayoutError."""
    table = read_table(uri, content)
    column = name_column(table)
    if column is None:
        raise LayoutError(
            f"{uri}: expected a list with one of {', '.join(NAME_COLUMNS)}, "
            f"got {', '.join(table) or 'nothing'}"
        )
    return [str(name).strip("/") for name in table[column]]


class NameIndex:
    """Finds the rows of an image in a list by the name that the list has for it."""

    def __init__(self, names: Iterable[Any]) -> None:
        self._rows: dict[str, list[int]] = {}
        for row, name in enumerate(names):
            self._rows.setdefault(str(PurePosixPath(str(name).lstrip("/"))), []).append(row)

    def find(self, path: str) -> tuple[str, list[int]] | None:
        """The list's name for an image and its rows there; None if the list has it not.

        The longest end of the path that is in the list is meant, before that without extension.
        """
        parts = path.split("/")
        for begin in range(len(parts)):
            end = "/".join(parts[begin:])
            for name in (end, end.rpartition(".")[0]):
                if name in self._rows:
                    return name, self._rows[name]
        return None

    def rows_of(self, uri: str, paths: Sequence[str]) -> list[list[int]]:
        """The rows of each image, none for those not in the list.

        Raises LayoutError if the list has one name for two images of different paths.
        """
        found: list[list[int]] = []
        owner: dict[str, str] = {}
        for path in paths:
            match = self.find(path)
            found.append(match[1] if match else [])
            if match and owner.setdefault(match[0], path) != path:
                raise LayoutError(
                    f"{uri}: expected a name for each image, got {match[0]!r} for both "
                    f"{owner[match[0]]} and {path}"
                )
        return found


def _objects(uri: str, content: bytes) -> list[Mapping[str, Any]]:
    found = _json(uri, content)
    images = found.get("images") if isinstance(found, dict) else found
    if not isinstance(images, list) or not all(isinstance(one, dict) for one in images):
        raise LayoutError(
            f"{uri}: expected a JSON list of objects, by itself or as `images`, "
            f"got {type(images).__name__}"
        )
    return images


def _object(uri: str, content: bytes) -> Mapping[str, Any]:
    found = _json(uri, content)
    if not isinstance(found, dict):
        raise LayoutError(f"{uri}: expected a JSON object a line, got {type(found).__name__}")
    return found


def _json(uri: str, content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise LayoutError(f"{uri}: expected JSON, got {error}") from error


def _columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    found = list(rows)
    names = dict.fromkeys(name for row in found for name in row)
    return {name: [row.get(name) for row in found] for name in names}


def _read_rows(uri: str, header: list[str], rows: Iterator[list[str]]) -> dict[str, list[Any]]:
    found = [row for row in rows if row]
    for row in found:
        if len(row) != len(header):
            raise LayoutError(
                f"{uri}: expected {len(header)} columns as in the first line, got {len(row)}: "
                f"{', '.join(row)}"
            )
    return {name: [row[place] for row in found] for place, name in enumerate(header)}


def _read_lines(text: str) -> dict[str, list[Any]]:
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    return {
        FIRST: [line[0] for line in lines],
        REST: [line[1].strip() if len(line) > 1 else "" for line in lines],
    }
