"""The bytes of single images, out of folders, tar files, parquet files and Arrow files.

A source is handed to worker processes, each of which opens its own files.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.benchmarks.image_column import cell_content, image_column
from schemas.benchmarks.listing import Listing
from schemas.benchmarks.rows import arrow_batches, open_arrow
from schemas.benchmarks.vocabulary import LayoutKind
from train_entry.errors import DataError
from train_entry.evaluation.benchmark_files import BenchmarkFiles
from train_entry.reader import BadSample
from train_entry.store import StoreError

# Neighbours are mostly read one after the other: more row groups would only hold memory.
_GROUPS_KEPT = 2


class Source(Protocol):
    """Images by their places in a listing."""

    def read(self, image: int, /) -> bytes:
        """The bytes of an image as stored.

        Raises BadSample if the row of a table has none, DataError if it cannot be read.
        """
        ...


def open_source(files: BenchmarkFiles, listing: Listing) -> Source:
    """The images of a listing."""
    if listing.kind == LayoutKind.FOLDER:
        return _FileSource(files, listing.folder, listing.names)
    if listing.kind == LayoutKind.TAR:
        return _TarSource(files, listing)
    return _TableSource(files, listing)


class _FileSource:
    def __init__(self, files: BenchmarkFiles, folder: str, names: Sequence[str]) -> None:
        self._files, self._folder, self._names = files, folder, names

    def read(self, image: int, /) -> bytes:
        path = self._files.join(self._folder, self._names[image])
        return _read(self._files, path, None, None)


class _TarSource:
    def __init__(self, files: BenchmarkFiles, listing: Listing) -> None:
        self._files = files
        self._paths = [files.join(listing.folder, name) for name, _ in listing.files]
        self._file_of, self._starts = listing.file_of, listing.starts
        self._sizes = listing.sizes

    def read(self, image: int, /) -> bytes:
        begin = self._starts[image]
        path = self._paths[self._file_of[image]]
        return _read(self._files, path, begin, begin + self._sizes[image])


class _TableSource:
    """Groups of rows are read whole, once for all images that are read one after the other."""

    def __init__(self, files: BenchmarkFiles, listing: Listing) -> None:
        self._files, self._kind = files, listing.kind
        self._paths = [files.join(listing.folder, name) for name, _ in listing.files]
        self._file_of, self._rows = listing.file_of, listing.starts
        self._open: tuple[int, _Groups] | None = None
        # By file and first row.
        self._kept: OrderedDict[tuple[int, int], Any] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None, "_kept": OrderedDict()}

    def read(self, image: int, /) -> bytes:
        file, row = self._file_of[image], self._rows[image]
        try:
            content, _ = cell_content(self._cell(file, row))
        except (OSError, StoreError, pa.ArrowException) as error:
            name = self._files.store.name(self._paths[file])
            raise DataError(f"{name}: expected row {row}, got {error}") from error
        if content is None:
            raise BadSample(f"expected an image in row {row}, got none")
        return content

    def _cell(self, file: int, row: int) -> Any:
        for (kept, begin), column in self._kept.items():
            if kept == file and begin <= row < begin + len(column):
                self._kept.move_to_end((kept, begin))
                return column[row - begin].as_py()
        if self._open is None or self._open[0] != file:
            self._open = file, _open_groups(self._files, self._paths[file], self._kind)
        groups = self._open[1]
        number = bisect_right(groups.begins, row) - 1
        begin, column = groups.begins[number], groups.column(number)
        self._kept[file, begin] = column
        while len(self._kept) > _GROUPS_KEPT:
            self._kept.popitem(last=False)
        return column[row - begin].as_py()


@dataclass(frozen=True)
class _Groups:
    """The groups of rows of an open table: the first row of each, and its column of images."""

    begins: list[int]
    column: Callable[[int], Any]


def _open_groups(files: BenchmarkFiles, path: str, kind: LayoutKind) -> _Groups:
    store = files.store
    # Stays open for the images to come; Arrow's own files are closed with their last use.
    if kind == LayoutKind.PARQUET:
        local = pa.OSFile(str(store.folder / path)) if store.is_local else None
        table = pq.ParquetFile(local or files.open_input(path))
        name = image_column(path, table.schema_arrow)
        sizes = [table.metadata.row_group(i).num_rows for i in range(table.num_row_groups)]
        return _Groups(
            _begins(sizes), lambda number: table.read_row_group(number, columns=[name]).column(0)
        )
    mapped = pa.memory_map(str(store.folder / path)) if store.is_local else None
    reader = open_arrow(mapped or files.open_input(path))
    name = image_column(path, reader.schema)
    if mapped is None and not hasattr(reader, "num_record_batches"):
        raise DataError(
            f"{store.name(path)}: expected Arrow's file format in a store of objects, "
            "got its stream format"
        )
    if mapped is None:
        sizes = [batch.num_rows for batch in arrow_batches(reader)]
        return _Groups(_begins(sizes), lambda number: reader.get_batch(number).column(name))
    batches = list(arrow_batches(reader))
    begins = _begins([batch.num_rows for batch in batches])
    return _Groups(begins, lambda number: batches[number].column(name))


def _begins(sizes: Sequence[int]) -> list[int]:
    return list(accumulate(sizes, initial=0))[:-1]


def _read(files: BenchmarkFiles, path: str, begin: int | None, end: int | None) -> bytes:
    try:
        return files.store.read(path, begin, end)
    except (OSError, EOFError, StoreError) as error:
        raise DataError(f"{files.store.name(path)}: expected an image, got {error}") from error
