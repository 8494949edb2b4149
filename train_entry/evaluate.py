r"""Evaluate a model on the benchmarks of the registry, beside what it was cleaned against.

    python -m train_entry.launch --nproc-per-node 8 -m train_entry.evaluate /runs/seer-10b \
        --root /benchmarks --output /evaluations/seer-10b --training-data gs://bucket/dataset

    python -m train_entry.evaluate my_models:resnet50 --root /benchmarks --output out \
        --benchmarks oxford-pets fine-grained --protocols linear_probe nearest_neighbors

Writes OUTPUT/evaluation.json, figures.parquet and index.html. The same command again goes on where
it was stopped: features and finished figures are kept.
"""

import argparse
import logging
import os
from collections.abc import Sequence

from pydantic import ValidationError

from train_entry.command_line import add_options, leave
from train_entry.errors import ConfigError, TrainError
from train_entry.evaluation.options import EvaluateOptions

_LOG = logging.getLogger("train_entry")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 all done, 1 some could not be done, 2 wrong arguments, model or data."""
    parser = argparse.ArgumentParser(
        prog="python -m train_entry.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, EvaluateOptions)
    told = vars(parser.parse_args(argv))
    logging.basicConfig(
        level=logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",
        force=True,
    )
    try:
        options = _options(told)
        # Only now: torch takes seconds, a mistyped flag should not.
        from train_entry.evaluation.whole import evaluate
        from train_entry.parallel import joined_ranks

        with joined_ranks(options.device) as ranks:
            complete = evaluate(options, ranks)
    except TrainError as error:
        _LOG.error("%s", error)
        return 2
    return 0 if complete else 1


def _options(told: dict[str, object]) -> EvaluateOptions:
    try:
        return EvaluateOptions.model_validate(told)
    except ValidationError as error:
        problems = "; ".join(
            f"--{one['loc'][0]}: {one['msg']}, got {one['input']}" for one in error.errors()
        )
        raise ConfigError(problems) from error


if __name__ == "__main__":
    leave(main())
