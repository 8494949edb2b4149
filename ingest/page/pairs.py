"""Removed pictures and the evaluation images that they copy, side by side; what each cut costs."""

import io
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from PIL import Image

from ingest.errors import InspectError
from ingest.fingerprint import THUMBNAIL_PX
from ingest.inspect.decode import small_picture
from ingest.pack.ledger import encode_preview
from ingest.page.removed import SHIFTS, CutCounts
from schemas.evaluation import FARTHEST
from schemas.page.charts import Chart, Curve, Table, curve
from schemas.page.template import render

_FOLDER = Path(__file__).parent
# Previews of the usual 160 px have less; a ledger may have larger ones.
_PREVIEW_BYTES, _PREVIEW_PX, _MAX_PIXELS = 16_000, 160, 4_000_000


@dataclass(frozen=True)
class Picture:
    """A picture as far as it is at hand: a small JPEG, or 32 x 32 bytes of luma, or nothing."""

    preview: bytes | None = None
    thumbnail: bytes | None = None

    @property
    def source(self) -> str:
        """The picture as a `data:` URL; empty if there is none."""
        preview = _small_preview(self.preview) if self.preview else None
        if preview:
            return jpeg_source(preview)
        if not self.thumbnail:
            return ""
        luma = np.frombuffer(self.thumbnail, np.uint8).reshape(THUMBNAIL_PX, THUMBNAIL_PX)
        buffer = io.BytesIO()
        Image.fromarray(luma).save(buffer, "PNG")
        return "data:image/png;base64," + b64encode(buffer.getvalue()).decode()


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


@dataclass(frozen=True)
class PairsOfSet:
    """The pairs of one evaluation set that are shown, and how many there are."""

    name: str
    near: Sequence[Pair]
    num_near: int
    num_exact: int
    exact: Table


def jpeg_source(content: bytes) -> str:
    """A JPEG as a `data:` URL."""
    return "data:image/jpeg;base64," + b64encode(content).decode()


def pairs_html(sets: Sequence[PairsOfSet]) -> Markup:
    """All pairs by evaluation set, in the order given; exact copies as tables."""
    return Markup(render("pairs.html", _FOLDER, groups=sets))  # the template escapes


def threshold_curves(cuts: CutCounts, radius: int) -> list[Chart]:
    """How many more or fewer would be removed at other cuts; radius: the one in force, in bits."""
    distances = range(FARTHEST + 1)
    return [
        curve(Curve("Removed, by the largest distance in bits", distances, cuts.by_radius, radius)),
        curve(Curve("Removed, by a shift of the least correlation", SHIFTS, cuts.by_shift, 0.0)),
    ]


def _small_preview(preview: bytes) -> bytes | None:
    """The same or a smaller copy; None if it is no picture."""
    if len(preview) <= _PREVIEW_BYTES:
        return preview
    try:
        return encode_preview(small_picture(preview, _PREVIEW_PX, _MAX_PIXELS))
    except InspectError:
        return None
