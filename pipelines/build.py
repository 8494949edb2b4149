"""Build the shards of a planned dataset on Beam, then seal it."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from ingest.canary_run import num_batches
from ingest.evaluation_index.search import EvaluationIndex
from ingest.pack.seal import begin_build, read_retries, read_seal, seal_dataset
from ingest.work_unit import Engine, Run
from pipelines.options import num_fetching_processes
from pipelines.preflight import check_options
from pipelines.run import run_pipeline
from pipelines.runners import (
    check_one_process_a_machine,
    one_process_a_machine,
    with_deadline,
    with_min_ram,
)
from schemas.evaluation import EvalIndexRecord
from schemas.manifest import Commit, DatasetRecord, PlanRecord, decode, encode
from schemas.options import BuildOptions, DerivedOptions

_log = logging.getLogger(__name__)


_SHARD, _CANARIES = "shard", "canaries"


class BuildShard(beam.DoFn):
    """Build one shard from its plan part and yield its `Commit`, as JSON; or try canaries."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._engine: Engine | None = None

    def setup(self) -> None:
        self._engine = Engine(self._run)  # once a process: sockets, decoders, evaluation index

    def process(self, work: tuple[str, int]) -> list[bytes]:
        kind, number = work
        if kind == _CANARIES:
            return self._counted(lambda engine: engine.try_canaries(number))
        # The shard goes on while the next begins: its commit may be yielded by a later call.
        return self._counted(lambda engine: engine.submit(number))

    def finish_bundle(self) -> list[WindowedValue]:
        window = GlobalWindow()
        return [
            WindowedValue(content, window.max_timestamp(), [window])
            for content in self._counted(Engine.drain)
        ]

    def teardown(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _counted(self, work: Callable[[Engine], list[Commit]]) -> list[bytes]:
        """The commits that some work finished, as JSON; a failure ends all processes first."""
        assert self._engine is not None
        try:
            commits = work(self._engine)
        except BaseException:
            self.teardown()
            raise
        for commit in commits:
            for outcome, count in commit.outcomes.items():
                Metrics.counter("outcomes", outcome).inc(count)
        return [encode(commit) for commit in commits]


class SealDataset(beam.DoFn):
    """Write manifest and dataset record from all commits."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset

    def process(self, keyed: tuple[str, Iterable[bytes]]) -> None:
        seal_dataset(self._dataset, [decode(Commit, content) for content in keyed[1]])


def build(
    options: BuildOptions,
    plan: PlanRecord,
    beam_arguments: Sequence[str],
    progress_address: str = "",
) -> DatasetRecord:
    """The record of the finished dataset; raises Submitted if the runner goes on without us.

    Shards that are committed already are neither fetched nor written again.
    """
    check_options(options, beam_arguments)
    arguments = with_deadline(one_process_a_machine(beam_arguments), options, plan)
    check_one_process_a_machine(arguments, options.politeness)
    num_processes = num_fetching_processes(arguments, options.politeness)
    index_uri = options.match.eval_index
    index = EvaluationIndex.open(index_uri).record if index_uri else None
    build_sha256 = begin_build(options, index)
    sealed, retries = read_seal(options.output), read_retries(options.output)
    if sealed is not None and len(sealed.retries) == len(retries):
        _log.info("%s is complete already: nothing to do", options.output)
        return sealed
    work = {
        _SHARD: plan.num_shards + sum(retry.num_shards for retry in retries),
        _CANARIES: num_batches(index),
    }
    run = Run(options, build_sha256, num_processes, progress_address, retries)
    run_pipeline(build_pipeline(run, work, index, arguments))
    sealed = read_seal(options.output)
    assert sealed is not None
    return sealed


def build_pipeline(
    run: Run,
    work: Mapping[str, int],
    index: EvalIndexRecord | None,
    arguments: Sequence[str],
) -> beam.Pipeline:
    """The pipeline that builds so many shards and tries so many batches of canaries."""
    # Copies are made in processes of their own, beside the decoders.
    num_pools = 2 if isinstance(run.options, DerivedOptions) else 1
    build_shard = with_min_ram(
        beam.ParDo(BuildShard(run)), arguments, run.options.inspect, index, num_pools
    )
    pipeline = beam.Pipeline(options=PipelineOptions(list(arguments)))
    _ = (
        pipeline
        | "ListWork" >> beam.Create(list(work.items()), reshuffle=False)
        | "NumberWork" >> beam.FlatMap(number_work).with_output_types(tuple[str, int])
        | "SpreadWork" >> beam.Reshuffle()
        | "BuildShard" >> build_shard.with_output_types(bytes)
        | "CollectCommits" >> beam.WithKeys("all").with_output_types(tuple[str, bytes])
        | "GroupCommits" >> beam.GroupByKey()
        | "SealDataset" >> beam.ParDo(SealDataset(run.options.output))
    )
    return pipeline


def number_work(work: tuple[str, int]) -> Iterator[tuple[str, int]]:
    """Each unit of work, from its kind and how many there are: a plan may have a million shards."""
    kind, count = work
    yield from ((kind, number) for number in range(count))
