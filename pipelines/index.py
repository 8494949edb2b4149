"""Fingerprint evaluation sets on Beam, then write their index."""

import logging
import tempfile
from collections.abc import Sequence

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions

from ingest.benchmark_files import eval_sets_of, present_benchmarks
from ingest.errors import SetupError
from ingest.evaluation_index.build import IndexContent, output_folder, publish_index
from ingest.evaluation_index.calibrate import calibrate
from ingest.evaluation_index.descriptor import Descriptor
from ingest.evaluation_index.extend import fingerprints_of
from ingest.evaluation_index.fingerprints import Fingerprints
from ingest.evaluation_index.parts import (
    Unit,
    list_units,
    read_background,
    read_fingerprints,
    write_unit,
)
from ingest.evaluation_index.search import EvaluationIndex
from ingest.evaluation_index.sources import EvalSet, parse_eval_set
from pipelines.run import run_pipeline
from pipelines.runners import workers_are_here
from schemas.benchmarks import RegistryError, benchmark
from schemas.benchmarks.model import Benchmark, MatchRule
from schemas.command_options import IndexOptions
from schemas.evaluation import Calibration, EvalIndexRecord

_log = logging.getLogger(__name__)


class FingerprintUnit(beam.DoFn):
    """Write the fingerprints of one unit."""

    def __init__(self, options: IndexOptions) -> None:
        self._options = options

    def process(self, unit: bytes) -> None:
        write_unit(Unit.decode(unit), self._options)


def index(options: IndexOptions, beam_arguments: Sequence[str]) -> EvalIndexRecord:
    """The record of a new index of these sets; the same sets in any order give the same bytes."""
    output = output_folder(options.output)
    sets, rules = _eval_sets(options)
    extended = [EvaluationIndex.open(uri) for uri in options.extend]
    _check_distinct(sets, extended)
    with tempfile.TemporaryDirectory(prefix="uncurated-index-") as folder:
        units = list_units(options, sets, options.scratch or folder)
        _run(units, options, beam_arguments)
        content = _content(options, units, extended, rules)
        background = _background(options, units)
        if background.num_rows:
            calibrate(content, background, options.hub_hits)
        publish_index(content, output)
    return EvaluationIndex.open(options.output).record


def _eval_sets(options: IndexOptions) -> tuple[list[EvalSet], dict[str, MatchRule]]:
    sets = [parse_eval_set(text) for text in options.eval_set]
    for number, one in enumerate(sets):
        if one.name in {other.name for other in sets[:number]}:
            raise SetupError(f"--eval-set: expected each name once, got {one.name!r} twice")
    benchmarks = _benchmarks(options)
    sets += [part for one in benchmarks for part in eval_sets_of(one, options.root)]
    if not sets and not options.extend:
        raise SetupError("expected --eval-set, --root or --extend, got none of them")
    return sets, {one.id: one.match for one in benchmarks}


def _benchmarks(options: IndexOptions) -> list[Benchmark]:
    if not options.root:
        if options.benchmark:
            raise SetupError("--benchmark: expected --root beside it, got none")
        return []
    try:
        named = [benchmark(name) for name in sorted(set(options.benchmark))]
    except RegistryError as error:
        raise SetupError(f"--benchmark: {error}") from error
    trained = [one.id for one in named if not one.clean_splits]
    if trained:
        raise SetupError(
            f"--benchmark: expected evaluation sets, got {', '.join(trained)}, which train"
        )
    found = named or [one for one in present_benchmarks(options.root) if one.clean_splits]
    if not found:
        raise SetupError(f"--root: expected folders of benchmarks, got none in {options.root}")
    return found


def _check_distinct(sets: Sequence[EvalSet], extended: Sequence[EvaluationIndex]) -> None:
    known = {one.name: "--eval-set or --root" for one in sets}
    for index_ in extended:
        for name in index_.manifest.sets:
            if name in known:
                raise SetupError(
                    f"expected each evaluation set once, got {name!r} in {known[name]} and in "
                    f"--extend {index_.record.uri}"
                )
            known[name] = f"--extend {index_.record.uri}"


def _run(units: Sequence[Unit], options: IndexOptions, beam_arguments: Sequence[str]) -> None:
    if not units:
        return
    beam_options = PipelineOptions(list(beam_arguments))
    if not options.scratch and not workers_are_here(beam_options):
        raise SetupError("--scratch: expected a URI that all workers reach, got none")
    pipeline = beam.Pipeline(options=beam_options)
    _ = (
        pipeline
        | "ListUnits" >> beam.Create([unit.encode() for unit in units])
        | "SpreadUnits" >> beam.Reshuffle()
        | "FingerprintUnit" >> beam.ParDo(FingerprintUnit(options))
    )
    run_pipeline(pipeline)


def _content(
    options: IndexOptions,
    units: Sequence[Unit],
    extended: Sequence[EvaluationIndex],
    rules: dict[str, MatchRule],
) -> IndexContent:
    parts = read_fingerprints(units)
    profiles: list[str] = [options.profile] if parts else []
    for one in extended:
        parts.append(fingerprints_of(one))
        profiles += one.manifest.profiles
        rules |= {name: record.rule for name, record in one.manifest.sets.items()}
    found = Fingerprints.joined(parts)
    empty = {unit.eval_set.name for unit in units if not unit.background} - set(
        found.images["set"].unique().to_pylist()
    )
    if empty:
        raise SetupError(f"expected images in each set, got none in {', '.join(sorted(empty))}")
    content = IndexContent(
        found,
        num_canaries=options.canaries,
        profiles=profiles,
        rules=rules,
        descriptor_sha256=_descriptor_sha256(options, bool(units), extended),
    )
    calibrations = [one.manifest.calibration for one in extended if one.manifest.calibration]
    demoted = {name: hits for one in calibrations for name, hits in one.demoted.items()}
    if demoted:
        # Their codes are gone for good; how many strangers are left must be counted anew.
        content.calibration = Calibration.of_demoted(demoted)
    return content


def _descriptor_sha256(
    options: IndexOptions, has_sets: bool, extended: Sequence[EvaluationIndex]
) -> str:
    """The digest of the one model that described all images, "" for none; SetupError if several."""
    found = {one.record.uri: one.manifest.descriptor_sha256 for one in extended}
    if has_sets:
        model = options.descriptor
        found["--descriptor"] = Descriptor(model).sha256 if model else ""
    if len(set(found.values())) > 1:
        named = ", ".join(f"{name}: {sha256 or 'none'}" for name, sha256 in found.items())
        raise SetupError(f"--descriptor: expected one model for all images, got {named}")
    return next(iter(found.values()), "")


def _background(options: IndexOptions, units: Sequence[Unit]) -> pa.Table:
    background = read_background(units)
    if options.background and not background.num_rows:
        places = ", ".join(options.background)
        raise SetupError(f"--background: expected images, got none that is readable in {places}")
    return background
