"""Each candidate of a finished dataset once, by its last row, in bounded memory.

All generations cut the same global order into equal stretches, so a candidate that was tried again
has its later rows in the few shards of a later generation that lie over its own. Images in parquet
files are the exception: a plan places them by row group, a retry by their ids. There are few of
those, and their ids are held.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from ingest.pack.ledger_parts import read_part, read_parts
from ingest.sampling import shards_over
from schemas.candidate import Carrier
from schemas.manifest import Commit, DatasetRecord, generation_of

_ID = "id"


def read_last_rows(
    dataset: str, seal: DatasetRecord, commits: Sequence[Commit], columns: Sequence[str]
) -> Iterator[pa.Table]:
    """A table for each commit in turn: the rows of its candidates that no later row replaces.

    commits: those of the manifest, by shard. columns: those that a part lacks are left out. Raises
    SetupError if a part is missing or no parquet file.
    """
    wanted = [*columns] if not seal.retries or _ID in columns else [*columns, _ID]
    later = _LaterRows(dataset, seal, commits) if seal.retries else None
    parts = read_parts(dataset, [one.ledger_file for one in commits], wanted)
    for commit, (_, table) in zip(commits, parts, strict=True):
        if later is not None:
            replaced = pc.is_in(table[_ID], value_set=later.over(commit.shard))
            table = table.filter(pc.invert(replaced))
        yield table.select([name for name in columns if name in table.column_names])


class _LaterRows:
    """The candidates that later generations took up again, by the shard they may come from."""

    def __init__(self, dataset: str, seal: DatasetRecord, commits: Sequence[Commit]) -> None:
        self._dataset, self._plan, self._retries = dataset, seal.plan, seal.retries
        self._ledger_files = {one.shard: one.ledger_file for one in commits}
        # Neighbouring shards ask for the same parts.
        self._ids = lru_cache(maxsize=4 * len(seal.retries) + 4)(self._read_ids)
        self._strays = self._read_strays()

    def over(self, shard: int) -> pa.Array:
        """The ids in all later generations that may be those of candidates in this shard."""
        generation = generation_of(shard, self._retries)
        first, count = 0, self._plan.num_shards
        if generation:
            retry = self._retries[generation - 1]
            first, count = retry.first_shard, retry.num_shards
        found = [] if generation else [self._strays]
        for later in self._retries[generation:]:
            numbers = shards_over(shard - first, count, later.num_shards)
            found += [self._ids(later.first_shard + number) for number in numbers]
        return pa.concat_arrays([pa.array([], pa.string()), *found])

    def _read_ids(self, shard: int) -> pa.Array:
        table = read_part(self._dataset, self._ledger_files[shard], (_ID,))
        return table[_ID].combine_chunks()

    def _read_strays(self) -> pa.Array:
        """The ids in later generations whose place in the plan does not follow from them."""
        first = self._retries[0].first_shard
        paths = [path for shard, path in self._ledger_files.items() if shard >= first]
        strays = [pa.array([], pa.string())]
        for _, table in read_parts(self._dataset, paths, (_ID, "carrier")):
            placed = pc.equal(table["carrier"], Carrier.PARQUET.value)
            strays += table.filter(placed)[_ID].chunks
        return pa.concat_arrays(strays)
