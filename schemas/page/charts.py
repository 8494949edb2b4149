"""Charts as SVG text, drawn by Vega-Lite: no script, colours that do in light and dark.

Each chart comes with its numbers as a table, so that nobody has to read them off a drawing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from schemas.page.drawing import BLUE, ORANGE, STEP_PX, WIDTH_PX, clip, distinct, draw

Rows = Sequence[Sequence[str]]

_COLUMN_PX = 40
_AXIS_NUMBERS = {"format": "~s"}


@dataclass(frozen=True)
class Table:
    """A table of texts; `numeric`: columns to align to the right, by place."""

    caption: str
    header: Sequence[str]
    rows: Rows
    numeric: frozenset[int] = frozenset({1})
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A drawing with its title, what it says in a sentence, and its numbers."""

    title: str
    svg: Markup
    table: Table
    note: str = ""


def bars(title: str, counts: Mapping[str, int], unit: str, note: str = "") -> Chart:
    """One bar for each name, in the order given."""
    values = [{"name": clip(name), "count": count} for name, count in counts.items()]
    spec = {
        "data": {"values": distinct(values)},
        "width": WIDTH_PX,
        "height": {"step": STEP_PX},
        "mark": {"type": "bar", "color": BLUE, "cornerRadiusEnd": 2},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "sort": None, "title": None},
            "x": {"field": "count", "type": "quantitative", "title": unit, "axis": _AXIS_NUMBERS},
        },
    }
    return Chart(title, draw(spec, title), _count_table(title, counts, unit), note)


def histogram(
    title: str, edges: Sequence[float], counts: Sequence[int], labels: Sequence[str], unit: str
) -> Chart:
    """Counts in bins of equal width on the page; labels: of the edges. Empty ends are left out."""
    filled = [place for place, count in enumerate(counts) if count] or [0]
    first, last = filled[0], filled[-1]
    places = range(first, last + 1)
    values = [{"bin": place, "end": place + 1, "count": counts[place]} for place in places]
    shown = list(range(first, last + 2, _every(len(places))))
    names = " : ".join(f"datum.value == {place} ? '{labels[place]}'" for place in shown) + " : ''"
    spec = {
        "data": {"values": values},
        "width": WIDTH_PX,
        "height": 130,
        "mark": {"type": "bar", "color": BLUE, "binSpacing": 1},
        "encoding": {
            "x": {
                "field": "bin",
                "type": "quantitative",
                "scale": {"domain": [first, last + 1], "nice": False},
                "title": unit,
                "axis": {"values": shown, "labelExpr": names, "grid": False},
            },
            "x2": {"field": "end"},
            "y": {"field": "count", "type": "quantitative", "title": None, "axis": _AXIS_NUMBERS},
            "y2": {"datum": 0},
        },
    }
    total = sum(counts)
    rows = [
        (f"{labels[one]} to {labels[one + 1]}", f"{counts[one]:,}", _share(counts[one], total))
        for one in places
    ]
    table = Table(title, (unit, "images", "share"), rows, frozenset({1, 2}))
    return Chart(title, draw(spec, title), table)


def columns(title: str, counts: Mapping[str, int], unit: str, note: str = "") -> Chart:
    """One column for each name in the order given: years, days."""
    names = list(counts)
    shown = names[:: _every(len(names), 8)]
    values = [{"name": name, "count": count} for name, count in counts.items()]
    # A few names would have columns as broad as the drawing.
    mark: dict[str, Any] = {"type": "bar", "color": BLUE}
    if len(names) * _COLUMN_PX < WIDTH_PX * 0.8:
        mark["size"] = _COLUMN_PX
    axis = {"values": shown, "labelAngle": 0, "labelOverlap": True, "grid": False}
    spec = {
        "data": {"values": values},
        "width": WIDTH_PX,
        "height": 130,
        "mark": mark,
        "encoding": {
            "x": {"field": "name", "type": "ordinal", "sort": None, "title": None, "axis": axis},
            "y": {"field": "count", "type": "quantitative", "title": unit, "axis": _AXIS_NUMBERS},
        },
    }
    return Chart(title, draw(spec, title), _count_table(title, counts, unit), note)


def _count_table(title: str, counts: Mapping[str, int], unit: str) -> Table:
    total = sum(counts.values())
    rows = [(name, f"{count:,}", _share(count, total)) for name, count in counts.items()]
    return Table(title, ("", unit, "share"), rows, frozenset({1, 2}))


@dataclass(frozen=True)
class Interval:
    """A named share with its interval."""

    name: str
    count: int
    share: float
    low: float
    high: float


def intervals(title: str, found: Sequence[Interval], all_rows: Rows, note: str = "") -> Chart:
    """Shares with their 95 % intervals; all_rows: the whole table, if only some are drawn."""
    values = [
        {"name": clip(one.name), "share": one.share, "low": one.low, "high": one.high}
        for one in found
    ]
    y = {"field": "name", "type": "nominal", "sort": None, "title": None}
    percent = {"format": ".0%"}
    spec = {
        "data": {"values": values},
        "width": WIDTH_PX,
        "height": {"step": STEP_PX},
        "encoding": {"y": y},
        "layer": [
            {
                "mark": {"type": "bar", "color": BLUE, "opacity": 0.75, "cornerRadiusEnd": 2},
                "encoding": {
                    "x": {"field": "share", "type": "quantitative", "title": None, "axis": percent}
                },
            },
            {
                "mark": {"type": "rule", "color": "currentColor", "strokeWidth": 1.5},
                "encoding": {
                    "x": {"field": "low", "type": "quantitative"},
                    "x2": {"field": "high"},
                },
            },
        ],
    }
    header = ("country", "images", "share", "95 % interval")
    table = Table(title, header, all_rows, frozenset({1, 2, 3}))
    return Chart(title, draw(spec, title), table, note)


@dataclass(frozen=True)
class Curve:
    """A count at each cut, and the cut that is in force."""

    title: str
    cuts: Sequence[float]
    counts: Sequence[int]
    current: float
    unit: str = field(default="removed")


def curve(one: Curve) -> Chart:
    """A line over the cuts, and a rule at the one in force."""
    values = [{"cut": x, "count": y} for x, y in zip(one.cuts, one.counts, strict=True)]
    x = {"type": "quantitative", "title": None}
    spec = {
        "width": WIDTH_PX,
        "height": 150,
        "layer": [
            {
                "data": {"values": values},
                "mark": {"type": "line", "color": BLUE, "interpolate": "step-after"},
                "encoding": {
                    "x": {"field": "cut", **x},
                    "y": {"field": "count", "type": "quantitative", "title": one.unit},
                },
            },
            {
                "data": {"values": [{"cut": one.current}]},
                "mark": {"type": "rule", "color": ORANGE, "strokeDash": [4, 3]},
                "encoding": {"x": {"field": "cut", **x}},
            },
        ],
    }
    rows = [(f"{cut:g}", f"{count:,}") for cut, count in zip(one.cuts, one.counts, strict=True)]
    note = f"The dashed line is the cut in force: {one.current:g}."
    return Chart(one.title, draw(spec, one.title), Table(one.title, ("cut", one.unit), rows), note)


def size_labels(edges: Sequence[float]) -> list[str]:
    """Edges in bytes as short texts."""
    return [_short_size(edge) for edge in edges]


def number_labels(edges: Sequence[float]) -> list[str]:
    """Edges as short texts."""
    return [f"{edge:,.0f}" if edge >= 10 else f"{edge:.3g}" for edge in edges]


def _short_size(num_bytes: float) -> str:
    units = ["", " KiB", " MiB", " GiB"]
    while num_bytes >= 1024 and len(units) > 1:
        num_bytes /= 1024
        units.pop(0)
    return f"{num_bytes:.3g}{units[0]}"


def _every(count: int, most: int = 6) -> int:
    return max(1, -(-count // most))


def _share(count: int, total: int) -> str:
    return f"{count / total:.2%}" if total else ""
