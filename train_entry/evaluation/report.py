"""Write what an evaluation found: JSON and parquet for programs, one page for people."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from schemas.arrow import parquet_bytes
from schemas.benchmarks import load_benchmarks
from schemas.benchmarks.model import Benchmark
from schemas.figures import Evaluation, Figure
from schemas.manifest import encode
from schemas.page.page import Heading, make_page
from schemas.page.section import Section
from train_entry.errors import ConfigError
from train_entry.evaluation.page.benchmarks import category_sections, overview_section
from train_entry.evaluation.page.comparison import comparison_section, named_models
from train_entry.evaluation.page.drawings import category_means, differences, radar
from train_entry.evaluation.page.entries import Entry, entries_of
from train_entry.evaluation.page.published import beside
from train_entry.evaluation.page.remarks import (
    contamination_section,
    deviations_section,
    lead_of,
    missing_section,
    provenance_section,
    tiles_of,
)
from train_entry.evaluation.page.scaling import scaling_charts
from train_entry.whole_file import write_whole

EVALUATION, FIGURES, PAGE = "evaluation.json", "figures.parquet", "index.html"
_MADE_FROM = "evaluation.json and the registry of benchmarks"


def write_report(
    evaluations: Sequence[Evaluation],
    output: Path,
    registry: Mapping[str, Benchmark] | None = None,
) -> list[Path]:
    """The files of a report on the first evaluation, beside the others; each appears whole.

    registry: what is known of the benchmarks, by id; None: that of this program.
    """
    if not evaluations:
        raise ConfigError("evaluations: expected at least one to report, got none")
    first = evaluations[0]
    known = load_benchmarks() if registry is None else registry
    figures = [figure for result in first.results for figure in result.figures]
    # A name may have what is no text.
    page = report_page(evaluations, known).encode(errors="replace")
    contents = {
        EVALUATION: encode(first),
        FIGURES: parquet_bytes(Figure.to_table(figures)),
        PAGE: page,
    }
    output.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_whole(output / name, content)
    return [output / name for name in contents]


def report_page(evaluations: Sequence[Evaluation], registry: Mapping[str, Benchmark]) -> str:
    """The page on the first evaluation, with the others beside it."""
    first = evaluations[0]
    models = [entries_of(one, registry) for one in evaluations]
    heading = Heading(
        f"Evaluation of {first.encoder.name}",
        list(lead_of(first, len(evaluations) - 1)),
        _MADE_FROM,
        tiles_of(first, models[0]),
    )
    return make_page(heading, list(_sections(evaluations, models)))


def _sections(
    evaluations: Sequence[Evaluation], models: Sequence[Sequence[Entry]]
) -> Iterator[Section]:
    first, entries = evaluations[0], models[0]
    yield overview_section(entries, first.encoder.name)
    if len(evaluations) > 1:
        yield comparison_section(evaluations, models)
    yield from _drawings(evaluations, models)
    yield from category_sections(entries, first.encoder.name)
    yield contamination_section(evaluations, models)
    yield deviations_section(entries)
    yield missing_section(first, entries)
    yield provenance_section(first)


def _drawings(
    evaluations: Sequence[Evaluation], models: Sequence[Sequence[Entry]]
) -> Iterator[Section]:
    """Sections on all categories at a glance, and on scaling; none that would be empty."""
    named = named_models(evaluations, models)
    means = category_means({name: entries for name, (_, entries) in named.items()})
    model = evaluations[0].encoder.name
    found = [(one, beside(one, one.primary, model)) for one in models[0]]
    glance = [chart for chart in (radar(means), differences(found)) if chart]
    if glance:
        yield Section("glance", "At a glance", charts=glance)
    scaling = scaling_charts(named)
    if scaling:
        intro = (
            "Figures against the number of parameters of the trunk, on a logarithmic axis. Ours "
            "have intervals; published ones have none. Lines join what one source reported."
        )
        yield Section("scaling", "Scaling", intro, charts=scaling)
