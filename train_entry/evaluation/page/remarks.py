"""What is to be known of the figures: contamination, deviations, what is missing, provenance."""

from collections.abc import Iterator, Sequence

import orjson

from schemas.figures import Evaluation
from schemas.page.charts import Table
from schemas.page.section import Section
from train_entry.evaluation.page.entries import Entry, status_of
from train_entry.evaluation.page.numbers import count_text, parameters_text

Cells = tuple[str, ...]

_NOT_KNOWN = "not known"
_HEADER = (
    "benchmark",
    "status",
    "removed",
    "trained on",
    "recall of canaries",
    "may be left",
    "touched at most",
)


def contamination_section(
    evaluations: Sequence[Evaluation], models: Sequence[Sequence[Entry]]
) -> Section:
    """For every benchmark what was found, what was removed, and what may be left."""
    tables: dict[tuple[Cells, ...], list[str]] = {}
    for evaluation, entries in zip(evaluations, models, strict=True):
        tables.setdefault(_contamination_rows(entries), []).append(evaluation.encoder.name)
    intro = (
        "A test image that was trained on makes a figure too good, by how much nobody can tell "
        "afterwards. While a dataset is built, it is compared with evaluation sets, and copies "
        "are left out; planted copies, canaries, tell which share of copies such a look finds."
    )
    notes = [
        "Removed: left out before training. Trained on: found by a later look that the run did "
        "not obey; such a figure is no measurement of what the model can do with new images.",
        "Recall: share of planted copies that were found, with its 95 % interval. May be left: "
        "near copies that may still be in, if copies on the web are made as canaries are.",
        "Touched at most: trained on and may be left, over the test images of the main figure. By "
        "no more than that can these copies have raised a share of right answers. It knows nothing "
        "of what no detector of copies finds, such as another photograph of the same thing.",
    ]
    told = [
        Table(f"Training data of {'; '.join(names)}", _HEADER, rows, frozenset({4, 5, 6}))
        for rows, names in tables.items()
    ]
    return Section("contamination", "Contamination", intro, tables=told, notes=notes)


def _contamination_rows(entries: Sequence[Entry]) -> tuple[Cells, ...]:
    by_id = {one.id: one for one in reversed(entries)}
    names = dict.fromkeys(one.id for one in entries)
    return tuple(_contamination_row(by_id[name]) for name in names)


def _contamination_row(entry: Entry) -> Cells:
    told = entry.result.contamination
    status = status_of(told)
    if not told.matched:
        return (entry.name, status, "", "", "", _NOT_KNOWN, _NOT_KNOWN)
    removed = f"{told.exact_removed:,} exact, {told.near_removed:,} near"
    left = f"{told.exact_left:,} exact, {told.near_left:,} near"
    recall = "not measured"
    if told.recall and told.recall.tried:
        share = told.recall.found / told.recall.tried
        recall = f"{share:.1%} ({told.recall.low:.1%} to {told.recall.high:.1%})"
    residual = _NOT_KNOWN
    if told.residual:
        residual = f"{told.residual[0]:,.1f} to {told.residual[1]:,.1f}"
    return (entry.name, status, removed, left, recall, residual, _touched(entry))


def _touched(entry: Entry) -> str:
    """Share of test images that training images may be copies of, at most."""
    told, figure = entry.result.contamination, entry.primary
    if told.residual is None or figure is None or not figure.num_images:
        return _NOT_KNOWN
    num = told.exact_left + told.near_left + told.residual[1]
    return f"{min(1.0, num / figure.num_images):.2%}"


def deviations_section(entries: Sequence[Entry]) -> Section:
    """Where a protocol is not what was published."""
    rows = [(one.title, text) for one in entries for text in one.result.deviations]
    table = Table("Deviations", ("benchmark", "what differs"), rows, frozenset())
    intro = "All other protocols are those that the papers and their code describe."
    return Section("deviations", "Not as published", intro, tables=[table])


def missing_section(evaluation: Evaluation, entries: Sequence[Entry]) -> Section:
    """What was asked for and not run, with the reason; and images that could not be used."""
    asked = list(evaluation.missing.items())
    tables = [Table("Benchmarks not run", ("benchmark", "reason"), asked, frozenset())]
    bad = [
        (one.title, split, f"{num:,}")
        for one in entries
        for split, num in one.result.num_bad.items()
        if num
    ]
    if bad:
        header = ("benchmark", "split", "images")
        tables.append(Table("Images that could not be decoded", header, bad, frozenset({2})))
    return Section("missing", "What is missing", tables=tables)


def provenance_section(evaluation: Evaluation) -> Section:
    """What was evaluated, by what."""
    encoder = evaluation.encoder
    facts = [
        ("encoder", encoder.name),
        ("weights, SHA-256", encoder.sha256),
        ("parameters", f"{encoder.num_parameters:,}"),
        ("step", _NOT_KNOWN if encoder.step is None else f"{encoder.step:,}"),
        ("training data", evaluation.training_data or "not given"),
        ("training data, Merkle root", encoder.merkle_root or _NOT_KNOWN),
        *((f"architecture, {name}", _plain(one)) for name, one in encoder.architecture.items()),
        *((f"version of {name}", one) for name, one in evaluation.versions.items()),
    ]
    intro = (
        "The same figures are in evaluation.json and figures.parquet. The digest of a protocol is "
        "of all numbers that its figures depend on, that of a split of its images' names and bytes."
    )
    return Section("provenance", "Provenance", intro, facts)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def lead_of(evaluation: Evaluation, num_others: int) -> Iterator[str]:
    """The lines below the title."""
    encoder = evaluation.encoder
    step = "" if encoder.step is None else f", step {encoder.step:,}"
    yield f"{parameters_text(encoder.num_parameters)} parameters{step}. Weights: {encoder.sha256}."
    yield (
        f"Training data: {evaluation.training_data or 'not given'}. Merkle root: "
        f"{encoder.merkle_root or _NOT_KNOWN}."
    )
    yield "Versions: " + ", ".join(f"{name} {one}" for name, one in evaluation.versions.items())
    if num_others:
        yield f"Beside {count_text(num_others, 'other model')}."


def tiles_of(evaluation: Evaluation, entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """What stands on top of the page, in numbers."""
    by_id = {one.id: status_of(one.result.contamination) for one in entries}
    statuses = list(by_id.values())
    num_figures = sum(len(one.result.figures) for one in entries)
    return [
        ("benchmarks", f"{len(statuses):,}"),
        ("figures", f"{num_figures:,}"),
        ("cleaned against", f"{statuses.count('cleaned against'):,}"),
        ("contaminated", f"{statuses.count('contaminated'):,}"),
        ("not run", f"{len(evaluation.missing):,}"),
    ]
