"""Look through a finished dataset for copies of other evaluation images, on Beam."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version

import apache_beam as beam
import orjson
from apache_beam.options.pipeline_options import PipelineOptions

from ingest import storage
from ingest.canary_run import num_batches
from ingest.decontaminate import Decontaminator, ShardSearch
from ingest.errors import SetupError
from ingest.evaluation_index.search import EvaluationIndex
from ingest.pack.commit import read_commit
from ingest.pack.seal import read_finished
from pipelines.run import run_pipeline
from pipelines.runners import one_process_a_machine, with_min_ram
from schemas.certificate import CanaryResult, CopyCounts, certify
from schemas.command_options import DecontaminateOptions
from schemas.evaluation import EvalIndexRecord
from schemas.manifest import DatasetRecord, decode, encode
from schemas.tombstone import Decontamination, certificate_path

_log = logging.getLogger(__name__)
_SHARD, _CANARIES = "shard", "canaries"
_VERSIONED = ("uncurated", "numpy", "pillow", "pyarrow", "simplejpeg")


class SearchShard(beam.DoFn):
    """Look through one shard, or for one batch of canaries, and yield what was found, as JSON."""

    def __init__(self, options: DecontaminateOptions) -> None:
        self._options = options
        self._worker: Decontaminator | None = None

    def setup(self) -> None:
        index = EvaluationIndex.open(self._options.match.eval_index)
        self._worker = Decontaminator(index, self._options.match, self._options.inspect)

    def process(self, work: tuple[str, int]) -> Iterable[tuple[str, bytes]]:
        assert self._worker is not None
        kind, number = work
        if kind == _CANARIES:
            for result in self._worker.try_canaries(number):
                yield _CANARIES, result.model_dump_json().encode()
            return
        commit = read_commit(self._options.dataset, number)
        if commit is None:
            raise SetupError(f"expected a commit of shard {number}, got none")
        yield _SHARD, orjson.dumps(asdict(self._worker.search(self._options.dataset, commit)))

    def teardown(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None


class WriteCertificate(beam.DoFn):
    """Write the record of the decontamination from all that was found."""

    def __init__(self, options: DecontaminateOptions, index: EvalIndexRecord, root: str) -> None:
        self._options, self._index, self._root = options, index, root

    def process(self, keyed: tuple[str, Iterable[tuple[str, bytes]]]) -> None:
        shards: list[ShardSearch] = []
        canaries: list[CanaryResult] = []
        for kind, content in keyed[1]:
            if kind == _CANARIES:
                canaries.append(decode(CanaryResult, content))
            else:
                shards.append(ShardSearch(**orjson.loads(content)))
        record = summarize(self._options, self._index, self._root, shards, canaries)
        uri = storage.join(self._options.dataset, certificate_path(self._index.sha256))
        storage.write_bytes(uri, encode(record))


def summarize(
    options: DecontaminateOptions,
    index: EvalIndexRecord,
    root: str,
    shards: Sequence[ShardSearch],
    canaries: Sequence[CanaryResult],
) -> Decontamination:
    """The record of what all shards and canaries gave."""
    exact: Counter[str] = Counter()
    near: Counter[str] = Counter()
    for shard in shards:
        exact.update(shard.exact)
        near.update(shard.near)
    counts = CopyCounts(
        num_candidates=sum(shard.num_candidates for shard in shards), exact=exact, near=near
    )
    ordered = sorted(canaries, key=lambda one: (one.set, one.name, one.kind, one.params))
    return Decontamination(
        merkle_root=root,
        eval_index=index,
        versions={name: version(name) for name in _VERSIONED},
        num_suspects=sum(shard.num_suspects for shard in shards),
        num_removed=exact.total() + near.total(),
        certificate=certify(index, options.match.recorded(), counts, ordered, {}),
        tombstone_files={
            shard.tombstone_file: shard.tombstone_sha256
            for shard in sorted(shards, key=lambda one: one.shard)
            if shard.tombstone_file
        },
    )


def decontaminate(options: DecontaminateOptions, beam_arguments: Sequence[str]) -> Decontamination:
    """The record of a finished search; raises Submitted if the runner goes on without us."""
    sealed = read_finished(options.dataset)
    if not options.match.eval_index:
        raise SetupError("--eval-index: expected an evaluation index, got none")
    index = EvaluationIndex.open(options.match.eval_index).record
    found = read_decontamination(options.dataset, index.sha256)
    if found is not None and found.merkle_root == sealed.merkle_root:
        _log.info("%s was looked through for this index already", options.dataset)
        return found
    _run(options, sealed, index, beam_arguments)
    found = read_decontamination(options.dataset, index.sha256)
    assert found is not None
    return found


def read_decontamination(dataset: str, index_sha256: str) -> Decontamination | None:
    """The record of a search for the images of one index; None if there was none."""
    try:
        content = storage.read_bytes(storage.join(dataset, certificate_path(index_sha256)))
    except FileNotFoundError:
        return None
    return decode(Decontamination, content)


def _run(
    options: DecontaminateOptions,
    sealed: DatasetRecord,
    index: EvalIndexRecord,
    beam_arguments: Sequence[str],
) -> None:
    work = [(_SHARD, number) for number in range(sealed.num_shards)]
    work += [(_CANARIES, number) for number in range(num_batches(index))]
    arguments = one_process_a_machine(beam_arguments)
    search = with_min_ram(beam.ParDo(SearchShard(options)), arguments, options.inspect, index)
    pipeline = beam.Pipeline(options=PipelineOptions(arguments))
    _ = (
        pipeline
        | "ListWork" >> beam.Create(work)
        | "SpreadWork" >> beam.Reshuffle()
        | "SearchShard" >> search.with_output_types(tuple[str, bytes])
        | "CollectAll" >> beam.WithKeys("all").with_output_types(tuple[str, tuple[str, bytes]])
        | "GroupAll" >> beam.GroupByKey()
        | "WriteCertificate" >> beam.ParDo(WriteCertificate(options, index, sealed.merkle_root))
    )
    run_pipeline(pipeline)
