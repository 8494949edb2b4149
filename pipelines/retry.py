"""Retry on Beam: find the candidates whose last outcome is asked for, and plan them anew."""

import argparse
import logging
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
import orjson
from apache_beam.options.pipeline_options import PipelineOptions

from ingest import storage
from ingest.errors import SetupError
from ingest.pack.seal import read_retries, read_seal
from ingest.plan_part import num_shards, write_plan_part
from ingest.retry import Ask, Row, last_row, merged_options, rows_of_shard, seal_retry
from ingest.sampling import shard_of
from pipelines.options import read_nested
from pipelines.run import run_pipeline
from schemas.command_options import RetryOptions
from schemas.manifest import BUILD_FILE, BuildRecord, DatasetRecord, RetryRecord, decode
from schemas.options import BuildOptions, DerivedOptions, PlanOptions

_log = logging.getLogger(__name__)

# Id, and a row as JSON; shard, and (order, ...) with the old outcome as JSON.
_Keyed = tuple[str, bytes]


class ListRows(beam.DoFn):
    """Yield the rows of a shard that matter, by candidate."""

    def __init__(self, dataset: str, ask: Ask, seed: int) -> None:
        self._dataset, self._ask, self._seed = dataset, ask, seed

    def process(self, shard: int) -> Iterator[_Keyed]:
        for candidate, row in rows_of_shard(self._dataset, shard, self._ask, self._seed):
            yield candidate, orjson.dumps(row)


class LastRow(beam.DoFn):
    """Yield old outcome and candidate, as JSON, where the row that counts is wanted."""

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> Iterator[bytes]:
        rows: list[Row] = [orjson.loads(row) for row in keyed[1]]
        found = last_row(rows)
        if found is not None:
            yield orjson.dumps(found)


class AssignShard(beam.DoFn):
    """Yield each candidate under the number of its new shard."""

    def __init__(self, first_shard: int, options: PlanOptions) -> None:
        self._first_shard, self._options = first_shard, options

    def process(self, found: bytes, total: int) -> Iterator[tuple[str, bytes]]:
        order = int(orjson.loads(found)[1][0], 16)
        shard = shard_of(order, num_shards(total, self._options))
        yield str(self._first_shard + shard), found


class WriteRetryPart(beam.DoFn):
    """Write the plan part of a new shard; yield number, size, digest and old outcomes as JSON."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> Iterator[bytes]:
        found = [orjson.loads(one) for one in keyed[1]]
        part = write_plan_part(self._dataset, int(keyed[0]), (tuple(row) for _, row in found))
        yield orjson.dumps([part, [outcome for outcome, _ in found]])


class SealRetry(beam.DoFn):
    """Write the record of the generation from all its parts."""

    def __init__(self, dataset: str, seal: DatasetRecord, ask: Ask, options: PlanOptions) -> None:
        self._dataset, self._seal, self._ask, self._options = dataset, seal, ask, options

    def process(self, _: None, parts: Iterable[bytes], total: int) -> None:
        if not total:
            return
        found = [orjson.loads(one) for one in parts]
        outcomes: dict[str, int] = {}
        for _part, words in found:
            for word in words:
                outcomes[word] = outcomes.get(word, 0) + 1
        written = {part[0]: tuple(part) for part, _words in found}
        first = self._seal.num_shards
        # A shard to which no candidate fell has a part, too.
        for shard in range(first, first + num_shards(total, self._options)):
            if shard not in written:
                written[shard] = write_plan_part(self._dataset, shard, [])
        seal_retry(self._dataset, self._seal, self._ask, list(written.values()), outcomes)


def plan_retry(dataset: str, ask: Ask, beam_arguments: Sequence[str]) -> RetryRecord | None:
    """The generation that is under way, or a new one; None if there is nothing to retry."""
    seal = read_seal(dataset)
    if seal is None:
        raise _not_finished(dataset)
    under_way = read_retries(dataset)[len(seal.retries) :]
    if under_way:
        _log.info("generation %d is under way: it goes on", under_way[0].generation)
        return under_way[0]
    options = PlanOptions.model_validate(seal.plan.options)
    pipeline = beam.Pipeline(options=PipelineOptions(list(beam_arguments)))
    found = (
        pipeline
        | "ListShards" >> beam.Create(range(seal.num_shards))
        | "SpreadShards" >> beam.Reshuffle()
        | "ListRows"
        >> beam.ParDo(ListRows(dataset, ask, options.seed)).with_output_types(tuple[str, bytes])
        | "GroupByCandidate" >> beam.GroupByKey()
        | "LastRow" >> beam.ParDo(LastRow()).with_output_types(bytes)
    )
    total = beam.pvalue.AsSingleton(found | "Count" >> beam.combiners.Count.Globally())
    parts = (
        found
        | "AssignShard"
        >> beam.ParDo(AssignShard(seal.num_shards, options), total).with_output_types(
            tuple[str, bytes]
        )
        | "GroupByShard" >> beam.GroupByKey()
        | "WritePart" >> beam.ParDo(WriteRetryPart(dataset)).with_output_types(bytes)
    )
    _ = (
        pipeline
        | "Once" >> beam.Create([None])
        | "SealRetry"
        >> beam.ParDo(SealRetry(dataset, seal, ask, options), beam.pvalue.AsIter(parts), total)
    )
    run_pipeline(pipeline)
    planned = read_retries(dataset)[len(seal.retries) :]
    return planned[0] if planned else None


def _not_finished(dataset: str) -> SetupError:
    return SetupError(f"expected a finished dataset, got none at {dataset}: run `build` first")


def build_options(dataset: str, arguments: argparse.Namespace) -> BuildOptions:
    """The options that the dataset was built with, and those given now that change no results.

    Others are refused when the build begins, naming both values. Raises SetupError without a build.
    """
    try:
        content = storage.read_bytes(storage.join(dataset, BUILD_FILE))
    except FileNotFoundError as error:
        raise _not_finished(dataset) from error
    record = decode(BuildRecord, content)
    given = read_nested(RetryOptions, arguments)
    values = {name: given[name] for name in given if name in BuildOptions.model_fields}
    merged = merged_options(record.options, {**values, "output": dataset})
    index = record.eval_index
    if index is not None and not merged["match"].get("eval_index"):
        merged["match"] = {**merged["match"], "eval_index": index.uri}
    return (DerivedOptions if "resize" in merged else BuildOptions).model_validate(merged)
