"""The whole evaluation of one model: plan, run, compare, report."""

import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile

from pydantic import ValidationError

from schemas.benchmarks.model import Benchmark
from schemas.figures import Evaluation
from schemas.manifest import decode
from train_entry.errors import ConfigError
from train_entry.evaluation.contamination import TrainingData, contamination_of
from train_entry.evaluation.encoder import Encoder, Placement
from train_entry.evaluation.encoders import load_encoder
from train_entry.evaluation.jobs import Job, chosen_benchmarks, known_benchmarks, plan_jobs
from train_entry.evaluation.options import EvaluateOptions
from train_entry.evaluation.report import write_report
from train_entry.evaluation.results import JobResult, benchmark_result
from train_entry.evaluation.runner import Runner, deviations_of
from train_entry.evaluation.together import gathered
from train_entry.parallel import Ranks

_VERSIONED = ("uncurated", "torch", "scikit-learn", "numpy", "pillow", "simplejpeg")
_LOG = logging.getLogger("train_entry")


def evaluate(options: EvaluateOptions, ranks: Ranks) -> bool:
    """Evaluate a model and write the report; whether all that was asked for was done. Collective.

    Raises TrainError for what is wrong with the options, the model, or the training data.
    """
    others = [_read_evaluation(path) for path in options.compare]
    known = known_benchmarks(options.definitions)
    jobs, missing = plan_jobs(known, options)
    if not jobs:
        raise ConfigError(
            f"expected something to evaluate, got none: {_why(known, options, missing)}"
        )
    _expect_writable(options)
    encoder = load_encoder(options.model, Placement(ranks, options.precision, options.shard))
    data = _training_data(options, encoder)
    found, failed = Runner(encoder, options).run(jobs)
    missing |= failed
    if ranks.first:
        done = [(job, found[job.name]) for job in jobs if job.name in found]
        evaluation = _evaluation(options, encoder, data, done, missing)
        write_report([evaluation, *others], Path(options.output), known)
        for name, reason in missing.items():
            _LOG.warning("%s: not evaluated: %s", name, reason)
        _LOG.info("%s/index.html: %d benchmarks and protocols", options.output, len(done))
    # One that left with another code than 0 would have torchrun end the one that writes.
    gathered(None, ranks)
    return not missing


def _why(
    known: Mapping[str, Benchmark], options: EvaluateOptions, missing: Mapping[str, str]
) -> str:
    """Why there is nothing to do; several protocols may lack the same images."""
    if missing:
        return "; ".join(dict.fromkeys(missing.values()))
    if chosen_benchmarks(known, options):
        return f"the benchmarks have no protocol {' or '.join(options.protocols)}"
    return f"no folder of a benchmark in {options.root}"


def _expect_writable(options: EvaluateOptions) -> None:
    """Raise ConfigError if the output is no place to write to, before any work is done."""
    try:
        Path(options.output).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=options.output):
            pass
    except OSError as error:
        raise ConfigError(f"output: expected a folder to write to: {error}") from error


def _training_data(options: EvaluateOptions, encoder: Encoder) -> TrainingData | None:
    if not options.training_data:
        return None
    record = encoder.record
    return TrainingData.open(options.training_data, record.merkle_root, record.tombstones)


def _evaluation(
    options: EvaluateOptions,
    encoder: Encoder,
    data: TrainingData | None,
    done: Iterable[tuple[Job, JobResult]],
    missing: dict[str, str],
) -> Evaluation:
    return Evaluation(
        encoder=encoder.record,
        training_data=options.training_data,
        versions={name: version(name) for name in _VERSIONED},
        results=tuple(
            benchmark_result(
                job,
                found,
                deviations_of(job, encoder, options),
                contamination_of(job.benchmark, data),
            )
            for job, found in done
        ),
        missing=missing,
    )


def _read_evaluation(path: str) -> Evaluation:
    try:
        return decode(Evaluation, Path(path).read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigError(f"{path}: expected the evaluation.json of a model: {error}") from error
