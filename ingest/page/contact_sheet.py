"""The contact sheet: small copies of a uniform random sample of the kept images."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup
from PIL import Image

from ingest.errors import InspectError
from ingest.inspect.decode import configure_pillow, small_picture
from ingest.page.pairs import jpeg_source
from ingest.survey.sample import SampledImage
from schemas.page.section import Section
from schemas.page.template import render
from schemas.survey import Survey

_FOLDER = Path(__file__).parent
_SIDE_PX, _QUALITY = 160, 72


@dataclass(frozen=True)
class _Shown:
    """One image of the sheet; source: empty if it could not be decoded here."""

    id: str
    url: str
    format: str
    width_px: int
    height_px: int
    num_bytes: int
    source: str


def contact_sheet(survey: Survey, sample: Sequence[SampledImage], max_pixels: int) -> Section:
    """The section with the images of the sample whose bytes are at hand."""
    shown = list(_small_copies(sample, max_pixels))
    html = render("sheet.html", _FOLDER, pictures=shown, num_kept=survey.num_kept, seed=survey.seed)
    return Section("sample", "A random sample", html=Markup(html))  # the template escapes


def _small_copies(sample: Sequence[SampledImage], max_pixels: int) -> Iterator[_Shown]:
    configure_pillow()
    for one in sample:
        if not one.content:
            continue
        try:
            buffer = io.BytesIO()
            pixels = small_picture(one.content, _SIDE_PX, max_pixels)
            Image.fromarray(pixels).save(buffer, "JPEG", quality=_QUALITY)
            source = jpeg_source(buffer.getvalue())
        except (InspectError, MemoryError):
            source = ""
        yield _Shown(
            one.id, one.url, one.format, one.width_px, one.height_px, one.num_bytes, source
        )
