"""The places where the value of a field may stand, looked into in the order of `FieldRule`."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import orjson

from schemas.benchmarks.field_rules import FieldRule
from schemas.benchmarks.listing import Listing
from schemas.benchmarks.storage import Files, LayoutError
from schemas.benchmarks.tables import REST, NameIndex, name_column, read_table
from schemas.benchmarks.values import is_missing

_Table = tuple[str, Mapping[str, Sequence[Any]], NameIndex]


class RulePlaces:
    """All that is written about the examples of a split, N of them, of which rules pick."""

    def __init__(
        self,
        files: Files,
        folders: Sequence[str],
        listing: Listing,
        columns: Mapping[str, Sequence[Any]],
        images: Sequence[int],
        depth: int,
    ) -> None:
        """Over examples of these images of a listing.

        folders: of the benchmark and those that share its images, where lists may be. columns:
        beside the examples. depth: how many folders above an image are the split's own.
        """
        self._files, self._folders, self._listing = files, folders, listing
        self._columns, self._images, self._depth = columns, images, depth
        self._table = cache(self._read_table)

    def values(self, rule: FieldRule, *, skip_split_folders: bool) -> list[Any]:
        """What the first place that has it says of each example, None if none has.

        skip_split_folders: the folder that holds the split says nothing. Raises LayoutError.
        """
        found: list[Any] = [None] * len(self._images)
        ways: Iterator[Callable[[int], Any]] = self._ways(rule, skip_split_folders)
        open_places: Sequence[int] = range(len(found))
        for way in ways:
            for place in open_places:
                found[place] = way(place)
            open_places = [place for place in open_places if found[place] is None]
            if not open_places:
                break
        return found

    def _ways(self, rule: FieldRule, skip: bool) -> Iterator[Callable[[int], Any]]:
        """Each place of a rule, as a function of the number of an example."""
        for column in _present(rule.column, self._columns)[:1]:
            yield _cell(self._columns[column])
        if rule.by_order:
            yield self._by_order(rule.by_order)
        for name in rule.file:
            for folder in self._folders:
                table = self._table(self._files.join(folder, name))
                if table is not None:
                    yield self._in_table(table, rule)
        if rule.pattern is not None:
            yield self._in_path(re.compile(rule.pattern))
        if rule.folder is not None:
            yield self._folder(rule.folder, self._depth if skip and not self._listing.files else 0)

    def _by_order(self, name: str) -> Callable[[int], Any]:
        uris = [self._files.join(folder, name) for folder in self._folders]
        uri = next((uri for uri in uris if self._files.exists(uri)), None)
        if uri is None:
            return lambda _: None
        try:
            values = orjson.loads(self._files.read_bytes(uri))
        except orjson.JSONDecodeError as error:
            raise LayoutError(f"{uri}: expected a JSON list, got {error}") from error
        num_images = len(self._listing)
        num_values = len(values) if isinstance(values, list) else -1
        if num_values != num_images:
            got = type(values).__name__ if num_values < 0 else f"{num_values:,}"
            raise LayoutError(f"{uri}: expected a JSON list of {num_images:,} values, got {got}")
        if not all(self._listing.inner):
            raise LayoutError(f"{uri}: expected images with names, whose order it goes by")
        names = [PurePosixPath(path).name for path in self._listing.inner]
        rank = {
            image: place
            for place, image in enumerate(sorted(range(num_images), key=names.__getitem__))
        }
        return lambda place: values[rank[self._images[place]]]

    def _read_table(self, uri: str) -> _Table | None:
        if not self._files.exists(uri):
            return None
        table = read_table(uri, self._files.read_bytes(uri))
        column = name_column(table)
        if column is None:
            raise LayoutError(
                f"{uri}: expected a column that names images, got {', '.join(table) or 'nothing'}"
            )
        return uri, table, NameIndex(table[column])

    def _in_table(self, table: _Table, rule: FieldRule) -> Callable[[int], Any]:
        uri, columns, index = table
        listing = self._listing
        rows = index.rows_of(uri, [listing.path(image) for image in range(len(listing))])
        chosen = (*rule.column, REST) if uri.endswith(".txt") else rule.column
        column = next(iter(_present(chosen, columns)), None)

        def find(place: int) -> Any:
            found = rows[self._images[place]]
            if not found:
                return None
            if rule.list_name:
                return PurePosixPath(uri).stem
            value = columns[column][found[0]] if column else None
            return None if is_missing(value) else _word(value, rule.word)

        return find

    def _in_path(self, pattern: re.Pattern[str]) -> Callable[[int], Any]:
        def find(place: int) -> Any:
            match = pattern.search(self._listing.text(self._images[place]))
            return (match.group(1) or "") if match else None

        return find

    def _folder(self, number: int, depth: int) -> Callable[[int], Any]:
        def find(place: int) -> Any:
            folders = self._listing.inner[self._images[place]].split("/")[:-1]
            at = len(folders) - number
            return folders[at] if at >= depth else None

        return find


def _present(wanted: Sequence[str], columns: Mapping[str, Any]) -> list[str]:
    """The columns that are there of those wanted, in their order; small letters are the same."""
    by_name = {name.lower(): name for name in reversed(list(columns))}
    found = [name if name in columns else by_name.get(name.lower(), "") for name in wanted]
    return [name for name in found if name]


def _cell(column: Sequence[Any]) -> Callable[[int], Any]:
    def find(place: int) -> Any:
        value = column[place]
        return None if is_missing(value) else value

    return find


def _word(value: Any, number: int) -> Any:
    if not number:
        return value
    words = str(value).split()
    return words[number - 1] if number <= len(words) else None
