"""Where the bytes of samples come from; here: local shards, there: `read_ahead`.

A sample that cannot be read costs its slot, a shard that is not what the manifest says all of its
samples in this process; neither ends the run.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from train_entry.dataset import Dataset, Places
from train_entry.steps import Step

# Descriptors that a process keeps for shards; the usual limit is 1,024 of all kinds.
_OPEN_FILES = 512


class Contents(NamedTuple):
    """The bytes of each sample; of those that failed none, and why by their number."""

    content: list[bytes]
    failures: dict[int, str]


class Source(Protocol):
    """Gives the bytes of samples."""

    def stream(self, steps: Iterator[Step]) -> Iterator[tuple[Step, Contents]]:
        """Each step with its bytes, in order; may read ahead."""

    def read(self, places: Places) -> Contents:
        """The bytes of some samples, now."""


class LocalSource:
    """Shards of a local folder, read in place."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._files: dict[int, int] = {}

    def stream(self, steps: Iterator[Step]) -> Iterator[tuple[Step, Contents]]:
        for step in steps:
            yield step, self.read(step.places)

    def read(self, places: Places) -> Contents:
        # All that Python does for each sample; so plain lists and locals.
        files, pread, contents, failures = self._files, os.pread, list[bytes](), dict[int, str]()
        rows = zip(
            places.shard.tolist(), places.offset.tolist(), places.length.tolist(), strict=True
        )
        for shard, offset, length in rows:
            content = b""
            file = files.get(shard) if shard in files else self._open(shard)
            if file is not None and length >= 0:
                content = pread(file, length, offset)
            if len(content) != length:
                failures[len(contents)] = self._blame(shard, length, len(content))
            contents.append(content)
        return Contents(contents, failures)

    def close(self) -> None:
        """Let go of all files."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()

    def __del__(self) -> None:
        self.close()

    def _open(self, shard: int) -> int | None:
        """The descriptor of a shard; None if the shard is bad."""
        if shard in self._dataset.bad_shards:
            return None
        expected = self._dataset.shards[shard]
        try:
            file = os.open(self._dataset.store.folder / expected.file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self._dataset.bad_shards[shard] = f"expected the shard, got {error}"
            return None
        num_bytes = os.fstat(file).st_size
        if num_bytes != expected.num_bytes:
            os.close(file)
            self._dataset.bad_shards[shard] = size_mismatch(expected.num_bytes, num_bytes)
            return None
        while len(self._files) >= _OPEN_FILES:
            os.close(self._files.pop(next(iter(self._files))))
        self._files[shard] = file
        return file

    def _blame(self, shard: int, length: int, got: int) -> str:
        """Why a sample has no bytes; its shard is bad from now on."""
        message = f"expected {length} bytes of a sample, got {got}: the shard is short"
        return self._dataset.bad_shards.setdefault(shard, message)


def size_mismatch(expected: int, got: int) -> str:
    """What to say of a shard of another size than the manifest says."""
    return f"expected a shard of {expected} bytes, got {got}"
