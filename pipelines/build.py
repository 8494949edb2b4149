"""Build the shards of a planned dataset on Beam, then seal it."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import orjson
from apache_beam.metrics import Metrics
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue

from ingest.canary_run import num_batches
from ingest.evaluation_index.search import EvaluationIndex
from ingest.pack.commit import list_commits, read_commits
from ingest.pack.seal import (
    begin_build,
    is_repacking,
    read_manifest,
    read_retries,
    read_seal,
    seal_dataset,
)
from ingest.pack.sweep import sweep_leftovers
from ingest.progress import ProgressSender
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
from schemas.manifest import Commit, DatasetRecord, PlanRecord
from schemas.options import BuildOptions, DerivedOptions

_log = logging.getLogger(__name__)


_SHARD, _CANARIES, _FINISHED = "shard", "canaries", "finished"
# Finished shards that one call counts: a second on an object store, work for many workers.
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


class ListWork(beam.DoFn):
    """Yield the units of work of a kind that are left; tagged, shards that are finished already.

    One listing, not a request for each shard: a build of 100,000 shards goes on within minutes.
    On a worker, for a plan may have a million shards.
    """

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset

    def process(self, work: tuple[str, int]) -> Iterator[object]:
        kind, count = work
        finished = list_commits(self._dataset) if kind == _SHARD else []
        finished = [number for number in finished if number < count]
        for at in range(0, len(finished), _FINISHED_AT_ONCE):
            yield TaggedOutput(_FINISHED, orjson.dumps(finished[at : at + _FINISHED_AT_ONCE]))
        yield from ((kind, number) for number in sorted(set(range(count)) - set(finished)))


class CountFinished(beam.DoFn):
    """Count the outcomes of shards that are finished already, and yield their numbers."""

    def __init__(self, dataset: str, progress_address: str) -> None:
        self._dataset, self._progress_address = dataset, progress_address

    def process(self, shards: bytes) -> list[int]:
        commits = read_commits(self._dataset, orjson.loads(shards))
        progress = ProgressSender(self._progress_address)
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
        if not is_repacking(options.output, sealed):
            sweep_leftovers(options.output, read_manifest(options.output))
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
    listed = (
        pipeline
        | "ListKinds" >> beam.Create(list(work.items()), reshuffle=False)
        | "ListWork"
        >> beam.ParDo(ListWork(run.options.output))
        .with_output_types(tuple[str, int], **{_FINISHED: bytes})
        .with_outputs(_FINISHED, main="work")
    )
    count_finished = CountFinished(run.options.output, run.progress_address)
    earlier = (
        listed[_FINISHED]
        | "SpreadFinished" >> beam.Reshuffle()
        | "CountFinished" >> beam.ParDo(count_finished).with_output_types(int)
    )
    new = (
        listed.work
        | "SpreadWork" >> beam.Reshuffle()
        | "BuildShard" >> build_shard.with_output_types(int)
    )
    _ = (
        (earlier, new)
        | "AllShards" >> beam.Flatten()
        | "CollectShards" >> beam.WithKeys("all").with_output_types(tuple[str, int])
        | "GroupShards" >> beam.GroupByKey()
        | "SealDataset" >> beam.ParDo(SealDataset(run.options.output))
    )
    return pipeline
