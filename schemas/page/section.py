"""A section of the page: what it says, draws and lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from schemas.page.charts import Chart, Table


@dataclass(frozen=True)
class Section:
    """One section; `id` is its anchor, `html` what a part of its own has drawn."""

    id: str
    title: str
    intro: str = ""
    facts: Sequence[tuple[str, str]] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    html: Markup | None = None


def first(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """The first so many of some counts."""
    return dict(list(counts.items())[:most])


def more(listed: int, total: int, where: str) -> str:
    """A sentence that says what is not listed here; empty if all is."""
    return f"{total - listed:,} more are in {where}." if total > listed else ""


def rows_of(counts: Mapping[str, int], total: int | None = None) -> list[tuple[str, str, str]]:
    """Names, counts and shares as texts."""
    whole = total or sum(counts.values()) or 1
    return [(name, f"{count:,}", f"{count / whole:.2%}") for name, count in counts.items()]
