"""Plan a dataset on Beam: read each input once, sample, shuffle and shard its candidates.

What is kept until all rows are counted, and then shuffled, are the rows that the sampling takes.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import orjson
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsIter, AsMultiMap, AsSingleton, TaggedOutput

from ingest.errors import SetupError
from ingest.input_digest import InputDigest, digest_input
from ingest.plan_part import (
    InputCount,
    by_shard,
    check_same_plan,
    num_shards,
    read_placed_rows,
    read_plan,
    seal_plan,
    write_plan_part,
)
from ingest.sources import count_rows, expand_inputs, split_input
from ingest.sources.piece import UNCOUNTED, Piece
from pipelines.run import run_pipeline
from schemas.manifest import PlanRecord
from schemas.options import PlanOptions

_log = logging.getLogger(__name__)

# The fields of a Piece, so that Beam has a coder for them.
_Piece = tuple[str, str, int, int, int]
# URI of a piece, then where it begins and its number of rows.
_PieceRows = tuple[str, tuple[int, int]]
_Part = tuple[int, int, str]
# Shard and rows. As JSON: with Beam's coders of tuples a plan took 49 us a row instead of 40.
_Rows = tuple[str, bytes]
_COUNTS = "counts"


class SplitInput(beam.DoFn):
    """Yield the pieces of an input."""

    def __init__(self, options: PlanOptions) -> None:
        self._options = options

    def process(self, uri: str) -> Iterator[_Piece]:
        yield from map(tuple, split_input(uri, self._options))


class CountPiece(beam.DoFn):
    """Yield where a piece begins and how many rows it has, if others are numbered after it."""

    def __init__(self, options: PlanOptions) -> None:
        self._options = options

    def process(self, fields: _Piece) -> Iterator[_PieceRows]:
        piece = Piece(*fields)
        if piece.first_row == UNCOUNTED:
            yield piece.uri, (piece.begin, count_rows(piece, self._options))


class ReadRows(beam.DoFn):
    """Yield the rows of a piece that the sampling takes, as JSON; tagged, how many it read."""

    def __init__(self, options: PlanOptions) -> None:
        self._options = options

    def process(
        self, fields: _Piece, counted: Mapping[str, Iterable[tuple[int, int]]]
    ) -> Iterator[bytes]:
        piece = Piece(*fields)
        if piece.first_row == UNCOUNTED:
            before = (rows for begin, rows in counted[piece.uri] if begin < piece.begin)
            piece = piece._replace(first_row=sum(before))
        num_read = num_taken = 0
        for rows_read, rows in read_placed_rows(piece, self._options):
            num_read, num_taken = num_read + rows_read, num_taken + len(rows)
            yield orjson.dumps(rows)
        yield TaggedOutput(_COUNTS, (piece.uri, piece.kind, num_read, num_taken))


class AssignShards(beam.DoFn):
    """Yield (shard, rows), once the total is known."""

    def __init__(self, options: PlanOptions) -> None:
        self._options = options

    def process(self, rows: bytes, total: int) -> Iterator[_Rows]:
        pieces = by_shard(orjson.loads(rows), num_shards(total, self._options))
        for shard, some in pieces.items():
            yield shard, orjson.dumps(some)


class ListShards(beam.DoFn):
    """Yield no rows for each shard, so that a shard without candidates has a part too."""

    def __init__(self, options: PlanOptions) -> None:
        self._options = options

    def process(self, _: None, total: int) -> Iterator[_Rows]:
        yield from ((str(shard), b"[]") for shard in range(num_shards(total, self._options)))


class WritePart(beam.DoFn):
    """Write the part of a shard and yield its number, size and digest."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> Iterator[_Part]:
        rows = (tuple(row) for some in keyed[1] for row in orjson.loads(some))
        yield write_plan_part(self._dataset, int(keyed[0]), rows)


class DigestInput(beam.DoFn):
    """Yield size and SHA-256 of an input."""

    def __init__(self, options: PlanOptions) -> None:
        self._options = options

    def process(self, place: tuple[str, str]) -> Iterator[InputDigest]:
        yield digest_input(*place, self._options.input_digests)


class SealPlan(beam.DoFn):
    """Write `plan.json` from all counts and parts."""

    def __init__(self, dataset: str, options: PlanOptions) -> None:
        self._dataset, self._options = dataset, options

    def process(
        self,
        _: None,
        counts: Iterable[InputCount],
        parts: Iterable[_Part],
        digests: Iterable[InputDigest],
    ) -> None:
        seal_plan(self._dataset, self._options, counts, list(parts), digests)


def plan(options: PlanOptions, dataset: str, beam_arguments: Sequence[str]) -> PlanRecord:
    """The plan of a dataset: the one that is there, if its options are the same, or a new one."""
    recorded = read_plan(dataset)
    if recorded is not None:
        check_same_plan(dataset, recorded, options)
        return recorded
    pipeline = beam.Pipeline(options=PipelineOptions(list(beam_arguments)))
    pieces = (
        pipeline
        | "ListInputs" >> beam.Create(expand_inputs(options))
        | "SpreadInputs" >> beam.Reshuffle()
        | "SplitInput" >> beam.ParDo(SplitInput(options)).with_output_types(_Piece)
        | "SpreadPieces" >> beam.Reshuffle()
    )
    rows, counts = _read(pieces, options)
    taken = (
        counts
        | "Taken" >> beam.Map(_taken).with_output_types(int)
        | "Total" >> beam.CombineGlobally(sum).with_output_types(int)
    )
    once = pipeline | "Once" >> beam.Create([None])
    shards = once | "ListShards" >> beam.ParDo(
        ListShards(options), AsSingleton(taken)
    ).with_output_types(_Rows)
    assigned = rows | "AssignShards" >> beam.ParDo(
        AssignShards(options), AsSingleton(taken)
    ).with_output_types(_Rows)
    parts = (
        (assigned, shards)
        | "AllRows" >> beam.Flatten()
        | "GroupByShard" >> beam.GroupByKey()
        | "WritePart" >> beam.ParDo(WritePart(dataset)).with_output_types(_Part)
    )
    digests = (
        pieces
        | "InputOfPiece" >> beam.Map(_input_of).with_output_types(tuple[str, str])
        | "EachInputOnce" >> beam.Distinct()
        | "DigestInput" >> beam.ParDo(DigestInput(options)).with_output_types(InputDigest)
    )
    _ = once | "SealPlan" >> beam.ParDo(
        SealPlan(dataset, options), AsIter(counts), AsIter(parts), AsIter(digests)
    )
    run_pipeline(pipeline)
    record = read_plan(dataset)
    if record is None:
        raise SetupError("planning has not finished here; run `build` when the runner is done")
    _log.info("planned %d of %d rows", record.num_candidates, record.num_rows)
    return record


def _read(
    pieces: beam.PCollection, options: PlanOptions
) -> tuple[beam.PCollection, beam.PCollection]:
    """The rows of all pieces, and the counts of each."""
    counted = pieces | "CountPiece" >> beam.ParDo(CountPiece(options)).with_output_types(_PieceRows)
    read_rows = beam.ParDo(ReadRows(options), AsMultiMap(counted)).with_output_types(
        bytes, **{_COUNTS: InputCount}
    )
    read = pieces | "ReadRows" >> read_rows.with_outputs(_COUNTS, main="rows")
    return read.rows, read[_COUNTS]


def _input_of(piece: _Piece) -> tuple[str, str]:
    return piece[0], piece[1]


def _taken(count: InputCount) -> int:
    return count[3]
