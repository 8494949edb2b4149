"""A mismatch: where it is, what was expected and what was found."""

from dataclasses import dataclass
from typing import Any

_MAX_CHARS = 300


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a dataset."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def differing(where: str, **pairs: tuple[Any, Any]) -> list[Finding]:
    """A finding for each name whose (expected, found) values differ."""
    return [
        Finding(where, f"{name}: expected {_short(expected)}, got {_short(found)}")
        for name, (expected, found) in pairs.items()
        if expected != found
    ]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS] + "..."
