"""Writes the list SPLIT.csv of each split of a benchmark from the annotations of its archive."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ingest import storage
from ingest.benchmark_files import find_split
from ingest.benchmark_lists.archive import Archive, Rows
from ingest.benchmark_lists.formats import FORMATS
from ingest.errors import SetupError
from schemas.benchmarks.facts import DEFAULT_LABEL, LABEL, LIST_SUFFIXES
from schemas.benchmarks.listing import list_images
from schemas.benchmarks.model import Benchmark, Split
from schemas.benchmarks.places import Place, benchmark_folders, expected_places
from schemas.benchmarks.storage import LayoutError
from schemas.benchmarks.tables import FIRST, NameIndex
from schemas.benchmarks.values import value_of
from schemas.benchmarks.vocabulary import LayoutKind


@dataclass(frozen=True)
class Prepared:
    """What became of a split.

    place: None if it is not there. uri: of its list; "" if it has none, for it lies in containers.
    num_unknown: images that are there, and not in the annotations. num_classes: None without
    labels. is_new: whether the list was written; else the same was there.
    """

    benchmark: Benchmark
    split: Split
    place: Place | None
    uri: str = ""
    num_images: int = 0
    num_unknown: int = 0
    num_classes: int | None = None
    is_new: bool = False

    def __str__(self) -> str:
        name = f"{self.benchmark.id}/{self.split.name}"
        if self.place is None:
            return f"{name}: not there"
        if not self.uri:
            return f"{name}: in {self.place.layout}; lists are written of folders alone"
        classes = "" if self.num_classes is None else f" of {self.num_classes:,} classes"
        left = f"; without annotation: {self.num_unknown:,}" if self.num_unknown else ""
        done = "written to" if self.is_new else "are there already as"
        return f"{name}: {self.num_images:,} images{classes} {done} {self.uri}{left}"


def prepare(benchmark: Benchmark, root: str) -> Iterator[Prepared]:
    """Write the list of each split whose images lie in folders below a root; what became of each.

    Raises SetupError if there is no reader for the benchmark, if a clean split is not there, if
    annotations are missing or broken or name images that are not there, and if there is another
    list of the split, which is never replaced.
    """
    if benchmark.id not in FORMATS:
        raise SetupError(f"expected one of {', '.join(FORMATS)}, got {benchmark.id!r}")
    for split in benchmark.splits:
        place = find_split(benchmark, split, root)
        if place is None and split.clean:
            places = "; ".join(expected_places(benchmark, split))
            raise SetupError(
                f"{benchmark.id}/{split.name}: expected one of {places} below {root}; got nothing"
            )
        if place is None or place.layout.kind != LayoutKind.FOLDER:
            yield Prepared(benchmark, split, place)
        else:
            try:
                yield _prepare(benchmark, place, root)
            except LayoutError as error:
                raise SetupError(str(error)) from error
            except OSError as error:
                expected = "files that can be read, and a list that can be written"
                raise SetupError(
                    f"{benchmark.id}/{split.name}: expected {expected}, got {error}"
                ) from error


def _prepare(benchmark: Benchmark, place: Place, root: str) -> Prepared:
    images = list_images(storage, place).names
    archive = Archive(benchmark, place.split.name, place.folder, images)
    rows = _rows_of(archive, FORMATS[benchmark.id](archive))
    uri, is_new = _write(benchmark, place, root, list_bytes(rows))
    return Prepared(
        benchmark,
        place.split,
        place,
        uri,
        num_images=len(rows),
        num_unknown=len(images) - len(rows),
        num_classes=_num_classes(benchmark, rows),
        is_new=is_new,
    )


def _rows_of(archive: Archive, annotations: Rows) -> Rows:
    """The rows of the images that are there, by their paths; raises LayoutError, SetupError."""
    where = f"{archive.benchmark.id}/{archive.split}"
    names = list(annotations)
    found = NameIndex(names).rows_of(where, archive.images)
    lost = set(range(len(names))).difference(*found)
    if lost or not names:
        such = f", such as {names[min(lost)]}" if lost else ""
        raise SetupError(
            f"{where}: expected images in {archive.folder} for all {len(names):,} annotations, "
            f"got none for {len(lost):,}{such}"
        )
    places = zip(archive.images, found, strict=True)
    return {image: annotations[names[rows[0]]] for image, rows in places if rows}


def list_bytes(rows: Rows) -> bytes:
    """A list as CSV: of each image its path, and the columns of its row, the same of each."""
    text = io.StringIO(newline="")
    columns = list(next(iter(rows.values())))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([FIRST, *columns])
    writer.writerows([image, *(row[name] for name in columns)] for image, row in rows.items())
    return text.getvalue().encode()


def _write(benchmark: Benchmark, place: Place, root: str, content: bytes) -> tuple[str, bool]:
    """Where the list is, and whether it was written now; raises SetupError if another is there."""
    uri = storage.join(place.folder, f"{place.split.name}.csv")
    for other in _lists_before(benchmark, place, root):
        if other != uri and storage.exists(other):
            raise SetupError(f"expected {uri} as the only list, got {other}: move it away")
    if storage.create_bytes(uri, content):
        return uri, True
    there = storage.read_bytes(uri)
    if there != content:
        raise SetupError(
            f"{uri}: expected the list of the annotations, {len(content):,} bytes, got another of "
            f"{len(there):,}: move it away"
        )
    return uri, False


def _lists_before(benchmark: Benchmark, place: Place, root: str) -> Iterator[str]:
    """Where other lists would be read instead of the one beside the images, or are by now."""
    for folder in benchmark_folders(storage, benchmark, root):
        for suffix in LIST_SUFFIXES:
            yield storage.join(folder, place.split.name + suffix)
        if folder == place.folder:
            return


def _num_classes(benchmark: Benchmark, rows: Rows) -> int | None:
    rule = benchmark.fields.get(LABEL, DEFAULT_LABEL)
    columns: Sequence[str] = list(next(iter(rows.values())))
    column = next((name for name in rule.column if name in columns), None)
    if column is None:
        return None
    found: set[Any] = set()
    for row in rows.values():
        value = value_of(rule, row[column])
        found.update(value if isinstance(value, tuple) else (value,))
    return len(found)
