"""The pipeline behind `over_shards`: workers leave the results of each piece in a file."""

from collections.abc import Callable, Sequence

import apache_beam as beam
import orjson
from apache_beam.options.pipeline_options import PipelineOptions

from ingest import storage
from pipelines.over_shards import pack_results, result_path
from pipelines.run import run_pipeline
from pipelines.runners import workers_are_here


class DoShards(beam.DoFn):
    """Do the work on a piece of the shards, and write what it gives; work may have a `close`."""

    def __init__(self, work: Callable[[int], bytes], folder: str) -> None:
        self._work, self._folder = work, folder

    def process(self, piece: tuple[int, bytes]) -> None:
        number, shards = piece
        results = [self._work(shard) for shard in orjson.loads(shards)]
        uri = storage.join(self._folder, result_path(number))
        storage.write_bytes(uri, pack_results(results))

    def teardown(self) -> None:
        close = getattr(self._work, "close", None)
        if close is not None:
            close()


def workers_are_elsewhere(beam_arguments: Sequence[str]) -> bool:
    """Whether workers cannot see the files of this machine."""
    return not workers_are_here(PipelineOptions(list(beam_arguments)))


def run_over_shards(
    work: Callable[[int], bytes],
    pieces: Sequence[Sequence[int]],
    folder: str,
    beam_arguments: Sequence[str],
) -> None:
    """Do the work on all pieces; their results are then in `folder`."""
    if not pieces:
        return
    pipeline = beam.Pipeline(options=PipelineOptions(list(beam_arguments)))
    numbered = [(number, orjson.dumps(list(piece))) for number, piece in enumerate(pieces)]
    _ = (
        pipeline
        | "ListShards" >> beam.Create(numbered)
        | "SpreadShards" >> beam.Reshuffle()
        | "DoShards" >> beam.ParDo(DoShards(work, folder)).with_output_types(type(None))
    )
    run_pipeline(pipeline)
