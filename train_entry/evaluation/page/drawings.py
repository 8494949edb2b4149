"""Drawings of figures: radar over categories, bars with published marks, differences from them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.page.charts import Chart, Table
from schemas.page.drawing import BLUE, ORANGE, PALETTE, STEP_PX, WIDTH_PX, clip, distinct, draw
from train_entry.evaluation.page.entries import Entry, by_category, labels_of
from train_entry.evaluation.page.numbers import (
    Better,
    better,
    difference_text,
    half_interval,
    interval_text,
    is_share,
    value_text,
)
from train_entry.evaluation.page.published import Beside

_LEAST_SPOKES = 3
_PERCENT = {"format": ".0%"}
_RADAR_X, _RADAR_Y, _RINGS = 1.6, 1.25, (0.25, 0.5, 0.75, 1.0)
_DRAWN = 40


@dataclass(frozen=True)
class Mean:
    """The mean of a category's primary figures, with the interval that theirs make."""

    value: float
    low: float
    high: float
    num: int


def score_of(entry: Entry) -> tuple[float, float] | None:
    """A primary figure as a score from 0 to 1 with half its interval; None if it is no score."""
    figure = entry.primary
    if figure is None or better(figure.metric) is Better.NEITHER or not is_share(figure.metric):
        return None
    value = figure.value if better(figure.metric) is Better.HIGHER else 1 - figure.value
    return min(1.0, max(0.0, value)), half_interval(figure) or 0.0


def category_means(models: Mapping[str, Sequence[Entry]]) -> dict[str, dict[str, Mean]]:
    """Mean scores by category and model, over what all models were scored on."""
    keys = [
        {(one.id, one.result.protocol) for one in entries if score_of(one)}
        for entries in models.values()
    ]
    shared = set.intersection(*keys) if keys else set()
    found: dict[str, dict[str, Mean]] = {}
    for model, entries in models.items():
        common = [one for one in entries if (one.id, one.result.protocol) in shared]
        for word, _, members in by_category(common):
            scores = [score for score in map(score_of, members) if score]
            found.setdefault(word, {})[model] = _mean(scores)
    return found


def _mean(scores: Sequence[tuple[float, float]]) -> Mean:
    """The mean of independent scores: the squares of their half intervals add up."""
    value = sum(score for score, _ in scores) / len(scores)
    half = math.sqrt(sum(half * half for _, half in scores)) / len(scores)
    return Mean(value, max(0.0, value - half), min(1.0, value + half), len(scores))


def radar(means: Mapping[str, Mapping[str, Mean]]) -> Chart | None:
    """Mean scores by category on spokes, a closed line a model; None with fewer than 3 spokes."""
    if len(means) < _LEAST_SPOKES:
        return None
    words, models = list(means), list(next(iter(means.values())))
    angles = {word: math.tau * place / len(words) for place, word in enumerate(words)}
    outlines = [
        {"model": clip(model), "order": place, **_at(angles[word], means[word][model].value)}
        for model in models
        for place, word in enumerate(words)
    ]
    title = "Mean score by category"
    rows = [
        (word, model, f"{mean.num}", f"{mean.value:.1%}", f"{mean.low:.1%} to {mean.high:.1%}")
        for word, by_model in means.items()
        for model, mean in by_model.items()
    ]
    header = ("category", "model", "benchmarks", "mean", "95 % interval")
    table = Table(title, header, rows, frozenset({2, 3, 4}))
    note = (
        "From 0 in the centre to 100% on the outer ring; only what all models shown were scored "
        "on, and only shares that should be high (errors as 100% less the error). Kinds of score "
        "differ from category to category: compare models on a spoke, not spokes."
    )
    return Chart(title, draw(_radar_spec(angles, outlines, models), title), table, note)


def _at(angle: float, radius: float) -> dict[str, float]:
    """A place on the drawing; angles go clockwise from the top."""
    return {"x": radius * math.sin(angle), "y": radius * math.cos(angle)}


def _radar_spec(
    angles: Mapping[str, float], outlines: list[dict[str, Any]], models: Sequence[str]
) -> dict[str, Any]:
    def place(name: str, far: float) -> dict[str, Any]:
        scale = {"domain": [-far, far], "nice": False, "zero": False}
        return {"field": name, "type": "quantitative", "axis": None, "scale": scale}

    where = {"x": place("x", _RADAR_X), "y": place("y", _RADAR_Y)}
    names = [clip(model) for model in models]
    legend = None if len(models) == 1 else {"title": None, "columns": 1, "labelLimit": WIDTH_PX}
    scale = {"domain": names, "range": [PALETTE[n % len(PALETTE)] for n in range(len(names))]}
    color = {"field": "model", "type": "nominal", "scale": scale, "legend": legend}
    closed = {"type": "line", "interpolate": "linear-closed"}
    order = {"field": "order", "type": "quantitative"}
    encoding = {**where, "color": color, "order": order}
    lines: dict[str, Any] = {"mark": {**closed, "strokeWidth": 2}, "encoding": encoding}
    dots = {"mark": {"type": "point", "filled": True, "size": 28}, "encoding": encoding}
    ring = {"mark": {**closed, "color": "currentColor", "opacity": 0.25, "strokeWidth": 1}}
    rings = [
        {"order": n, **_at(angle, radius)}
        for radius in _RINGS
        for n, angle in enumerate(angles.values())
    ]
    grid = [
        {
            **ring,
            "data": {"values": rings[n * len(angles) : (n + 1) * len(angles)]},
            "encoding": {**where, "order": order},
        }
        for n in range(len(_RINGS))
    ]
    layers = [*grid, *_radar_labels(angles, where)]
    layers += [{"data": {"values": outlines}, **one} for one in (lines, dots)]
    height = round(WIDTH_PX * _RADAR_Y / _RADAR_X)
    return {"width": WIDTH_PX, "height": height, "layer": layers}


def _radar_labels(angles: Mapping[str, float], where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Names at the ends of spokes, aligned away from the centre."""
    for align, least, most in (("left", 0.2, 9.0), ("right", -9.0, -0.2), ("center", -0.2, 0.2)):
        values = [
            {"name": word, **_at(angle, 1.1)}
            for word, angle in angles.items()
            if least <= math.sin(angle) < most or (align == "left" and math.sin(angle) == most)
        ]
        text = {"field": "name", "type": "nominal"}
        yield {
            "data": {"values": values},
            "mark": {"type": "text", "align": align, "baseline": "middle", "fontSize": 12},
            "encoding": {**where, "text": text},
        }


def category_chart(title: str, entries: Sequence[tuple[Entry, Beside | None]]) -> Chart | None:
    """Primary figures as bars with intervals, published ones as marks; None below two shares."""
    found = [(one, other) for one, other in entries if one.primary and is_share(one.primary.metric)]
    if len(found) < 2:
        return None
    values, rows = [], []
    labels = labels_of([entry for entry, _ in found])
    for label, (entry, other) in zip(labels, found, strict=True):
        figure = entry.primary
        assert figure is not None
        values.append(
            {
                "name": clip(label, 26),
                "value": figure.value,
                "low": figure.low,
                "high": figure.high,
                "published": other.published.value if other else None,
            }
        )
        interval = interval_text(figure.metric, figure.low, figure.high)
        told = other.told if other else ""
        rows.append((entry.name, value_text(figure.metric, figure.value), interval, told))
    table = Table(title, ("benchmark", "value", "95 % interval", "published"), rows)
    note = "Lines: 95 % intervals. Orange marks: published." if any(b for _, b in found) else ""
    return Chart(title, draw(_bars_spec(distinct(values)), title), table, note)


def _bars_spec(values: list[dict[str, Any]]) -> dict[str, Any]:
    def x(name: str) -> dict[str, Any]:
        return {"field": name, "type": "quantitative", "title": None, "axis": _PERCENT}

    published = [one for one in values if one["published"] is not None]
    sure = [one for one in values if one["low"] is not None and one["high"] is not None]
    mark = {"type": "tick", "color": ORANGE, "thickness": 3, "size": 14}
    rule = {"type": "rule", "color": "currentColor", "strokeWidth": 1.5}
    bar = {"type": "bar", "color": BLUE, "opacity": 0.75, "cornerRadiusEnd": 2}
    return {
        "data": {"values": values},
        "width": WIDTH_PX,
        "height": {"step": STEP_PX},
        "encoding": {"y": {"field": "name", "type": "nominal", "sort": None, "title": None}},
        "layer": [
            {"mark": bar, "encoding": {"x": x("value")}},
            {
                "data": {"values": sure},
                "mark": rule,
                "encoding": {"x": x("low"), "x2": {"field": "high"}},
            },
            {"data": {"values": published}, "mark": mark, "encoding": {"x": x("published")}},
        ],
    }


def differences(entries: Sequence[tuple[Entry, Beside | None]]) -> Chart | None:
    """Primary figures less the published ones, with our intervals; None if none was published."""
    found = [(entry, other) for entry, other in entries if other and score_of(entry) is not None]
    found.sort(key=lambda one: -one[1].difference)
    if not found:
        return None
    title = "Difference from the published figure"
    values, rows = [], []
    labels = labels_of([entry for entry, _ in found])
    for label, (entry, other) in zip(labels, found, strict=True):
        figure, theirs = other.figure, other.published.value
        low = figure.value if figure.low is None else figure.low
        high = figure.value if figure.high is None else figure.high
        points = {"value": other.difference, "low": low - theirs, "high": high - theirs}
        values.append({"name": clip(label, 34), **{key: 100 * one for key, one in points.items()}})
        ends = [difference_text(figure.metric, one) for one in (points["low"], points["high"])]
        middle = difference_text(figure.metric, other.difference)
        rows.append((entry.title, middle, " to ".join(ends), other.told))
    header = ("benchmark", "difference, points", "95 % interval", "published")
    table = Table(title, header, rows, frozenset({1, 2}))
    note = f"Points of per cent; lines: our 95 % intervals. {_left_out(len(found))}".strip()
    spec = _differences_spec(distinct(values[:_DRAWN]))
    return Chart(title, draw(spec, title), table, note)


def _left_out(num: int) -> str:
    return f"The {num - _DRAWN} lowest are in the table alone." if num > _DRAWN else ""


def _differences_spec(values: list[dict[str, Any]]) -> dict[str, Any]:
    def x(name: str) -> dict[str, Any]:
        return {"field": name, "type": "quantitative", "title": "points"}

    zero = {"type": "rule", "color": ORANGE, "strokeDash": [4, 3]}
    dot = {"type": "point", "filled": True, "color": BLUE, "size": 50, "opacity": 1}
    rule = {"type": "rule", "color": "currentColor", "strokeWidth": 1.5}
    y = {"field": "name", "type": "nominal", "sort": None, "title": None}
    nothing = {"data": {"values": [{"zero": 0}]}, "mark": zero, "encoding": {"x": x("zero")}}
    return {
        "width": WIDTH_PX,
        "height": {"step": STEP_PX},
        "layer": [
            {
                "data": {"values": values},
                "mark": rule,
                "encoding": {"y": y, "x": x("low"), "x2": {"field": "high"}},
            },
            {"data": {"values": values}, "mark": dot, "encoding": {"y": y, "x": x("value")}},
            nothing,
        ],
    }
