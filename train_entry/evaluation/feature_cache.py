"""Features on disk, written part by part by any number of ranks, read as if they were in memory.

N images, D dimensions, R regions.

    FOLDER/<key>/<tap>.npy       float32 [N, D] or [N, R, D], made in full size at once
    FOLDER/<key>/part-00012.json SHA-256 of these rows in each tap, and images that are bad
    FOLDER/<key>/names.json      whose features these are

A part is a range of rows. Its record is written after its rows, so a part is there or is not, and
one whose rows do not have the recorded digest is not. Parts depend on N alone, never on ranks.
"""

import json
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train_entry.errors import DataError
from train_entry.whole_file import write_whole

Rows = NDArray[np.float32]
# A record of so many batches at most, and at least so many records, so that ranks share the work.
_MAX_BATCHES, _MIN_PARTS = 16, 64
_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class Part:
    """Consecutive batches that are recorded as one; rows from `begin` to `end`."""

    number: int
    begin: int
    end: int
    batches: range


@dataclass(frozen=True)
class PartRecord:
    """What is recorded of a part: digests by tap, and places of bad images with the reason."""

    digests: Mapping[str, str]
    bad: Mapping[int, str] = field(default_factory=dict)


def parts_of(num_images: int, batch: int) -> list[Part]:
    """The parts of so many images, in order."""
    num_batches = -(-num_images // batch)
    step = max(1, min(_MAX_BATCHES, num_batches // _MIN_PARTS))
    return [
        Part(number, first * batch, min((first + step) * batch, num_images), range(first, last))
        for number, first in enumerate(range(0, num_batches, step))
        for last in (min(first + step, num_batches),)
    ]


class FeatureCache:
    """The features of one encoder, of one list of images prepared in one way."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder / key

    def prepare(self, shapes: Mapping[str, tuple[int, ...]], names: Sequence[str]) -> None:
        """Make room for taps of these shapes, unless there is. By one rank, before all write."""
        self.folder.mkdir(parents=True, exist_ok=True)
        told = {"num_images": len(names), "names_sha256": names_sha256(names)}
        _write_json(self.folder / "names.json", told)
        for tap, shape in shapes.items():
            whole = (len(names), *shape)
            if self._shape(tap) == whole:
                continue
            partial = self._partial(tap)
            np.lib.format.open_memmap(partial, "w+", np.float32, whole).flush()
            partial.replace(self._path(tap))

    def lacking(self, parts: Collection[Part], taps: Collection[str]) -> list[Part]:
        """Those parts of which a tap is not there or not whole; reads all their rows."""
        arrays = {tap: self._mapped(tap) for tap in taps}
        return [part for part in parts if not self._is_whole(part, arrays)]

    def _is_whole(self, part: Part, arrays: Mapping[str, Rows | None]) -> bool:
        record = self.record(part)
        if record is None:
            return False
        for tap, array in arrays.items():
            if tap not in record.digests or array is None or len(array) < part.end:
                return False
            if _sha256(array[part.begin : part.end]) != record.digests[tap]:
                return False
        return True

    def record(self, part: Part) -> PartRecord | None:
        """What was recorded of a part; None if nothing, or nothing that can be read."""
        try:
            told = json.loads(self._record_path(part).read_text())
            bad = {int(place): str(reason) for place, reason in told["bad"].items()}
            return PartRecord(dict(told["digests"]), bad)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, tap: str, begin: int, rows: Rows) -> None:
        """Put rows at their place."""
        path = self._path(tap)
        array = np.load(path, mmap_mode="r")
        if rows.shape[1:] != array.shape[1:]:
            raise DataError(f"{path}: expected rows {array.shape[1:]}, got {rows.shape[1:]}")
        offset = array.offset + begin * array[:1].nbytes
        # Not through the mapping: several machines write to one file.
        with path.open("r+b", buffering=0) as file:
            data, written = np.ascontiguousarray(rows).data.cast("B"), 0
            while written < len(data):
                written += os.pwrite(file.fileno(), data[written:], offset + written)

    def finish(self, part: Part, record: PartRecord) -> None:
        """Record a part whose rows are written; what was recorded of other taps stays."""
        for tap in record.digests:
            with self._path(tap).open("r+b") as file:
                os.fsync(file.fileno())
        before = self.record(part)
        digests = {**(before.digests if before else {}), **record.digests}
        told = {"digests": digests, "bad": {str(one): why for one, why in record.bad.items()}}
        _write_json(self._record_path(part), told)

    def bad(self, parts: Collection[Part]) -> dict[int, str]:
        """Places of images that could not be decoded, in order, with the reason."""
        records = [self.record(part) for part in parts]
        return {one: why for record in records if record for one, why in record.bad.items()}

    def open(self, tap: str, without: Collection[int] = ()) -> Tensor:
        """A tap, mapped into memory and read when touched; some images may be left out.

        Without them it is another file. One must not write to it.
        """
        array = np.load(self._path(_kept(tap) if without else tap), mmap_mode="r")
        with warnings.catch_warnings():
            # It is mapped for reading, so that what changes features in place fails at once.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            return torch.from_numpy(array)

    def leave_out(self, taps: Collection[str], bad: Collection[int]) -> None:
        """Write copies of taps without these places, for `open`, unless there are. By one rank."""
        for tap in taps:
            array, there = np.load(self._path(tap), mmap_mode="r"), self._mapped(_kept(tap))
            shape = (len(array) - len(bad), *array.shape[1:])
            if there is not None and there.shape == shape:
                continue
            kept = np.setdiff1d(np.arange(len(array)), np.array(sorted(bad), np.int64))
            partial = self._partial(_kept(tap))
            copy = np.lib.format.open_memmap(partial, "w+", np.float32, shape)
            step = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
            for begin in range(0, len(kept), step):
                copy[begin : begin + step] = array[kept[begin : begin + step]]
            copy.flush()
            partial.replace(self._path(_kept(tap)))

    def _mapped(self, tap: str) -> Rows | None:
        try:
            array: Rows = np.load(self._path(tap), mmap_mode="r")
        except (OSError, ValueError):
            return None
        return array

    def _shape(self, tap: str) -> tuple[int, ...] | None:
        array = self._mapped(tap)
        return None if array is None or array.dtype != np.float32 else array.shape

    def _path(self, tap: str) -> Path:
        return self.folder / f"{tap}.npy"

    def _partial(self, tap: str) -> Path:
        return self.folder / f".{tap}.{os.getpid()}.npy"

    def _record_path(self, part: Part) -> Path:
        return self.folder / f"part-{part.number:05d}.json"


class RowDigest:
    """SHA-256 of rows that come in several pieces, in order."""

    def __init__(self) -> None:
        self._digest = sha256()

    def add(self, rows: Rows) -> None:
        """The next rows."""
        self._digest.update(np.ascontiguousarray(rows).data.cast("B"))

    def hexdigest(self) -> str:
        """Of all so far."""
        return self._digest.hexdigest()


def names_sha256(names: Sequence[str]) -> str:
    """SHA-256 of names in order."""
    digest = sha256()
    for name in names:
        digest.update(json.dumps(name).encode() + b"\n")
    return digest.hexdigest()


def _kept(tap: str) -> str:
    return f"{tap}.kept"


def _sha256(rows: Rows) -> str:
    digest = RowDigest()
    step = max(1, _BLOCK_BYTES // max(1, rows[:1].nbytes))
    for begin in range(0, len(rows), step):
        digest.add(rows[begin : begin + step])
    return digest.hexdigest()


def _write_json(path: Path, told: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(told, indent=1).encode())
