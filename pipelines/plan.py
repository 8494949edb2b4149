"""Plan a dataset on Beam: count, then sample, shuffle and shard the candidates of all inputs."""

import logging
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
import orjson
from apache_beam.options.pipeline_options import PipelineOptions

from ingest.errors import SetupError
from ingest.plan_part import (
    check_same_plan,
    count_candidates,
    num_shards,
    read_plan,
    rows_by_shard,
    seal_plan,
    write_plan_part,
)
from ingest.sources import expand_inputs
from schemas.manifest import PlanRecord
from schemas.options import PlanOptions

_log = logging.getLogger(__name__)

_Counts = tuple[str, int, int]
_Part = tuple[int, int, str]
# Shard and rows. As JSON: with Beam's coders of tuples a plan took 49 us a row instead of 40.
_Piece = tuple[str, bytes]


class CountCandidates(beam.DoFn):
    """Yield URI, rows and sampled rows of an input."""

    def __init__(self, options: PlanOptions) -> None:
        self._options = options

    def process(self, uri: str) -> Iterator[_Counts]:
        yield count_candidates(uri, self._options)


class AssignShards(beam.DoFn):
    """Yield (shard, rows) pieces of an input, once the total is known."""

    def __init__(self, options: PlanOptions) -> None:
        self._options = options

    def process(self, uri: str, counts: Iterable[_Counts]) -> Iterator[_Piece]:
        shards = num_shards(sum(count[2] for count in counts), self._options)
        for shard, rows in rows_by_shard(uri, self._options, shards):
            yield shard, orjson.dumps(rows)


class ListShards(beam.DoFn):
    """Yield an empty piece for each shard, so that a shard without candidates has a part too."""

    def __init__(self, options: PlanOptions) -> None:
        self._options = options

    def process(self, _: None, counts: Iterable[_Counts]) -> Iterator[_Piece]:
        shards = num_shards(sum(count[2] for count in counts), self._options)
        yield from ((str(shard), b"[]") for shard in range(shards))


class WritePart(beam.DoFn):
    """Write the part of a shard and yield its number, size and digest."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> Iterator[_Part]:
        rows = (row for piece in keyed[1] for row in orjson.loads(piece))
        yield write_plan_part(self._dataset, int(keyed[0]), rows)


class SealPlan(beam.DoFn):
    """Write `plan.json` from all counts and parts."""

    def __init__(self, dataset: str, options: PlanOptions) -> None:
        self._dataset, self._options = dataset, options

    def process(self, _: None, counts: Iterable[_Counts], parts: Iterable[_Part]) -> None:
        seal_plan(self._dataset, self._options, counts, list(parts))


def plan(options: PlanOptions, dataset: str, beam_arguments: Sequence[str]) -> PlanRecord:
    """The plan of a dataset: the one that is there, if its options are the same, or a new one."""
    recorded = read_plan(dataset)
    if recorded is not None:
        check_same_plan(dataset, recorded, options)
        return recorded
    pipeline = beam.Pipeline(options=PipelineOptions(list(beam_arguments)))
    inputs = (
        pipeline
        | "ListInputs" >> beam.Create(expand_inputs(options))
        | "SpreadInputs" >> beam.Reshuffle()
    )
    counts = beam.pvalue.AsIter(
        inputs
        | "CountCandidates"
        >> beam.ParDo(CountCandidates(options)).with_output_types(tuple[str, int, int])
    )
    once = pipeline | "Once" >> beam.Create([None])
    pieces = inputs | "AssignShards" >> beam.ParDo(AssignShards(options), counts).with_output_types(
        _Piece
    )
    shards = once | "ListShards" >> beam.ParDo(ListShards(options), counts).with_output_types(
        _Piece
    )
    parts = (
        (pieces, shards)
        | "AllPieces" >> beam.Flatten()
        | "GroupByShard" >> beam.GroupByKey()
        | "WritePart" >> beam.ParDo(WritePart(dataset)).with_output_types(tuple[int, int, str])
    )
    _ = once | "SealPlan" >> beam.ParDo(
        SealPlan(dataset, options), counts, beam.pvalue.AsIter(parts)
    )
    pipeline.run().wait_until_finish()
    record = read_plan(dataset)
    if record is None:
        raise SetupError("planning has not finished here; run `build` when the runner is done")
    _log.info("planned %d of %d rows", record.num_candidates, record.num_rows)
    return record
