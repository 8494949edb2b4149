"""The flow picture: what went in, what was lost at each stage, and what is left."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from schemas.outcome import Outcome
from schemas.page.charts import Chart, Table
from schemas.page.drawing import BLUE, draw

# The order in which a candidate may be lost, and how each stage is called.
STAGES = {
    "plan": ("not usable as planned", "#80868e"),
    "consent": ("publisher said no", "#b7791f"),
    "network": ("not reached", "#8b6fb3"),
    "http": ("refused or gone", "#a8577a"),
    "inspect": ("no usable image", "#6d8b3a"),
    "match": ("copies of evaluation images", "#c0504d"),
    "removal": ("removed on request", "#3f8f8a"),
}
_WIDTH, _HEIGHT, _DROP, _LEAST_PX = 860.0, 170.0, 64.0, 1.5
_ABOVE, _BELOW = 22.0, 56.0
_LABEL_CHARS = 17
_TEXTS: dict[str, dict[str, Any]] = {
    "loss": {"align": "right", "baseline": "top", "lineBreak": "\n", "lineHeight": 15},
    "in": {"align": "left", "baseline": "bottom", "fontWeight": 600},
    "out": {"align": "right", "baseline": "bottom", "fontWeight": 600},
}
_TITLE = "What went in, and what became of it"


@dataclass(frozen=True)
class Loss:
    """What was lost at one stage."""

    stage: str
    name: str
    color: str
    count: int


def losses(outcomes: Mapping[str, int], num_tombstones: int = 0) -> list[Loss]:
    """What was lost at each stage, where anything was; tombstones count as removed."""
    lost = dict.fromkeys(STAGES, 0)
    for word, count in outcomes.items():
        if word != Outcome.KEPT.value:
            lost[Outcome(word).stage] += count
    lost["removal"] += num_tombstones
    return [Loss(stage, *STAGES[stage], count) for stage, count in lost.items() if count]


def flow_chart(outcomes: Mapping[str, int], num_tombstones: int = 0) -> Chart:
    """The flow from all candidates to the kept images."""
    found = losses(outcomes, num_tombstones)
    total = max(1, sum(outcomes.values()))
    kept = outcomes.get(Outcome.KEPT.value, 0) - num_tombstones
    step = _WIDTH / (len(found) + 1)
    main, drops, labels = [], [], []
    left = total
    for place, loss in enumerate(found):
        x, top = place * step, (left - loss.count) / total * _HEIGHT
        bottom = max(left / total * _HEIGHT, top + _LEAST_PX)
        left -= loss.count
        main.append({"x": x, "y": 0.0, "y2": top})
        drops += [{"stage": loss.stage, **one} for one in _ribbon(x, step, top, bottom)]
        name = "\n".join(wrap(loss.name, _LABEL_CHARS))
        text = f"{name}\n{loss.count:,} ({loss.count / total:.1%})"
        labels.append({"x": x + 0.92 * step, "y": bottom + _DROP + 6, "text": text, "of": "loss"})
    height = max(left / total * _HEIGHT, _LEAST_PX if left else 0.0)
    main += [{"x": x, "y": 0.0, "y2": height} for x in (len(found) * step, _WIDTH)]
    labels += [
        {"x": 0.0, "y": -5.0, "text": f"{total:,} candidates", "of": "in"},
        {"x": _WIDTH, "y": -5.0, "text": f"{kept:,} kept", "of": "out"},
    ]
    note = f"{total:,} candidates went in; {kept:,} images ({kept / total:.1%}) are kept."
    svg = draw(_spec(main, drops, labels, found), f"{_TITLE}: {note}")
    return Chart(_TITLE, svg, _numbers(total, found, kept), note)


def _numbers(total: int, found: list[Loss], kept: int) -> Table:
    rows = [("candidates", f"{total:,}", "100 %")]
    rows += [(loss.name, f"{loss.count:,}", f"{loss.count / total:.2%}") for loss in found]
    rows.append(("images kept", f"{kept:,}", f"{kept / total:.2%}"))
    return Table(_TITLE, ("", "candidates", "share"), rows, frozenset({1, 2}))


def _ribbon(x: float, step: float, top: float, bottom: float) -> Iterator[dict[str, float]]:
    for along, down in ((0.0, 0.0), (0.28, 0.0), (0.64, _DROP), (0.92, _DROP)):
        yield {"x": x + along * step, "y": top + down, "y2": bottom + down}


def _spec(
    main: list[dict[str, float]],
    drops: list[dict[str, Any]],
    labels: list[dict[str, Any]],
    found: list[Loss],
) -> dict[str, Any]:
    def place(name: str, low: float, high: float) -> dict[str, Any]:
        scale = {"domain": [low, high], "nice": False, "zero": False, "reverse": name == "y"}
        return {"field": name, "type": "quantitative", "axis": None, "scale": scale}

    x, y = place("x", 0, _WIDTH), place("y", -_ABOVE, _HEIGHT + _DROP + _BELOW)
    colors = {"domain": [one.stage for one in found], "range": [one.color for one in found]}
    color = {"field": "stage", "type": "nominal", "scale": colors, "legend": None}
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": main},
            "mark": {"type": "area", "interpolate": "step-after", "color": BLUE},
            "encoding": {"x": x, "y": y, "y2": {"field": "y2"}},
        },
        {
            "data": {"values": drops},
            "mark": {"type": "area", "interpolate": "monotone", "opacity": 0.9},
            "encoding": {"x": x, "y": y, "y2": {"field": "y2"}, "color": color},
        },
    ]
    for kind, mark in _TEXTS.items():
        values = [one for one in labels if one["of"] == kind]
        layers.append(
            {
                "data": {"values": values},
                "mark": {"type": "text", "fontSize": 12, **mark},
                "encoding": {"x": x, "y": y, "text": {"field": "text", "type": "nominal"}},
            }
        )
    return {"width": _WIDTH, "height": _ABOVE + _HEIGHT + _DROP + _BELOW, "layer": layers}
