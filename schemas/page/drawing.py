"""Vega-Lite -> SVG text: no script, the same whatever was drawn before, safe to draw."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import vl_convert
from markupsafe import Markup, escape

BLUE, ORANGE = "#3f74a6", "#c0732b"
PALETTE = (BLUE, ORANGE, "#4c8a58", "#9163ad", "#a8862a", "#b3536b")
WIDTH_PX, STEP_PX = 400, 18
_VERSION = "5.21"
_LABEL_PX = 150
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
    "legend": {"labelColor": "currentColor", "labelFontSize": 12, "orient": "bottom"},
}
_OPENING = re.compile(r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>")
# What a drawing says of its parts: the whole has a name, and its numbers are in a table.
_PARTS = re.compile(r" (?:role|aria-[a-z]+)=\"[^\"]*\"")
_ID = re.compile(r"(<clipPath id=\"|clip-path=\"url\(#)(clip\d+)")
# What XML may not have (https://www.w3.org/TR/xml/#charsets) aborts the whole process; characters
# of two UTF-16 units are an error where Vega shortens a label between them.
_NOT_DRAWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff\U00010000-\U0010ffff]"
)


def draw(spec: Mapping[str, Any], title: str) -> Markup:
    """The SVG of a Vega-Lite specification, named for those who do not see it."""
    whole = {
        "$schema": f"https://vega.github.io/schema/vega-lite/v{_VERSION}.json",
        "config": _CONFIG,
        **spec,
    }
    svg = vl_convert.vegalite_to_svg(_drawable(whole), vl_version=_VERSION)
    svg = _named_by_content(_PARTS.sub("", svg))
    start = f'role="img" aria-label="{escape(title)}" class="chart">'
    # vl-convert has escaped all texts.
    return Markup(_OPENING.sub(lambda found: f'<svg viewBox="{found[1]}" {start}', svg, count=1))


def _named_by_content(svg: str) -> str:
    """The same with ids that are its own, not those of the drawings that this process has made."""
    names: dict[str, str] = {}
    plain = _ID.sub(lambda found: f"{found[1]}{names.setdefault(found[2], str(len(names)))}", svg)
    own = sha256(plain.encode()).hexdigest()[:8]
    return _ID.sub(lambda found: f"{found[1]}clip-{own}-{names[found[2]]}", svg)


def _drawable(value: Any) -> Any:
    """The same without characters that cannot be drawn; tables have them all."""
    if isinstance(value, str):
        return _NOT_DRAWN.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {name: _drawable(one) for name, one in value.items()}
    return [_drawable(one) for one in value] if isinstance(value, list) else value


def clip(text: str, most: int = 40) -> str:
    """A label as it can be drawn, shortened."""
    drawn = _NOT_DRAWN.sub("\ufffd", text)
    return drawn if len(drawn) <= most else drawn[: most - 1] + "…"


def distinct(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with names that differ: those of one name would share a bar."""
    seen: dict[str, int] = {}
    for one in values:
        count = seen[one["name"]] = seen.get(one["name"], 0) + 1
        if count > 1:
            one["name"] = f"{one['name']} ({count})"
    return values
