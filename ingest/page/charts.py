"""Charts as SVG text, drawn by Vega-Lite: no script, colours that do in light and dark.

Each chart comes with its numbers as a table, so that nobody has to read them off a drawing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import vl_convert
from markupsafe import Markup, escape

Rows = Sequence[Sequence[str]]

BLUE, ORANGE = "#3f74a6", "#c0732b"
_VERSION = "5.21"
_WIDTH, _STEP, _LABEL_PX, _COLUMN_PX = 400, 18, 150, 40
_FONT = "system-ui, sans-serif"
_AXIS = {
    **{f"{part}Color": "currentColor" for part in ("label", "title", "tick", "domain", "grid")},
    **{"gridOpacity": 0.14, "tickOpacity": 0.4, "domainOpacity": 0.4, "labelLimit": _LABEL_PX},
    **{"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "tickCount": 4},
}
_CONFIG: dict[str, Any] = {
    "background": None,
    # All drawings are of one width with their labels, so that their texts are of one size.
    "autosize": {"type": "fit-x", "contains": "padding"},
    "font": _FONT,
    "view": {"stroke": None},
    "axis": _AXIS,
    "text": {"color": "currentColor", "fontSize": 12},
}
_OPENING = re.compile(r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>")
# What a drawing says of its parts: the whole has a name, and its numbers are in a table.
_PARTS = re.compile(r" (?:role|aria-[a-z]+)=\"[^\"]*\"")
# What XML may not have (https://www.w3.org/TR/xml/#charsets) aborts the whole process; characters
# of two UTF-16 units are an error where Vega shortens a label between them.
_NOT_DRAWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff\U00010000-\U0010ffff]"
)
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


def draw(spec: Mapping[str, Any], title: str) -> Markup:
    """The SVG of a Vega-Lite specification, named for those who do not see it."""
    whole = {
        "$schema": f"https://vega.github.io/schema/vega-lite/v{_VERSION}.json",
        "config": _CONFIG,
        **spec,
    }
    svg = vl_convert.vegalite_to_svg(_drawable(whole), vl_version=_VERSION)
    svg = _PARTS.sub("", svg)
    start = f'role="img" aria-label="{escape(title)}" class="chart">'
    # vl-convert has escaped all texts.
    return Markup(_OPENING.sub(lambda found: f'<svg viewBox="{found[1]}" {start}', svg, count=1))


def _drawable(value: Any) -> Any:
    """The same without characters that cannot be drawn; tables have them all."""
    if isinstance(value, str):
        return _NOT_DRAWN.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {name: _drawable(one) for name, one in value.items()}
    return [_drawable(one) for one in value] if isinstance(value, list) else value


def bars(title: str, counts: Mapping[str, int], unit: str, note: str = "") -> Chart:
    """One bar for each name, in the order given."""
    total = sum(counts.values())
    values = [{"name": _clip(name), "count": count} for name, count in counts.items()]
    spec = {
        "data": {"values": _distinct(values)},
        "width": _WIDTH,
        "height": {"step": _STEP},
        "mark": {"type": "bar", "color": BLUE, "cornerRadiusEnd": 2},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "sort": None, "title": None},
            "x": {"field": "count", "type": "quantitative", "title": unit, "axis": _AXIS_NUMBERS},
        },
    }
    rows = [(name, f"{count:,}", _share(count, total)) for name, count in counts.items()]
    table = Table(title, ("", unit, "share"), rows, frozenset({1, 2}))
    return Chart(title, draw(spec, title), table, note)


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
        "width": _WIDTH,
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
    if len(names) * _COLUMN_PX < _WIDTH * 0.8:
        mark["size"] = _COLUMN_PX
    axis = {"values": shown, "labelAngle": 0, "labelOverlap": True, "grid": False}
    spec = {
        "data": {"values": values},
        "width": _WIDTH,
        "height": 130,
        "mark": mark,
        "encoding": {
            "x": {"field": "name", "type": "ordinal", "sort": None, "title": None, "axis": axis},
            "y": {"field": "count", "type": "quantitative", "title": unit, "axis": _AXIS_NUMBERS},
        },
    }
    total = sum(counts.values())
    rows = [(name, f"{count:,}", _share(count, total)) for name, count in counts.items()]
    table = Table(title, ("", unit, "share"), rows, frozenset({1, 2}))
    return Chart(title, draw(spec, title), table, note)


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
        {"name": _clip(one.name), "share": one.share, "low": one.low, "high": one.high}
        for one in found
    ]
    y = {"field": "name", "type": "nominal", "sort": None, "title": None}
    percent = {"format": ".0%"}
    spec = {
        "data": {"values": values},
        "width": _WIDTH,
        "height": {"step": _STEP},
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
        "width": _WIDTH,
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
    return [_short(edge, 1024, ("", " KiB", " MiB", " GiB")) for edge in edges]


def number_labels(edges: Sequence[float]) -> list[str]:
    """Edges as short texts."""
    return [f"{edge:,.0f}" if edge >= 10 else f"{edge:.3g}" for edge in edges]


def _short(value: float, base: int, units: Sequence[str]) -> str:
    power = 0
    while value >= base and power + 1 < len(units):
        value, power = value / base, power + 1
    return f"{value:.3g}{units[power]}"


def _every(count: int, most: int = 6) -> int:
    return max(1, -(-count // most))


def _share(count: int, total: int) -> str:
    return f"{count / total:.2%}" if total else ""


def _clip(text: str, most: int = 40) -> str:
    drawn = _NOT_DRAWN.sub("\ufffd", text)
    return drawn if len(drawn) <= most else drawn[: most - 1] + "…"


def _distinct(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with names that differ: those of one name would share a bar."""
    seen: dict[str, int] = {}
    for one in values:
        count = seen[one["name"]] = seen.get(one["name"], 0) + 1
        if count > 1:
            one["name"] = f"{one['name']} ({count})"
    return values
