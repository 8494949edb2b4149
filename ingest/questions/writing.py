"""An answer as CSV, JSON lines or parquet, written as it comes."""

from collections.abc import Callable
from typing import IO, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ingest.errors import SetupError
from ingest.questions.printable import printable
from ingest.questions.query import Answer

_LINES_AT_ONCE = 1000


def write_csv(answer: Answer, file: IO[bytes]) -> None:
    """Write CSV (RFC 4180, but for lines that end with a newline alone): null is nothing at all."""
    schema = pa.schema([pa.field(name, pa.string()) for name in answer.names])
    with pyarrow.csv.CSVWriter(file, schema) as writer:
        for batch in answer.texts():
            writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=schema))


def write_json(answer: Answer, file: IO[bytes]) -> None:
    """Write one JSON object a line."""
    lines: list[str] = []
    for one in answer.json_objects():
        lines.append(one + "\n")
        if len(lines) == _LINES_AT_ONCE:
            file.write("".join(lines).encode())
            lines.clear()
    file.write("".join(lines).encode())


def write_parquet(answer: Answer, file: IO[bytes]) -> None:
    """Write a parquet file; raises SetupError for a type that parquet has not."""
    schema, batches = answer.rows()
    try:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in batches:
                writer.write_batch(batch)
    except pa.ArrowException as error:
        raise SetupError(f"expected types that parquet has, got: {error}; CAST it") from error


WRITERS: dict[str, Callable[[Answer, IO[bytes]], None]] = {
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
}


class TerminalFile:
    """A stream of UTF-8 to a terminal, in which only ends of lines are obeyed."""

    closed = False

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, content: Any) -> int:
        # A writer hands over whole lines or values, but Arrow may end in the midst of a character.
        text = bytes(content).decode(errors="replace")
        self._file.write(printable(text, keep="\n"))
        return len(content)

    def flush(self) -> None:
        self._file.flush()
