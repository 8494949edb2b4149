"""Answer one SELECT over a dataset: on the terminal as a table, or as CSV, JSON or parquet."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, cast

from rich.cells import cell_len, set_cell_size
from rich.console import Console

from ingest import storage
from ingest.errors import SetupError
from ingest.questions.printable import printable
from ingest.questions.query import Answer, question
from ingest.questions.sealed import read_sealed
from ingest.questions.writing import WRITERS, TerminalFile
from schemas.audit_options import QueryOptions

# A value of a table; `--format` json or csv have it whole.
_VALUE_CHARS = 100
# Narrower columns tell nothing: such a table becomes a list.
_COLUMN_CHARS = 10
# Each page of a table has a head of its own, and columns as wide as it needs.
_PAGE_ROWS = 1000
# Rows behind the limit are counted up to here only.
_COUNTED_ROWS = 1_000_000


def query(options: QueryOptions) -> None:
    """Print or write the answer to `options.sql`; raises SetupError if there is none."""
    if options.format == "parquet" and not options.output:
        raise SetupError("--format parquet: expected --output beside it, got none")
    sql = sys.stdin.read() if options.sql == "-" else options.sql
    with (
        question(read_sealed(options.dataset), sql, options.memory_mib) as answer,
        _destination(options.output) as file,
    ):
        if options.format == "table":
            _print_table(answer, options.limit, file)
        else:
            WRITERS[options.format](answer, file)


@contextmanager
def _destination(output: str) -> Iterator[IO[bytes]]:
    """The file to write, which appears whole or not at all, or standard output."""
    if output:
        folder = output.rpartition("/")[0] or ("/" if output.startswith("/") else ".")
        with storage.staged(folder, "") as staged:
            with staged.open("wb") as file:
                yield file
            storage.publish(staged, output)
        return
    if sys.stdout.isatty():
        yield cast(IO[bytes], TerminalFile(sys.stdout))
    else:
        yield sys.stdout.buffer
    # Here and not at exit, where a closed pipe could not be answered.
    sys.stdout.flush()


def _print_table(answer: Answer, limit: int, file: IO[bytes]) -> None:
    """Write the first rows, and how many more there are."""
    names = [printable(name) for name in answer.names]
    num_shown = num_more = 0
    for batch in answer.texts(max_chars=_VALUE_CHARS + 1):
        head = batch.slice(0, max(0, limit - num_shown) if limit else batch.num_rows)
        for at in range(0, head.num_rows, _PAGE_ROWS):
            page = [
                [_clip(value) for value in one.to_pylist()] for one in head.slice(at, _PAGE_ROWS)
            ]
            _write_lines(file, _table_lines(names, page, num_shown + at))
        num_shown += head.num_rows
        num_more += batch.num_rows - head.num_rows
        if num_more > _COUNTED_ROWS:
            break
    if not num_shown:
        _write_lines(file, _table_lines(names, [[] for _ in names], 0))
    _write_lines(file, [f"{num_shown:,} row{'' if num_shown == 1 else 's'}{_more(num_more)}"])


def _more(num_more: int) -> str:
    if not num_more:
        return ""
    told = f"{num_more:,}" if num_more <= _COUNTED_ROWS else f"more than {_COUNTED_ROWS:,}"
    return f", and {told} more: --limit 0 shows all, --format csv or json whole values, too"


def _write_lines(file: IO[bytes], lines: Iterable[str]) -> None:
    file.write("".join(f"{line.rstrip()}\n" for line in lines).encode())


def _table_lines(names: list[str], columns: list[list[str]], num_before: int) -> Iterator[str]:
    """The rows of a page as a table if a terminal is wide enough for it, else as lists."""
    needed = [
        max(map(cell_len, (name, *column))) for name, column in zip(names, columns, strict=True)
    ]
    separators = 3 * len(names) - 1
    room = Console().width if sys.stdout.isatty() else sum(needed) + separators
    least = [min(one, _COLUMN_CHARS) for one in needed]
    if sum(least) + separators > room:
        yield from _list_lines(names, columns, num_before)
        return
    widths = _fit(needed, least, room - separators)
    yield " │ ".join(map(set_cell_size, names, widths))
    yield "─┼─".join("─" * width for width in widths)
    for row in zip(*columns, strict=True):
        yield " │ ".join(map(_in_width, row, widths))


def _fit(needed: list[int], least: list[int], room: int) -> list[int]:
    """Widths of columns: the widest are cut until all fit, none below its least."""
    widths = list(needed)
    while sum(widths) > room:
        widest = max(range(len(widths)), key=lambda at: (widths[at] - least[at], at))
        widths[widest] -= 1
    return widths


def _in_width(text: str, width: int) -> str:
    return (
        set_cell_size(text, width)
        if cell_len(text) <= width
        else set_cell_size(text, width - 1) + "…"
    )


def _list_lines(names: list[str], columns: list[list[str]], num_before: int) -> Iterator[str]:
    longest = max(map(cell_len, names), default=0)
    for number, row in enumerate(zip(*columns, strict=True), num_before + 1):
        yield f"row {number:,}"
        for name, value in zip(names, row, strict=True):
            yield f"  {set_cell_size(name, longest)}  {value}"


def _clip(value: str | None) -> str:
    """A value on one line; nothing if it is null."""
    text = printable(value or "")
    return text if len(text) <= _VALUE_CHARS else text[: _VALUE_CHARS - 1] + "…"
