"""Figures against the number of parameters: ours, and the published ones of one family."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.figures import Figure
from schemas.page.charts import Chart, Table
from schemas.page.drawing import PALETTE, WIDTH_PX, clip, draw
from train_entry.evaluation.page.entries import Entry
from train_entry.evaluation.page.numbers import (
    explain_metric,
    interval_text,
    is_share,
    parameters_text,
    value_text,
)

# Parameters of the trunks of SEER's family (Goyal et al. 2022, arXiv:2202.08360), counted from
# their five numbers (train_entry/family.py).
FAMILY_PARAMETERS = {
    "8GF": 37_364_472,
    "16GF": 80_565_140,
    "32GF": 141_333_770,
    "64GF": 276_457_786,
    "128GF": 637_419_894,
    "256GF": 1_272_156_138,
    "10B": 9_323_934_872,
}
_MEMBER = re.compile(r"\bRG-?(8GF|16GF|32GF|64GF|128GF|256GF|10B)?\b", re.IGNORECASE)
_DRAWN = 12
_OURS = "evaluated here"


@dataclass(frozen=True)
class Point:
    """One model's figure. series: of one colour; mark: beside it; source: who reported it."""

    series: str
    mark: str
    model: str
    num_parameters: int
    value: float
    low: float | None
    high: float | None
    source: str


def member(model: str) -> tuple[str, int] | None:
    """What remains of a model's name without its size, and its parameters; None for others."""
    found = _MEMBER.search(model)
    if not found or not found[1]:
        return None
    rest = " ".join((model[: found.start()] + model[found.end() :]).split()).strip(" ,:")
    return rest or "SEER", FAMILY_PARAMETERS[found[1].upper()]


def scaling_charts(models: Mapping[str, tuple[int, Sequence[Entry]]]) -> list[Chart]:
    """A chart for each benchmark known of several sizes, those of most points first.

    models: number of parameters and entries by name, the evaluated one first.
    """
    first = next(iter(models.values()))[1]
    found = []
    for entry in first:
        if entry.primary is None:
            continue
        points = [*_published(entry, entry.primary), *_ours(entry, models)]
        if len({one.num_parameters for one in points}) > 1:
            found.append((entry, entry.primary, points))
    found.sort(key=lambda one: -len(one[2]))
    return [_chart(entry, figure, points) for entry, figure, points in found[:_DRAWN]]


def _published(entry: Entry, figure: Figure) -> Iterator[Point]:
    for model in dict.fromkeys(one.model for one in entry.result.published):
        size = member(model)
        one = entry.published_beside(figure, model)
        if size and one and one.model == model:
            yield Point(size[0], "", model, size[1], one.value, None, None, one.source)


def _ours(entry: Entry, models: Mapping[str, tuple[int, Sequence[Entry]]]) -> Iterator[Point]:
    key = (entry.id, entry.result.protocol)
    for model, (num_parameters, entries) in models.items():
        for one in entries:
            figure = one.primary
            if (one.id, one.result.protocol) == key and figure is not None:
                mark = model.partition(":")[0] if len(models) > 1 else ""
                ends = figure.low, figure.high
                yield Point(_OURS, mark, model, num_parameters, figure.value, *ends, _OURS)


def _chart(entry: Entry, figure: Figure, points: Sequence[Point]) -> Chart:
    points = sorted(points, key=lambda one: (one.series, one.num_parameters))
    rows = [
        (
            one.model,
            parameters_text(one.num_parameters),
            value_text(figure.metric, one.value),
            interval_text(figure.metric, one.low, one.high),
            one.source,
        )
        for one in points
    ]
    header = ("model", "parameters", figure.metric, "95 % interval", "source")
    table = Table(entry.title, header, rows, frozenset({1, 2, 3}))
    drawn = draw(_spec(figure.metric, points), entry.title)
    return Chart(entry.title, drawn, table, explain_metric(figure.metric))


def _spec(metric: str, points: Sequence[Point]) -> dict[str, Any]:
    values = [
        {
            "series": clip(one.series),
            "mark": one.mark,
            "parameters": one.num_parameters,
            "value": one.value,
            "low": one.low,
            "high": one.high,
        }
        for one in points
    ]
    x, y, color = _scales(metric, [clip(one.series) for one in points])
    where = {"x": x, "y": {"field": "value", **y}}
    ends = {"x": x, "y": {"field": "low", **y}, "y2": {"field": "high"}, "color": color}
    sure = [one for one in values if one["low"] is not None]
    # Models that were evaluated here need not be of one family: no line joins them.
    joined = [one for one in values if one["series"] != _OURS]
    line, rule = ({"type": kind, "strokeWidth": 1.5} for kind in ("line", "rule"))
    dot = {"type": "point", "filled": True, "size": 50, "opacity": 1}
    letter = {"type": "text", "align": "left", "dx": 6, "dy": -6}
    text = {"field": "mark", "type": "nominal"}
    return {
        "data": {"values": values},
        "width": WIDTH_PX,
        "height": 180,
        "layer": [
            {"data": {"values": joined}, "mark": line, "encoding": {**where, "color": color}},
            {"data": {"values": sure}, "mark": rule, "encoding": ends},
            {"mark": dot, "encoding": {**where, "color": color}},
            {"mark": letter, "encoding": {**where, "text": text}},
        ],
    }


def _scales(metric: str, names: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """Parameters, values and colours; ours have the first colour, whatever their place."""
    series = sorted(dict.fromkeys(names), key=lambda name: name != _OURS)
    scale = {"domain": series, "range": [PALETTE[n % len(PALETTE)] for n in range(len(series))]}
    legend = {"title": None, "columns": 1, "labelLimit": WIDTH_PX}
    label = "replace(datum.label, 'G', 'B')"
    x = {
        "field": "parameters",
        "type": "quantitative",
        "scale": {"type": "log", "nice": False, "padding": 12},
        "title": "parameters",
        "axis": {"grid": False, "format": "~s", "labelExpr": label},
    }
    axis = {"format": ".0%"} if is_share(metric) else {}
    y = {"type": "quantitative", "title": None, "axis": axis, "scale": {"zero": False}}
    return x, y, {"field": "series", "type": "nominal", "scale": scale, "legend": legend}
