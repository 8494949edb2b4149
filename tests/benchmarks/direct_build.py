"""`uncurated build` without Beam: the same flags and the same work, to tell what Beam adds."""

import argparse
import sys

from ingest.canary_run import num_batches
from ingest.evaluation_index.search import EvaluationIndex
from ingest.pack.seal import begin_build, seal_dataset
from ingest.plan_part import (
    InputCount,
    PlacedRow,
    by_shard,
    num_shards,
    read_placed_rows,
    seal_plan,
    write_plan_part,
)
from ingest.sources import expand_inputs, split_input
from ingest.work_unit import Engine, Run
from pipelines.options import add_flags, read_options
from schemas.options import BuildOptions, PlanOptions


def plan(options: PlanOptions, dataset: str) -> int:
    """The number of shards of the plan that was written."""
    counts: list[InputCount] = []
    placed: list[PlacedRow] = []
    for uri in expand_inputs(options):
        for piece in split_input(uri, options):
            for rows_read, rows in read_placed_rows(piece, options):
                counts.append((piece.uri, piece.kind, rows_read, len(rows)))
                placed += rows
    shards = num_shards(len(placed), options)
    rows_of = by_shard(placed, shards)
    parts = [
        write_plan_part(dataset, shard, rows_of.get(str(shard), [])) for shard in range(shards)
    ]
    seal_plan(dataset, options, counts, parts)
    return shards


def main(argv: list[str]) -> None:
    """Plan and build a dataset in this process."""
    parser = argparse.ArgumentParser()
    for model in (PlanOptions, BuildOptions):
        add_flags(parser, model)
    arguments = parser.parse_args(argv)
    options = read_options(BuildOptions, arguments)
    shards = plan(read_options(PlanOptions, arguments), options.output)
    index = EvaluationIndex.open(options.match.eval_index).record
    engine = Engine(Run(options, begin_build(options, index)))
    commits = [commit for shard in range(shards) for commit in engine.submit(shard)]
    for batch in range(num_batches(index)):
        engine.try_canaries(batch)
    seal_dataset(options.output, commits + engine.drain())
    engine.close()


if __name__ == "__main__":
    main(sys.argv[1:])
