"""Samples of an object store: a range request for each, or one for a whole block of them."""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import numpy as np

from train_entry.block_cache import Block, BlockCache
from train_entry.config import LoaderConfig
from train_entry.dataset import Dataset, Places, cache_folder
from train_entry.order import BlockLayout
from train_entry.read_ahead import Job, Limits, ReadAhead
from train_entry.source import Contents, LocalSource, Source, size_mismatch
from train_entry.steps import ReaderOptions, Step, Steps
from train_entry.store import StoreError

# Blocks that a process keeps open; the usual limit is 1,024 files of all kinds.
_OPEN_BLOCKS = 512
_ASKED_BLOCKS = 65_536
# Plans, not bytes; those are limited by themselves.
_STEPS_AHEAD = 1024
_MIN_STEPS_AHEAD = 16
_log = logging.getLogger(__name__)


def open_source(
    dataset: Dataset, steps: Steps, options: ReaderOptions, loader: LoaderConfig
) -> Source:
    """The source that fits where the dataset lies and in which order it is read."""
    if dataset.store.is_local:
        return LocalSource(dataset)
    ahead_bytes = loader.read_ahead_mib << 20
    if steps.layout is None:
        limits = Limits(ahead_bytes, loader.connections, _STEPS_AHEAD)
        return ReadAhead(SampleFetcher(dataset), limits)
    cache_bytes, block_bytes = loader.cache_mib << 20, options.block_mib << 20
    window_bytes = min(options.window_blocks, steps.layout.num_blocks) * block_bytes
    if 2 * window_bytes > cache_bytes:
        _log.warning(
            "cache_mib: expected room for two windows, %d MiB, got %d MiB: blocks will be "
            "fetched more than once",
            2 * window_bytes >> 20,
            loader.cache_mib,
        )
    cache = BlockCache(cache_folder(loader.cache) / "blocks", cache_bytes)
    # A block on its way is in memory, those that have come are on disk.
    connections = max(1, min(loader.connections, ahead_bytes // block_bytes))
    limits = Limits(cache_bytes // 2, connections, max(_MIN_STEPS_AHEAD, steps.window_steps()))
    return ReadAhead(BlockFetcher(dataset, steps.layout, cache), limits)


class _Shards:
    """Ranges of shards; a shard whose bytes cannot be had, or are not all there, is bad."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._lock = threading.Lock()
        self._checked: dict[int, Future[None]] = {}

    def read(self, shard: int, begin: int, end: int) -> bytes | None:
        """The bytes from `begin` to before `end`; None if the shard is bad."""
        self._check_once(shard)
        if shard in self._dataset.bad_shards:
            return None
        file = self._dataset.shards[shard].file
        content: bytes | None = self._judge(
            shard, lambda: self._dataset.store.read(file, begin, end)
        )
        return content

    def _check_once(self, shard: int) -> None:
        with self._lock:
            is_first = shard not in self._checked
            checked = self._checked.setdefault(shard, Future())
        if is_first:
            try:
                self._check_size(shard)
            finally:
                checked.set_result(None)
        checked.result()

    def _check_size(self, shard: int) -> None:
        expected = self._dataset.shards[shard]
        num_bytes = self._judge(shard, lambda: self._dataset.store.size(expected.file))
        if num_bytes is not None and num_bytes != expected.num_bytes:
            message = size_mismatch(expected.num_bytes, num_bytes)
            self._dataset.bad_shards.setdefault(shard, message)

    def _judge(self, shard: int, request: Callable[[], Any]) -> Any:
        """What a request returns; None if it says that the shard is bad."""
        try:
            return request()
        except (StoreError, OSError, EOFError) as error:
            message = f"expected the shard, got {type(error).__name__}: {error}"
            self._dataset.bad_shards.setdefault(shard, message)
            return None


class SampleFetcher:
    """One request for each sample."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self._shards = dataset, _Shards(dataset)

    def jobs(self, step: Step) -> list[Job]:
        rows = zip(*(one.tolist() for one in step.places[1:4]), strict=True)
        return [Job(max(0, row[2]), partial(self._fetch, *row)) for row in rows]

    def collect(self, step: Step, results: list[Any]) -> Contents:
        return self._contents(step.places, results)

    def read(self, places: Places) -> Contents:
        rows = zip(*(one.tolist() for one in places[1:4]), strict=True)
        return self._contents(places, [self._fetch(*row) for row in rows])

    def _fetch(self, shard: int, offset: int, length: int) -> bytes | None:
        return None if length < 0 else self._shards.read(shard, offset, offset + length)

    def _contents(self, places: Places, found: list[bytes | None]) -> Contents:
        shards, bad = places.shard.tolist(), self._dataset.bad_shards
        failures = {slot: bad[shards[slot]] for slot, one in enumerate(found) if one is None}
        return Contents([one or b"" for one in found], failures)


class BlockFetcher:
    """One request for each block, kept in a folder on local disk."""

    def __init__(self, dataset: Dataset, layout: BlockLayout, cache: BlockCache) -> None:
        self._dataset, self._layout, self._cache = dataset, layout, cache
        self._shards = _Shards(dataset)
        # By those who plan: epochs and blocks that were asked for. By who consumes: what is open.
        self._asked: dict[tuple[int, int], None] = {}
        self._open: dict[int, Block | None] = {}

    def jobs(self, step: Step) -> list[Job]:
        known = step.places.length >= 0
        blocks = self._layout.blocks(step.places.sample[known]).tolist()
        wanted = dict.fromkeys(zip(step.epochs[known].tolist(), blocks, strict=True))
        jobs = [self._job(block) for epoch, block in wanted if (epoch, block) not in self._asked]
        self._asked.update(wanted)
        while len(self._asked) > _ASKED_BLOCKS:
            del self._asked[next(iter(self._asked))]
        return jobs

    def collect(self, step: Step, results: list[Any]) -> Contents:
        self._open.update(results)
        contents = self.read(step.places)
        while len(self._open) > _OPEN_BLOCKS:
            del self._open[next(iter(self._open))]
        return contents

    def read(self, places: Places) -> Contents:
        contents, failures, pread = list[bytes](), dict[int, str](), os.pread
        blocks = self._layout.blocks(places.sample).tolist()
        rows = zip(blocks, *(one.tolist() for one in places[1:4]), strict=True)
        for number, shard, offset, length in rows:
            block = self._block(number) if length >= 0 else None
            content = pread(block.descriptor, length, offset - block.begin) if block else b""
            if len(content) != length:
                message = f"expected {length} bytes of a sample, got {len(content)}"
                failures[len(contents)] = self._dataset.bad_shards.get(shard, message)
            contents.append(content)
        return Contents(contents, failures)

    def _block(self, number: int) -> Block | None:
        if number not in self._open:
            self._open[number] = self._job(number).run()[1]
        return self._open[number]

    def _job(self, number: int) -> Job:
        first, behind = self._layout.first[number : number + 2].tolist()
        places = self._dataset.locate(np.array([first, behind - 1]))
        begin = int(places.offset[0])
        end = int(places.offset[1] + places.length[1])
        run = partial(self._fetch, number, int(places.shard[0]), begin, end)
        return Job(end - begin, run)

    def _fetch(self, number: int, shard: int, begin: int, end: int) -> tuple[int, Block | None]:
        name = f"{self._dataset.key}-{shard:05d}-{begin}-{end}"
        try:
            descriptor = self._cache.open(
                name, end - begin, partial(self._request, shard, begin, end)
            )
        except _BadShard:
            return number, None
        return number, Block(descriptor, begin)

    def _request(self, shard: int, begin: int, end: int) -> bytes:
        content = self._shards.read(shard, begin, end)
        if content is None:
            raise _BadShard
        return content


class _BadShard(Exception):
    """There is no block, for its shard is bad."""
