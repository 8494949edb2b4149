"""The images of a part of a benchmark: their names, what is known of each, and their bytes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import islice
from typing import Any, TypeVar

import orjson

from schemas.benchmarks.facts import LABEL, Facts, read_facts
from schemas.benchmarks.listing import Listing
from schemas.benchmarks.model import Benchmark, Split
from schemas.benchmarks.places import Place, expected_places, find_split
from schemas.benchmarks.storage import LayoutError
from train_entry.errors import DataError
from train_entry.evaluation.benchmark_files import BenchmarkFiles
from train_entry.evaluation.containers import Source, open_source
from train_entry.evaluation.division import divide
from train_entry.store import StoreError

T = TypeVar("T")
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Examples:
    """N images of one part of a benchmark; may be handed to other processes.

    names: each once, paths below ROOT/<id>; `FILE#ROW` in parquet, `FILE/MEMBER` in tar, and
    `...#NUMBER` where an image is several examples. fields: by name, N values each; numbers, text
    or tuples of them, None where nothing is known. sizes: of what was read, bytes, as told by
    listings: of the image, or of the parquet file that has it. remark: that there are not as many
    images as the registry says; empty if there are.
    """

    benchmark: str
    part: str
    names: Sequence[str]
    fields: Mapping[str, Sequence[Any]]
    sizes: Sequence[int]
    images: Sequence[int]
    source: Source
    remark: str = ""

    @property
    def name(self) -> str:
        """Benchmark and part."""
        return f"{self.benchmark}/{self.part}"

    def __len__(self) -> int:
        return len(self.names)

    def content(self, place: int, /) -> bytes:
        """The bytes of one image as stored.

        Raises DataError if they cannot be read, BadSample if a table has none for it.
        """
        return self.source.read(self.images[place])

    def take(self, places: Sequence[int]) -> "Examples":
        """Some of the images, in this order."""

        def some(values: Sequence[T]) -> list[T]:
            return [values[place] for place in places]

        return replace(
            self,
            names=some(self.names),
            fields={name: some(values) for name, values in self.fields.items()},
            sizes=some(self.sizes),
            images=some(self.images),
        )

    def renamed(self, part: str) -> "Examples":
        """The same under the name of another part."""
        return replace(self, part=part)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, sizes and fields; not of the bytes, which would be read twice."""
        found = sha256(f"{self.benchmark} {len(self)}\n".encode())
        names = sorted(self.fields)
        columns = [self.fields[name] for name in names]
        found.update(orjson.dumps(names))
        rows = zip(self.names, self.sizes, *columns, strict=True)
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            found.update(orjson.dumps(some, default=str))
        return found.hexdigest()


def read_part(
    benchmark: Benchmark, part: str, root: str, needed: Collection[str] = (LABEL,)
) -> Examples:
    """A split of a benchmark, or a part of the division that the registry makes of one.

    needed: fields that each image must have; all others that can be read are there too. Raises
    DataError that says what was expected where below the root, if it is not there or not whole.
    """
    division = benchmark.division
    if division is None or part not in division.parts:
        return read_split(benchmark, part, root, needed)
    by_column = division.by == "column"
    by = {division.column} if by_column else {LABEL} if division.per_class else set()
    # Images of no part need not say so.
    whole = read_split(benchmark, division.split, root, () if by_column else by, (*by, *needed))
    if not whole.fields.keys() >= by:
        whole = read_split(benchmark, division.split, root, by)
    values = whole.fields[next(iter(by))] if by else [None] * len(whole)
    try:
        places = divide(division, whole.names, values)[part]
    except DataError as error:
        raise DataError(f"{benchmark.id}/{part}: {error}") from error
    found = whole.take(places).renamed(part)
    lacking = [name for name in needed if _lacks(found, name)]
    if lacking:
        # Of the part alone: other parts may have no labels.
        known = ", ".join(found.fields) or "none"
        raise DataError(
            f"{benchmark.id}/{part}: expected {', '.join(lacking)} of each image by the rules of "
            f"`uncurated benchmarks show {benchmark.id}`, got fields {known}"
        )
    return found


def read_split(
    benchmark: Benchmark,
    name: str,
    root: str,
    needed: Collection[str] = (LABEL,),
    wanted: Collection[str] = (),
) -> Examples:
    """A split of a benchmark as it lies on disk; as `read_part`.

    wanted: fields beyond the registry's that are read if they are there.
    """
    split = next((one for one in benchmark.splits if one.name == name), None)
    if split is None:
        known = ", ".join(benchmark.parts)
        raise DataError(f"{benchmark.id}: expected one of {known}, got {name!r}")
    files = BenchmarkFiles(root)
    place, facts = _translated(
        benchmark, split, lambda: _read_facts(files, benchmark, split, needed, wanted)
    )
    if not facts.names:
        raise DataError(f"{benchmark.id}/{name}: expected images below {root}, got none")
    listing = facts.listing
    return Examples(
        benchmark.id,
        name,
        facts.names,
        facts.fields,
        _sizes(listing, facts.images),
        facts.images,
        open_source(files, listing),
        _remark(benchmark, place, len(set(facts.images))),
    )


def _read_facts(
    files: BenchmarkFiles,
    benchmark: Benchmark,
    split: Split,
    needed: Collection[str],
    wanted: Collection[str],
) -> tuple[Place, Facts]:
    place = find_split(files, benchmark, split, "")
    if place is None:
        places = "; ".join(expected_places(benchmark, split))
        raise DataError(
            f"{benchmark.id}/{split.name}: expected one of {places} below {files.store.uri}; "
            "got nothing"
        )
    return place, read_facts(files, benchmark, place, "", needed, wanted)


def _remark(benchmark: Benchmark, place: Place, num_images: int) -> str:
    expected = place.expected_images()
    if expected in (None, num_images):
        return ""
    return f"{benchmark.id}/{place.split.name}: expected {expected:,} images, got {num_images:,}."


def _translated(benchmark: Benchmark, split: Split, read: Callable[[], T]) -> T:
    try:
        return read()
    except LayoutError as error:
        raise DataError(str(error)) from error
    except (OSError, EOFError, StoreError) as error:
        raise DataError(f"{benchmark.id}/{split.name}: expected its files, got {error}") from error


def _sizes(listing: Listing, images: Sequence[int]) -> list[int]:
    """The size of each image, or of the file that has it."""
    return [
        listing.sizes[image] or listing.files[listing.file_of[image]][1]
        if listing.files
        else listing.sizes[image]
        for image in images
    ]


def _lacks(found: Examples, name: str) -> bool:
    values = found.fields.get(name)
    return values is None or any(value is None for value in values)
