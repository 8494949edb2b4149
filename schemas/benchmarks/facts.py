"""What is known of each image of a split, by the rules of the registry.

A list ROOT/<id>/<split>.csv (or .tsv, .json, .jsonl) says which images a split has, and gives
columns; an image with several rows, such as one for each box, is as many examples.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from schemas.benchmarks.field_rules import FieldRule
from schemas.benchmarks.listing import Listing, below, list_images
from schemas.benchmarks.model import Benchmark
from schemas.benchmarks.places import Place, benchmark_folders
from schemas.benchmarks.rule_places import RulePlaces
from schemas.benchmarks.storage import Files, LayoutError
from schemas.benchmarks.tables import NAME_COLUMNS, NameIndex, name_column, read_table
from schemas.benchmarks.values import is_missing, number_of_labels, value_of

LABEL, BOX = "label", "box"
# A box in pixels, as columns of a list.
_SIDES = ("left", "top", "right", "bottom")
DEFAULT_LABEL = FieldRule(column=("label", "cls"), folder=1)
# Of a split's own list, the first one first.
LIST_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl")


@dataclass(frozen=True)
class Facts:
    """The examples of a split: names, images and fields, N values each.

    names: each once. images: places of `listing`; an image may be several examples.
    """

    names: Sequence[str]
    images: Sequence[int]
    fields: Mapping[str, Sequence[Any]]
    listing: Listing


def read_facts(
    files: Files,
    benchmark: Benchmark,
    place: Place,
    root: str,
    needed: Collection[str],
    wanted: Collection[str] = (),
) -> Facts:
    """The examples of a split that was found, with all fields that can be read.

    needed: fields that every image must have; a field of several values may be empty. wanted:
    others without a rule, read if there is such a column. Raises LayoutError that names the
    benchmark, the field, where it was looked for and what is there.
    """
    rules = _rules(benchmark, (*needed, *wanted))
    columns = {*NAME_COLUMNS, BOX, *_SIDES}
    columns.update(column for rule in rules.values() for column in rule.column)
    listing = list_images(files, place, columns)
    folders = list(benchmark_folders(files, benchmark, root))
    own = _OwnList.read(files, place, folders, listing)
    where = f"{benchmark.id}/{place.split.name}"
    places = RulePlaces(files, folders, listing, own.columns, own.images, _depth(place))
    fields: dict[str, Sequence[Any]] = {}
    for name, rule in rules.items():
        values = _values(f"{where}: {name}", name, rule, places)
        if name in needed:
            _expect_values(where, name, rule, values, own)
        if any(value is not None and value != () for value in values):
            fields[name] = number_of_labels(values) if name == LABEL else values
    boxes = _boxes(where, own.columns)
    if boxes is not None:
        fields[BOX] = boxes
    return Facts(own.names, own.images, fields, listing)


def _rules(benchmark: Benchmark, needed: Collection[str]) -> dict[str, FieldRule]:
    """The rule of each field: the registry's, or a column of its name."""
    return {
        LABEL: DEFAULT_LABEL,
        **{name: FieldRule(column=(name,)) for name in needed if name != LABEL},
        **benchmark.fields,
    }


def _depth(place: Place) -> int:
    """How many folders above an image are those of the split, which name no class."""
    (path, *others) = place.paths
    if others or place.layout.listed_in:
        return 0
    return len(PurePosixPath(below(path, place.folder)).parts)


def _values(what: str, name: str, rule: FieldRule, places: RulePlaces) -> list[Any]:
    empty = () if rule.separator is not None else None
    try:
        found = places.values(rule, skip_split_folders=name == LABEL)
        return [empty if one is None else value_of(rule, one) for one in found]
    except LayoutError as error:
        raise LayoutError(f"{what}: {error}") from error


def _expect_values(
    where: str, name: str, rule: FieldRule, values: Sequence[Any], own: "_OwnList"
) -> None:
    missing = [place for place, value in enumerate(values) if value is None]
    if not missing and all(value == () for value in values):
        missing = list(range(len(values)))
    if not missing and values:
        return
    ways = {
        "column": " or ".join(rule.column),
        "order of": rule.by_order,
        "file": " or ".join(rule.file),
        "pattern": rule.pattern,
        "folder above": rule.folder,
    }
    looked = ", ".join(f"{way} {what}" for way, what in ways.items() if what)
    listed = f" and {own.uri}" if own.uri else ""
    columns = ", ".join(own.known_columns) or "none"
    got = f"none for {len(missing):,} of {len(values):,} images"
    got += f", the first of them {own.names[missing[0]]}" if missing else ""
    raise LayoutError(
        f"{where}: expected the field {name} of each image in {looked}, got {got}; "
        f"columns beside the images{listed}: {columns}"
    )


def _boxes(where: str, columns: Mapping[str, Sequence[Any]]) -> list[Any] | None:
    """Left, top, right, bottom of each example, pixels, or None: all of it; None without boxes."""
    by_name = {name.lower(): values for name, values in columns.items()}
    if BOX in by_name:
        rows: Sequence[Any] = by_name[BOX]
    elif all(side in by_name for side in _SIDES):
        rows = list(zip(*(by_name[side] for side in _SIDES), strict=True))
    else:
        return None
    found: list[Any] = []
    for row in rows:
        if is_missing(row):
            found.append(None)
            continue
        try:
            left, top, right, bottom = (
                row.split() if isinstance(row, str) else row  # "3 4 10 12" is a cell of a CSV
            )
            found.append((float(left), float(top), float(right), float(bottom)))
        except (TypeError, ValueError) as error:
            raise LayoutError(f"{where}: expected a box of four numbers, got {row!r}") from error
    return found


@dataclass(frozen=True)
class _OwnList:
    """The examples of a split, as its own list says, if there is one."""

    names: Sequence[str]
    images: Sequence[int]
    columns: Mapping[str, Sequence[Any]]
    listing: Listing
    uri: str = ""

    @cached_property
    def known_columns(self) -> list[str]:
        return list(dict.fromkeys((*self.columns, *self.listing.known_columns)))

    @classmethod
    def read(
        cls, files: Files, place: Place, folders: Sequence[str], listing: Listing
    ) -> "_OwnList":
        names = [place.split.name + suffix for suffix in LIST_SUFFIXES]
        uris = [files.join(folder, name) for folder in folders for name in names]
        uri = next((uri for uri in uris if files.exists(uri)), "")
        if not uri:
            return cls(listing.names, range(len(listing)), listing.columns, listing)
        table = read_table(uri, files.read_bytes(uri))
        column = name_column(table)
        if column is None:
            raise LayoutError(
                f"{uri}: expected one of the columns {', '.join(NAME_COLUMNS)}, "
                f"got {', '.join(table) or 'none'}"
            )
        rows = NameIndex(table[column]).rows_of(uri, [listing.path(i) for i in range(len(listing))])
        lost = set(range(len(table[column]))).difference(*rows) if rows else set()
        if lost or not rows:
            raise LayoutError(
                f"{uri}: expected images in {place.folder} for all {len(table[column]):,} rows, "
                f"got none for {len(lost):,}, such as {table[column][min(lost, default=0)]}"
            )
        return cls._joined(uri, table, rows, listing)

    @classmethod
    def _joined(
        cls, uri: str, table: Mapping[str, list[Any]], rows: list[list[int]], listing: Listing
    ) -> "_OwnList":
        images = [image for image, found in enumerate(rows) for _ in found]
        chosen = [row for found in rows for row in found]
        names = [
            listing.names[image] if len(found) == 1 else f"{listing.names[image]}#{number}"
            for image, found in enumerate(rows)
            for number in range(len(found))
        ]
        beside = {
            name: [values[image] for image in images] for name, values in listing.columns.items()
        }
        columns = {name: [values[row] for row in chosen] for name, values in table.items()}
        return cls(names, images, {**beside, **columns}, listing, uri)
