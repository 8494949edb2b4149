"""The rows of the overview and the part on each benchmark."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from markupsafe import Markup

from schemas.benchmarks.vocabulary import Category
from schemas.figures import Figure
from schemas.page.charts import Table
from schemas.page.section import Section
from schemas.page.template import render
from train_entry.evaluation.page.drawings import category_chart
from train_entry.evaluation.page.entries import Entry, by_category, status_of
from train_entry.evaluation.page.groups import figure_tables, reported_tables
from train_entry.evaluation.page.kinds import own_tables
from train_entry.evaluation.page.numbers import (
    Better,
    better,
    explain_metric,
    interval_text,
    value_text,
)
from train_entry.evaluation.page.published import beside

_FOLDER = Path(__file__).parent
_SHORT_DIGEST = 8
_OPEN = (Category.FAIRNESS, Category.GEOGRAPHY)
_CLASSES = {"contaminated": "bad", "cleaned against": "good"}
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Row:
    """A primary figure with all that is to be read beside it, as texts."""

    anchor: str
    name: str
    protocol: str
    metric: str
    split: str
    value: str
    interval: str
    num_images: str
    published: str
    source: str
    difference: str
    status: str
    status_class: str
    contamination: str
    digest: str


@dataclass(frozen=True)
class Part:
    """What is shown of one benchmark by one protocol. open: whether its tables are."""

    rows: Sequence[Row]
    explanation: str
    deviations: Sequence[str]
    tables: Sequence[Table]
    facts: Sequence[tuple[str, str]]
    open: bool


def anchors_of(entries: Sequence[Entry]) -> dict[int, str]:
    """The anchor of each entry, by its identity: names are other people's, numbers are not."""
    return {id(entry): f"result-{place}" for place, entry in enumerate(entries)}


def overview_section(entries: Sequence[Entry], model: str) -> Section:
    """The table of all primary figures."""
    anchors = anchors_of(entries)
    groups = [
        (word, [row for one in members for row in rows_of(one, anchors[id(one)], model)])
        for word, _, members in by_category(entries)
    ]
    intro = (
        "Read a figure together with its interval, which covers the choice of the test images "
        "but not that of the training, and with what is known of those images in the training data."
    )
    html = Markup(render("overview.html", _FOLDER, groups=groups))  # the template escapes
    return Section("figures", "All benchmarks", intro, html=html)


def category_sections(entries: Sequence[Entry], model: str) -> Iterator[Section]:
    """A section for each category: a drawing, tables of its own, and each benchmark."""
    anchors = anchors_of(entries)
    for word, explanation, members in by_category(entries):
        found = [(one, beside(one, one.primary, model)) for one in members]
        chart = category_chart(f"Main figures: {word}", found)
        parts = [_part(one, anchors[id(one)], model) for one in members]
        yield Section(
            f"category-{word}",
            word.replace("-", " ").capitalize(),
            explanation,
            charts=[chart] if chart else [],
            tables=own_tables(word, members, entries),
            html=Markup(render("benchmarks.html", _FOLDER, benchmarks=parts)),  # it escapes
        )


def rows_of(entry: Entry, anchor: str, model: str) -> list[Row]:
    """A row for each primary figure of an entry, or one that says that there is none."""
    figures: list[Figure | None] = [*entry.primaries] or [None]
    return [_row(entry, figure, anchor, model) for figure in figures]


def _row(entry: Entry, figure: Figure | None, anchor: str, model: str) -> Row:
    result = entry.result
    other = beside(entry, figure, model)
    status, sentence = status_of(result.contamination), result.contamination.sentence
    metric = figure.metric if figure else ""
    digest = result.figures[0].protocol_sha256 if result.figures else ""
    return Row(
        anchor=anchor,
        name=entry.name,
        protocol=result.protocol.replace("_", " "),
        metric=metric.replace("_", " "),
        split=figure.split if figure else "",
        value=value_text(metric, figure.value) if figure else NOT_MEASURED,
        interval=interval_text(metric, figure.low, figure.high) if figure else "",
        num_images=f"{figure.num_images:,}" if figure else "0",
        published=other.told if other else "",
        source=other.published.source if other else "",
        difference=other.text if other else "",
        status=status,
        status_class=_CLASSES.get(status, "open"),
        # Not twice the same.
        contamination="" if sentence.strip(".").lower() == status else sentence,
        digest=digest[:_SHORT_DIGEST],
    )


def _part(entry: Entry, anchor: str, model: str) -> Part:
    figure = entry.primary
    words = []
    if figure:
        words = [explain_metric(figure.metric), figure.setting and f"Setting: {figure.setting}."]
        if better(figure.metric) is not Better.HIGHER:
            words.append(f"{better(figure.metric).value.capitalize()}.")
    return Part(
        rows_of(entry, anchor, model),
        " ".join(filter(None, words)),
        entry.result.deviations,
        [*figure_tables(entry), *reported_tables(entry)],
        list(_facts(entry)),
        entry.category in _OPEN,
    )


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    result = entry.result
    digests = dict.fromkeys(one.protocol_sha256 for one in result.figures)
    yield "protocol, SHA-256", ", ".join(digests)
    if entry.benchmark:
        yield "home", entry.benchmark.home
        yield "licence", entry.benchmark.licence
    for split, digest in result.splits.items():
        num, bad = result.num_images.get(split, 0), result.num_bad.get(split, 0)
        lost = f"; {bad:,} could not be decoded" if bad else ""
        yield f"images of {split}", f"{num:,}{lost}; SHA-256 {digest}"
    yield from _flat(result.recipe)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif value not in (None, "", {}, [], ()):
            told = value if isinstance(value, str) else orjson.dumps(value).decode()
            yield f"{prefix}{name}".replace("_", " "), told
