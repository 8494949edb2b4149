"""The templates of the page: every text is escaped where it is put in."""

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_FOLDER = Path(__file__).parent
_LONGEST_URL = 120


def render(name: str, folder: Path = _FOLDER, **values: Any) -> str:
    """A template of a folder, filled in; it may import those of this one."""
    return _environment(folder).get_template(name).render(**values)


@cache
def style_sheet() -> str:
    """The one style sheet of the page."""
    return (_FOLDER / "page.css").read_text()


@cache
def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, _FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["web_address"] = _is_web_address
    environment.filters["shortened"] = _shortened
    return environment


def _is_web_address(url: str) -> bool:
    """Whether this may be a link: nothing that a browser would run or open by another program."""
    return url.startswith(("http://", "https://"))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_URL else text[: _LONGEST_URL - 1] + "…"
