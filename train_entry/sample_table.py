"""Where each sample lies, in one sparse local file that all processes of a machine share.

28 bytes a sample, mapped into memory: a billion samples take 28 GB of disk and no memory. Rows of
a shard are written by whoever first needs them; twice does no harm, for they are the same. After
them comes a byte that says so.
"""

import mmap
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from train_entry.order import Integers

_ID = np.dtype("V16")


class Rows(NamedTuple):
    """Of each sample [N]: first byte and length in its shard, and the 16 bytes of its id."""

    offset: Integers
    length: Integers
    id: NDArray[np.void]


class SampleTable:
    """The rows of all samples of one dataset, as far as they are known yet."""

    def __init__(self, path: Path, num_samples: int, num_shards: int) -> None:
        self._path, self._counts = path, (num_samples, num_shards)
        self._starts = np.cumsum([0, 8 * num_samples, 4 * num_samples, 16 * num_samples]).tolist()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        size = self._starts[3] + num_shards
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._file, size)
        self._map = mmap.mmap(self._file, size, prot=mmap.PROT_READ) if size else b""
        self._offset = np.frombuffer(self._map, "<i8", num_samples, self._starts[0])
        self._length = np.frombuffer(self._map, "<u4", num_samples, self._starts[1])
        self._id = np.frombuffer(self._map, _ID, num_samples, self._starts[2])
        self._known = np.frombuffer(self._map, np.uint8, num_shards, self._starts[3])

    def __reduce__(self) -> Any:
        return SampleTable, (self._path, *self._counts)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def unknown(self, shards: Integers) -> Integers:
        """Those of these shards whose rows are not there yet."""
        found: Integers = shards[self._known[shards] == 0]
        return found

    def write(self, shard: int, first: int, rows: Rows) -> None:
        """Add the rows of a shard, whose first sample is number `first`."""
        columns = (rows.offset.astype("<i8"), rows.length.astype("<u4"), rows.id)
        for start, column in zip(self._starts[:3], columns, strict=True):
            os.pwrite(self._file, column.tobytes(), start + first * column.itemsize)
        # Else a machine that loses power may keep the byte and lose the rows.
        os.fdatasync(self._file)
        os.pwrite(self._file, b"\x01", self._starts[3] + shard)

    def read(self, indices: Integers) -> Rows:
        """The rows of these samples; those of unknown shards are zeros."""
        offset, length = self._offset[indices], self._length[indices].astype(np.int64)
        return Rows(offset, length, self._id[indices])
