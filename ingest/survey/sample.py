"""A uniform random sample of the kept images, and its bytes by one range request each."""

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from ingest import storage
from ingest.errors import SetupError
from ingest.sampling import draw

COLUMNS = (
    *("id", "url", "format", "width_px", "height_px", "fetched_at", "address"),
    *("shard", "offset_bytes", "length_bytes"),
)
_MAX_DRAW = np.uint64((1 << 64) - 1)
_READERS = 16
_READ_AHEAD_BYTES = 128 << 20


@dataclass(frozen=True)
class SampledImage:
    """One image of the sample; `content`: its bytes as packed, empty if they would be too many."""

    id: str
    url: str
    format: str
    width_px: int
    height_px: int
    num_bytes: int
    fetched_at: datetime | None
    content: bytes = field(repr=False)


class BottomSample:
    """The `size` rows whose ids have the smallest of uniform random numbers.

    That is an exact random sample without replacement; being a function of ids and seed, it does
    not depend on how the rows are spread over shards or on their order. Source: Cohen and Kaplan
    2007, Summarizing data using bottom-k sketches.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self._draws = np.empty(0, np.uint64)
        self._rows: pa.Table | None = None
        # Numbers above this one are not among the smallest.
        self._limit = _MAX_DRAW

    def add(self, rows: pa.Table) -> None:
        """Draw for each row of a table with the column `id`."""
        if not self._size:
            return
        ids = rows["id"].to_pylist()
        draws = np.fromiter((draw(one, self._seed)[0] for one in ids), np.uint64, len(ids))
        taken = draws <= self._limit
        found = rows.filter(pa.array(taken))
        self._draws = np.concatenate([self._draws, draws[taken]])
        self._rows = found if self._rows is None else pa.concat_tables([self._rows, found])
        # Rarely, for it copies what is there.
        if len(self._draws) >= 2 * self._size:
            self._prune()

    def rows(self) -> pa.Table:
        """The sample, by rising number, so that its beginning is a random sample too."""
        self._prune()
        return pa.table({"id": pa.array([], pa.string())}) if self._rows is None else self._rows

    def _prune(self) -> None:
        if self._rows is None:
            return
        ids = np.array(self._rows["id"].to_pylist(), np.str_)
        first = np.lexsort((ids, self._draws))[: self._size]
        self._draws, self._rows = self._draws[first], self._rows.take(pa.array(first))
        if len(first) == self._size:
            self._limit = self._draws[-1]


def read_images(
    dataset: str, shard_files: Mapping[int, str], rows: pa.Table
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each row with the bytes of its image, in order; some are read ahead, within 128 MiB.

    Times are microseconds since 1970. shard_files: paths in the dataset by shard. Raises SetupError
    for bytes that are not there.
    """
    waiting: deque[tuple[dict[str, Any], Future[bytes]]] = deque()
    # As plain numbers: times with a zone would ask this machine for a table of zones.
    plain = rows.cast(_plain_schema(rows.schema))
    ahead = 0
    with ThreadPoolExecutor(_READERS) as pool:
        for row in plain.to_pylist():
            where = shard_files[row["shard"]], row["offset_bytes"], row["length_bytes"]
            while waiting and ahead + where[2] > _READ_AHEAD_BYTES:
                ahead -= len(waiting[0][1].result())
                yield _take(waiting)
            waiting.append((row, pool.submit(_read, dataset, *where)))
            ahead += where[2]
        while waiting:
            yield _take(waiting)


def _plain_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema(
        [
            field.with_type(pa.int64()) if pa.types.is_timestamp(field.type) else field
            for field in schema
        ]
    )


def _take(
    waiting: "deque[tuple[dict[str, Any], Future[bytes]]]",
) -> tuple[dict[str, Any], bytes]:
    row, future = waiting.popleft()
    return row, future.result()


def _read(dataset: str, path: str, offset: int, length: int) -> bytes:
    try:
        content = storage.read_range(storage.join(dataset, path), offset, length)
    except FileNotFoundError as error:
        raise SetupError(f"expected {path} in {dataset}, got no such file") from error
    if len(content) != length:
        raise SetupError(
            f"{path}: expected {length} bytes of an image at {offset}, got {len(content)}"
        )
    return content
