"""Sections -> one HTML file: no script, no request, a strict Content-Security-Policy."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version

from markupsafe import Markup

from schemas.page.charts import Chart
from schemas.page.section import Section
from schemas.page.template import render, style_sheet


@dataclass(frozen=True)
class Heading:
    """What stands on top of a page, and at its foot: what the page is made from."""

    title: str
    lead: Sequence[str]
    made_from: str
    facts: Sequence[tuple[str, str]] = ()
    flow: Chart | None = None


def make_page(heading: Heading, sections: Sequence[Section]) -> str:
    """The text of a page; all that came from outside is escaped in it."""
    # Part of the page as it is, so that its digest is that of the policy.
    style = style_sheet()
    digest = b64encode(sha256(style.encode()).digest()).decode()
    return render(
        "page.html",
        title=heading.title,
        lead=heading.lead,
        facts=heading.facts,
        flow=heading.flow,
        made_from=heading.made_from,
        sections=sections,
        style=Markup(style),  # ours
        style_digest=f"sha256-{digest}",
        program_version=version("uncurated"),
    )
