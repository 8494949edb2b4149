"""Fingerprint evaluation sets on Beam, then write their index."""

import logging
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.options.pipeline_options import PipelineOptions

from ingest.benchmark_files import eval_sets_of, present_benchmarks
from ingest.errors import SetupError
from ingest.evaluation_index.build import IndexContent, output_folder, publish_index
from ingest.evaluation_index.calibrate import calibrate, fingerprint_background
from ingest.evaluation_index.descriptor import Descriptor
from ingest.evaluation_index.extend import fingerprints_of
from ingest.evaluation_index.fingerprints import Fingerprints, fingerprint_set
from ingest.evaluation_index.search import EvaluationIndex
from ingest.evaluation_index.sources import EvalSet, parse_eval_set
from schemas.benchmarks import RegistryError, benchmark
from schemas.benchmarks.model import Benchmark, MatchRule
from schemas.evaluation import BackgroundImage, EvalIndexRecord
from schemas.options import IndexOptions

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unit:
    """A part of an evaluation set, or of the background, and the file that its rows go to."""

    eval_set: EvalSet
    background: bool
    part: str


class FingerprintUnit(beam.DoFn):
    """Write the fingerprints of one unit, and yield it."""

    def __init__(self, options: IndexOptions) -> None:
        self._options = options

    def process(self, unit: Unit) -> Iterable[str]:
        if unit.background:
            table = fingerprint_background(unit.eval_set, self._options.max_pixels)
            pq.write_table(table, f"{unit.part}.background")
        else:
            found = fingerprint_set(unit.eval_set, self._options)
            pq.write_table(found.images, f"{unit.part}.images")
            pq.write_table(found.canaries, f"{unit.part}.canaries")
        yield unit.part


def index(
    options: IndexOptions,
    beam_arguments: Sequence[str],
    on_unit: Callable[[str], None] = lambda name: None,
) -> EvalIndexRecord:
    """The record of a new index of these sets; the same sets in any order give the same bytes."""
    output = output_folder(options.output)
    sets, rules = _eval_sets(options)
    extended = [EvaluationIndex.open(uri) for uri in options.extend]
    _check_distinct(sets, extended)
    with tempfile.TemporaryDirectory(prefix="uncurated-index-") as scratch:
        units = _units(options, sets, Path(scratch))
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
    found = named or present_benchmarks(options.root)
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


def _units(options: IndexOptions, sets: Sequence[EvalSet], scratch: Path) -> list[Unit]:
    found = [(part, False) for one in sets for part in one.split(options.unit_images)]
    for path in options.background:
        found += [(part, True) for part in EvalSet("", path, f"{path}/").split(options.unit_images)]
    return [
        Unit(part, background, str(scratch / f"{number:06d}"))
        for number, (part, background) in enumerate(found)
    ]


def _run(units: Sequence[Unit], options: IndexOptions, beam_arguments: Sequence[str]) -> None:
    if not units:
        return
    with beam.Pipeline(options=PipelineOptions(list(beam_arguments))) as pipeline:
        _ = (
            pipeline
            | "ListUnits" >> beam.Create(list(units))
            | "SpreadUnits" >> beam.Reshuffle()
            | "FingerprintUnit" >> beam.ParDo(FingerprintUnit(options))
        )


def _content(
    options: IndexOptions,
    units: Sequence[Unit],
    extended: Sequence[EvaluationIndex],
    rules: dict[str, MatchRule],
) -> IndexContent:
    parts = [
        Fingerprints(pq.read_table(f"{unit.part}.images"), pq.read_table(f"{unit.part}.canaries"))
        for unit in units
        if not unit.background
    ]
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
    return IndexContent(
        found,
        num_canaries=options.canaries,
        profiles=profiles,
        rules=rules,
        descriptor_sha256=_descriptor_sha256(options, bool(units), extended),
    )


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
    parts = [pq.read_table(f"{unit.part}.background") for unit in units if unit.background]
    background = pa.concat_tables([BackgroundImage.to_table([]), *parts])
    if options.background and not background.num_rows:
        places = ", ".join(options.background)
        raise SetupError(f"--background: expected images, got none that is readable in {places}")
    return background
