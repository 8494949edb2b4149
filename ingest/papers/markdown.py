"""Markdown that shows foreign text as text, whatever signs are in it."""

import re
from collections.abc import Iterable, Sequence

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# CommonMark lets any of these be escaped; a vertical bar would also end a cell of a table.
_MARKUP = re.compile(r"([\\`*_\[\]|~#!$])")


def escape(text: str) -> str:
    """The text for one line of Markdown: no markup, HTML or line break of it has any effect.

    What cannot be seen (control signs, line breaks, changes of direction) becomes U+FFFD.
    """
    seen = "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
    marked = _MARKUP.sub(r"\\\1", seen)
    return "".join(_ENTITIES.get(sign, sign) for sign in marked)


def table(header: Sequence[str], rows: Iterable[Sequence[str | int]]) -> list[str]:
    """The lines of a table, each cell escaped; numbers have separators and stand on the right.

    Without rows it is one line that says so.
    """
    body = [list(row) for row in rows]
    if not body:
        return ["None."]
    rule = ["---:" if isinstance(cell, int) else "---" for cell in body[0]]
    lines = [_row([escape(name) for name in header]), _row(rule)]
    return lines + [_row([_cell(one) for one in row]) for row in body]


def question(title: str, *answers: str) -> list[str]:
    """A heading and the paragraphs of its answer, which are escaped."""
    lines = [f"### {escape(title)}", ""]
    for answer in answers:
        lines += [escape(answer), ""]
    return lines


def document(lines: Iterable[str]) -> bytes:
    """The file of these lines, with one line break at its end."""
    return ("\n".join(lines).strip("\n") + "\n").encode()


def _cell(value: str | int) -> str:
    return f"{value:,}" if isinstance(value, int) else escape(value)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
