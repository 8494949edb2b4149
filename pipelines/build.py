"""Build the shards of a planned dataset on Beam, then seal it."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from ingest.canary_run import num_batches
from ingest.evaluation_index.search import EvaluationIndex
from ingest.pack.commit import list_commits, read_commits
from ingest.pack.seal import begin_build, read_retries, read_seal, seal_dataset
from ingest.progress import ProgressSender
from ingest.work_unit import Engine, Run
from pipelines.options import num_fetching_processes
from schemas.manifest import Commit, DatasetRecord, PlanRecord
from schemas.options import BuildOptions

_log = logging.getLogger(__name__)


_SHARD, _CANARIES = "shard", "canaries"
# Finished shards that one call counts: a second on an object store, and work for many workers.
_FINISHED_AT_ONCE = 1000


class BuildShard(beam.DoFn):
    """Build one shard from its plan part and yield its number; or try canaries."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._engine: Engine | None = None

    def setup(self) -> None:
        self._engine = Engine(self._run)  # once a process: sockets, decoders, evaluation index

    def process(self, work: tuple[str, int]) -> list[int]:
        kind, number = work
        if kind == _CANARIES:
            return self._counted(lambda engine: engine.try_canaries(number))
        # The shard goes on while the next begins: its number may be yielded by a later call.
        return self._counted(lambda engine: engine.submit(number))

    def finish_bundle(self) -> list[WindowedValue]:
        window = GlobalWindow()
        return [
            WindowedValue(shard, window.max_timestamp(), [window])
            for shard in self._counted(Engine.drain)
        ]

    def teardown(self) -> None:
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _counted(self, work: Callable[[Engine], list[Commit]]) -> list[int]:
        """The shards that some work finished; a failure ends all processes first."""
        assert self._engine is not None
        try:
            commits = work(self._engine)
        except BaseException:
            self.teardown()
            raise
        return _count(commits)


class CountFinished(beam.DoFn):
    """Count the outcomes of shards that are finished already, and yield their numbers."""

    def __init__(self, dataset: str, progress_address: str) -> None:
        self._dataset, self._address = dataset, progress_address

    def process(self, shards: list[int]) -> list[int]:
        commits = read_commits(self._dataset, shards)
        progress = ProgressSender(self._address)
        for outcome, count in _outcomes(commits).items():
            progress.add(outcome, count)
        progress.close()
        return _count(commits)


class SealDataset(beam.DoFn):
    """Write manifest and dataset record from the commits of all shards.

    They are read here: as elements, those of 100,000 shards took hundreds of MB in each process.
    """

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset

    def process(self, keyed: tuple[str, Iterable[int]]) -> None:
        seal_dataset(self._dataset, read_commits(self._dataset, keyed[1]))


def _outcomes(commits: Iterable[Commit]) -> Counter[str]:
    total: Counter[str] = Counter()
    for commit in commits:
        total.update(commit.outcomes)
    return total


def _count(commits: Sequence[Commit]) -> list[int]:
    """The numbers of the shards, once their outcomes are counted."""
    for outcome, count in _outcomes(commits).items():
        Metrics.counter("outcomes", outcome).inc(count)
    return [commit.shard for commit in commits]


def build(
    options: BuildOptions,
    plan: PlanRecord,
    beam_arguments: Sequence[str],
    progress_address: str = "",
) -> DatasetRecord | None:
    """The record of the finished dataset; None if the runner goes on without us (templates).

    Shards that are committed already are neither fetched nor written again.
    """
    num_processes = num_fetching_processes(beam_arguments, options.politeness)
    index_uri = options.match.eval_index
    index = EvaluationIndex.open(index_uri).record if index_uri else None
    build_sha256 = begin_build(options, index)
    sealed, retries = read_seal(options.output), read_retries(options.output)
    if sealed is not None and len(sealed.retries) == len(retries):
        _log.info("%s is complete already: nothing to do", options.output)
        return sealed
    total = plan.num_shards + sum(retry.num_shards for retry in retries)
    # One listing by the launcher, not a request for each shard by workers: at 50 ms each, 100,000
    # finished shards would take more than an hour.
    finished = [number for number in list_commits(options.output) if number < total]
    work = [(_SHARD, number) for number in sorted(set(range(total)) - set(finished))]
    work += [(_CANARIES, number) for number in range(num_batches(index))]
    run = Run(options, build_sha256, num_processes, progress_address, retries)
    pipeline = beam.Pipeline(options=PipelineOptions(list(beam_arguments)))
    _ = (
        (_finished_shards(pipeline, run, finished), _new_shards(pipeline, run, work))
        | "AllShards" >> beam.Flatten()
        | "CollectShards" >> beam.WithKeys("all").with_output_types(tuple[str, int])
        | "GroupShards" >> beam.GroupByKey()
        | "SealDataset" >> beam.ParDo(SealDataset(options.output))
    )
    pipeline.run().wait_until_finish()
    return read_seal(options.output)


def _new_shards(pipeline: beam.Pipeline, run: Run, work: list[tuple[str, int]]) -> Any:
    """The numbers of shards that are built now; canaries are tried on the way."""
    return (
        pipeline
        | "ListWork" >> beam.Create(work)
        | "SpreadWork" >> beam.Reshuffle()
        | "BuildShard" >> beam.ParDo(BuildShard(run)).with_output_types(int)
    )


def _finished_shards(pipeline: beam.Pipeline, run: Run, finished: list[int]) -> Any:
    """The numbers of shards that an earlier attempt finished, counted."""
    starts = range(0, len(finished), _FINISHED_AT_ONCE)
    count = CountFinished(run.options.output, run.progress_address)
    return (
        pipeline
        | "ListFinished" >> beam.Create([finished[at : at + _FINISHED_AT_ONCE] for at in starts])
        | "SpreadFinished" >> beam.Reshuffle()
        | "CountFinished" >> beam.ParDo(count).with_output_types(int)
    )
