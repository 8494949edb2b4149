"""A self-contained page to judge removals by: pairs side by side, and what each cut costs."""

import html
import io
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from string import Template

import numpy as np
from PIL import Image

from ingest.fingerprint import THUMBNAIL_PX
from schemas.certificate import set_of
from schemas.evaluation import FARTHEST, least_correlation

# Beyond that a page is slow to open; the ledger has all.
PAIRS_OF_A_SET = 500
_EXACT = ("bytes", "pixels")
_SHIFTS = tuple(round(-0.35 + 0.05 * step, 2) for step in range(16))


@dataclass(frozen=True)
class Picture:
    """A picture as far as it is at hand: a small JPEG, or 32 x 32 bytes of luma, or nothing."""

    preview: bytes | None = None
    thumbnail: bytes | None = None


@dataclass(frozen=True)
class Pair:
    """A removed picture and the evaluation image that it is a copy of."""

    id: str
    url: str
    found: Picture
    name: str
    original: Picture
    variant: str
    view: str
    distance: int
    correlation: float | None


# Distance and correlation of a crawled image and the evaluation image nearest to it.
Candidate = tuple[int, float]
TextTable = tuple[str, Sequence[str], Sequence[Sequence[str]]]


def removed_by_radius(candidates: Sequence[Candidate], base: float) -> list[int]:
    """How many would be removed at each largest distance, 0 to 80."""
    counts = [0] * (FARTHEST + 1)
    for distance, correlation in candidates:
        if distance <= FARTHEST and correlation >= least_correlation(distance, base):
            counts[distance] += 1
    return list(accumulate(counts))


def removed_by_shift(candidates: Sequence[Candidate], radius: int, base: float) -> list[int]:
    """How many would be removed if the least correlation were higher by each of 16 shifts."""
    return [
        sum(
            distance <= radius and correlation >= least_correlation(distance, base + shift)
            for distance, correlation in candidates
        )
        for shift in _SHIFTS
    ]


def gallery_html(
    title: str,
    summary: Sequence[tuple[str, str]],
    tables: Sequence[TextTable],
    pairs: Iterable[Pair],
    curves: Sequence[str],
) -> str:
    """The page; `curves` are pieces of HTML from `curves_html`. All texts are escaped."""
    facts = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in summary)
    body = [
        f"<h1>{_text(title)}</h1><dl>{facts}</dl>",
        *(_table(*table) for table in tables),
        *curves,
        *_sections(sorted(pairs, key=lambda pair: (set_of(pair.name), _surplus(pair), pair.id))),
    ]
    return _PAGE.substitute(title=_text(title), body="\n".join(body))


def curves_html(candidates: Sequence[Candidate], radius: int, base: float) -> list[str]:
    """How many more or fewer would be removed at other cuts, as drawings with their numbers."""
    by_radius = removed_by_radius(candidates, base)
    by_shift = removed_by_shift(candidates, radius, base)
    return [
        _curve("Removed, by the largest distance in bits", range(FARTHEST + 1), by_radius, radius),
        _curve("Removed, by a shift of the least correlation", _SHIFTS, by_shift, 0.0),
    ]


def _curve(title: str, cuts: Sequence[float], counts: Sequence[int], current: float) -> str:
    width, height = 640, 200
    span, most = cuts[-1] - cuts[0], max(*counts, 1)
    xs = [40 + (cut - cuts[0]) / span * (width - 60) for cut in cuts]
    ys = [height - 30 - count / most * (height - 60) for count in counts]
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
    here = 40 + (current - cuts[0]) / span * (width - 60)
    rows = [(f"{cut:g}", f"{count:,}") for cut, count in zip(cuts, counts, strict=True)]
    now = counts[min(range(len(cuts)), key=lambda k: abs(cuts[k] - current))]
    return (
        f"<h2>{_text(title)}</h2>"
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{_text(title)}">'
        f'<line x1="{here:.1f}" y1="20" x2="{here:.1f}" y2="{height - 30}" class="now"/>'
        f'<polyline points="{points}"/>'
        f'<text x="{here + 4:.1f}" y="32">{current:g}: {now:,}</text>'
        f'<text x="40" y="{height - 10}">{cuts[0]:g}</text>'
        f'<text x="{width - 40}" y="{height - 10}">{cuts[-1]:g}</text>'
        f'<text x="2" y="34">{most:,}</text></svg>'
        f"<details><summary>numbers</summary>{_table('', ('cut', 'removed'), rows)}</details>"
    )


def _sections(pairs: Sequence[Pair]) -> Iterable[str]:
    for name, group in groupby(pairs, key=lambda pair: set_of(pair.name)):
        members = list(group)
        exact = [pair for pair in members if pair.variant in _EXACT]
        near = [pair for pair in members if pair.variant not in _EXACT]
        counts = f"{len(near):,} near copies, the least sure first; {len(exact):,} exact"
        yield f"<h2>{_text(name)}: {counts}</h2>"
        yield '<div class="pairs">' + "".join(map(_card, near[:PAIRS_OF_A_SET])) + "</div>"
        if len(near) > PAIRS_OF_A_SET:
            yield f"<p>{len(near) - PAIRS_OF_A_SET:,} more are in the ledger.</p>"
        if exact:
            rows = [(pair.id, pair.name, pair.variant, pair.url) for pair in exact[:PAIRS_OF_A_SET]]
            listed = _table("", ("id", "evaluation image", "equal", "URL"), rows)
            yield f"<details><summary>{len(exact):,} exact copies</summary>{listed}</details>"


def _card(pair: Pair) -> str:
    correlation = "" if pair.correlation is None else f", correlation {pair.correlation:.2f}"
    return (
        f"<figure>{_image(pair.found, 'removed picture')}{_image(pair.original, pair.name)}"
        f"<figcaption><b>{_text(pair.name)}</b> {_text(pair.variant)}, {_text(pair.view)} view: "
        f"{pair.distance} bits{correlation}<br>{_link(pair.url)}<br><code>{_text(pair.id)}</code>"
        "</figcaption></figure>"
    )


def _surplus(pair: Pair) -> float:
    """By how much the evidence is more than needed, up to a constant."""
    correlation = 1.0 if pair.correlation is None else pair.correlation
    return correlation - least_correlation(pair.distance, 0.0)


def _image(picture: Picture, alt: str) -> str:
    if picture.preview:
        source = "data:image/jpeg;base64," + b64encode(picture.preview).decode()
    elif picture.thumbnail:
        luma = np.frombuffer(picture.thumbnail, np.uint8).reshape(THUMBNAIL_PX, THUMBNAIL_PX)
        buffer = io.BytesIO()
        Image.fromarray(luma).save(buffer, "PNG")
        source = "data:image/png;base64," + b64encode(buffer.getvalue()).decode()
    else:
        return f'<span class="none">{_text(alt)}: no picture kept</span>'
    return f'<img src="{source}" alt="{_text(alt)}" loading="lazy" decoding="async">'


def _link(url: str) -> str:
    """The URL as text, and a link if it is one that a browser may follow."""
    text = _text(url if len(url) <= 120 else url[:119] + "…")
    if not url.startswith(("http://", "https://")):
        return text
    return f'<a href="{_text(url)}" rel="noreferrer noopener nofollow">{text}</a>'


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in header)
    lines = ("".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    caption = f"<caption>{_text(title)}</caption>" if title else ""
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: str) -> str:
    return html.escape(value, quote=True)


_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width">
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
dt { font-weight: 600; } dd { margin: 0 0 .4em 1em; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 1em 0; } caption { text-align: left; font-weight: 600; }
th, td { border-bottom: 1px solid #8886; padding: .2em .8em .2em 0; text-align: left; }
td { overflow-wrap: anywhere; }
svg { width: 100%; max-width: 640px; } polyline { fill: none; stroke: #26c; stroke-width: 2; }
.now { stroke: #c33; stroke-dasharray: 4; } svg text { font-size: 12px; fill: currentColor; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 1em; }
figure { margin: 0; border: 1px solid #8886; padding: .5em; break-inside: avoid; }
figure img { width: 160px; height: 160px; object-fit: contain; margin-right: 4px; }
figcaption { font-size: 13px; overflow-wrap: anywhere; }
.none { display: inline-block; width: 160px; }
</style></head><body>
$body
</body></html>
""")
