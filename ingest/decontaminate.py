"""Finds copies of evaluation images in a finished dataset, from what its ledger says of each.

Hashes alone name the suspects; only their bytes are read, by range requests, and compared as a
build compares them. What is a copy gets a tombstone.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest import storage
from ingest.borderline import BorderlineJudge
from ingest.canary_run import canary_rows, query_of, result_of
from ingest.errors import InspectError
from ingest.evaluation_index.match import Match, Query, describe_match
from ingest.evaluation_index.search import EvaluationIndex
from ingest.fingerprint import View
from ingest.inspect.sandbox import DecoderPool
from ingest.spool import Region, Spool
from schemas.arrow import parquet_bytes
from schemas.certificate import CanaryResult
from schemas.manifest import Commit, digest
from schemas.options import InspectOptions, MatchOptions
from schemas.outcome import Outcome
from schemas.tombstone import Tombstone, tombstone_path

_COLUMNS = [
    *("id", "sha256", "pixels_sha256", "phash", "texture", "trimmed_phash"),
    *("offset_bytes", "length_bytes"),
]
_BATCH = 8192
# A trimmed hash is in the ledger only if its view had texture enough.
_ENOUGH_TEXTURE = 256


@dataclass(frozen=True)
class ShardSearch:
    """What was found in one shard; the file is "" if nothing was."""

    shard: int
    num_candidates: int
    num_suspects: int
    exact: dict[str, int]
    near: dict[str, int]
    tombstone_file: str = ""
    tombstone_sha256: str = ""


class Decontaminator:
    """Looks through shards for copies of an index's images; not thread-safe."""

    def __init__(
        self, index: EvaluationIndex, match: MatchOptions, inspect: InspectOptions
    ) -> None:
        self._index, self._options = index, match
        self._spool = Spool(0, "")
        self._decoders = DecoderPool(inspect, [self._spool.descriptor])
        self._judge = BorderlineJudge(index, match, self._decoders)
        self._loop = asyncio.new_event_loop()

    def search(self, dataset: str, commit: Commit) -> ShardSearch:
        """Look through one shard, and write its tombstones if there are any."""
        table = kept_rows(dataset, commit)
        tombstones: list[Tombstone] = []
        num_suspects = 0
        for start in range(0, table.num_rows, _BATCH):
            rows = table.slice(start, _BATCH)
            queries = stored_queries(rows)
            matches = self._index.match(queries, self._options)
            places = [number for number, match in enumerate(matches) if match is not None]
            num_suspects += len(places)
            found = rows.take(pa.array(places, pa.int64())).to_pylist()
            decided = self._decide(dataset, commit, found, [matches[one] for one in places])
            tombstones += [
                _tombstone(row["id"], commit.shard, match)
                for row, match in zip(found, decided, strict=True)
                if match is not None and match.outcome is not None
            ]
        return self._write(dataset, commit, table.num_rows, num_suspects, tombstones)

    def try_canaries(self, batch: int) -> list[CanaryResult]:
        """What becomes of a batch of the index's canaries if only their hashes were on record."""
        rows = canary_rows(self._index, batch)
        regions = [self._spool.append(row["content"]) for row in rows]
        queries = self._loop.run_until_complete(self._inspect(regions))
        stored = [_as_stored(one) if one else _NOTHING for one in queries]
        hints = self._index.match(stored, self._options)
        sure = self._sure_matches(queries, regions)
        self._spool.clear()
        return [
            result_of(row, match if hint is not None else None)
            for row, hint, match in zip(rows, hints, sure, strict=True)
        ]

    def close(self) -> None:
        """End the decoder processes."""
        self._decoders.close()
        self._spool.close()
        self._loop.close()

    def _decide(
        self, dataset: str, commit: Commit, rows: list[dict[str, int]], hints: list[Match | None]
    ) -> list[Match | None]:
        """The matches by pixels of rows that hashes made suspect."""
        uri = storage.join(dataset, commit.shard_file)
        asked = [
            number
            for number, hint in enumerate(hints)
            if hint is not None and hint.outcome is not Outcome.DUPLICATE_EXACT
        ]
        regions = [
            self._spool.append(
                storage.read_range(uri, rows[one]["offset_bytes"], rows[one]["length_bytes"])
            )
            for one in asked
        ]
        queries = self._loop.run_until_complete(self._inspect(regions))
        sure = self._sure_matches(queries, regions)
        self._spool.clear()
        decided = list(hints)
        for number, match in zip(asked, sure, strict=True):
            decided[number] = match
        return decided

    def _sure_matches(
        self, queries: Sequence[Query | None], regions: Sequence[Region]
    ) -> list[Match | None]:
        """What a build would have decided of the images in some regions."""
        matches = self._index.match([one or _NOTHING for one in queries], self._options)
        return [
            self._loop.run_until_complete(self._judge.decide(match, region))
            for match, region in zip(matches, regions, strict=True)
        ]

    async def _inspect(self, regions: Sequence[Region]) -> list[Query | None]:
        """What to ask about the images in some regions; None for what can't be decoded."""
        found = await asyncio.gather(*map(self._decoders.inspect, regions), return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException) and not isinstance(one, InspectError):
                raise one
        return [None if isinstance(one, BaseException) else query_of(one) for one in found]

    def _write(
        self,
        dataset: str,
        commit: Commit,
        num_candidates: int,
        num_suspects: int,
        tombstones: list[Tombstone],
    ) -> ShardSearch:
        counted = ShardSearch(
            commit.shard,
            num_candidates,
            num_suspects,
            exact=_count(tombstones, Outcome.DUPLICATE_EXACT),
            near=_count(tombstones, Outcome.DUPLICATE_NEAR),
        )
        if not tombstones:
            return counted
        content = parquet_bytes(Tombstone.to_table(tombstones))
        path = tombstone_path(self._index.record.sha256, commit.shard)
        storage.write_bytes(storage.join(dataset, path), content)
        return replace(counted, tombstone_file=path, tombstone_sha256=digest(content))


_NOTHING = Query(bytes(32), bytes(32), ())


def kept_rows(dataset: str, commit: Commit) -> pa.Table:
    """What the ledger says of the samples of a shard that a search needs."""
    with storage.open_input(storage.join(dataset, commit.ledger_file)) as file:
        # Threads of Arrow that hold a Python file may abort the interpreter's exit.
        columns = [*_COLUMNS, "outcome"]
        table = pq.read_table(file, columns=columns, use_threads=False, pre_buffer=False)
    return table.filter(pc.equal(table["outcome"], Outcome.KEPT.value))


def stored_queries(rows: pa.Table) -> list[Query]:
    """What to ask about samples of which only the ledger's row is known."""
    columns = (rows[name].to_pylist() for name in _COLUMNS[1:6])
    return [
        Query(
            bytes.fromhex(sha256),
            bytes.fromhex(pixels_sha256),
            (_stored_view(phash, texture), *_trimmed(trimmed)),
        )
        for sha256, pixels_sha256, phash, texture, trimmed in zip(*columns, strict=True)
    ]


def _stored_view(phash: str, texture: int) -> View:
    return View(bytes.fromhex(phash), texture, b"", b"")


def _trimmed(phash: str | None) -> list[View]:
    return [] if phash is None else [_stored_view(phash, _ENOUGH_TEXTURE)]


def _as_stored(query: Query) -> Query:
    views = tuple(View(view.code, view.texture, b"", b"") for view in query.views)
    return replace(query, views=views)


def _tombstone(sample_id: str, shard: int, match: Match) -> Tombstone:
    assert match.outcome is not None
    return Tombstone(
        id=sample_id,
        shard=shard,
        outcome=match.outcome,
        detail=describe_match(match),
        nearest_eval=match.name,
        nearest_eval_variant=match.variant,
        nearest_eval_view=match.view,
        nearest_eval_distance=match.distance,
        nearest_eval_correlation=match.correlation,
    )


def _count(tombstones: Sequence[Tombstone], outcome: Outcome) -> dict[str, int]:
    counts: dict[str, int] = {}
    for one in tombstones:
        if one.outcome is outcome and one.nearest_eval is not None:
            name = one.nearest_eval.partition("/")[0]
            counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))
