"""One SELECT over a dataset: checked, answered as a stream, its errors told as sentences."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from ingest.errors import SetupError
from ingest.questions.files import DatasetFiles
from ingest.questions.sealed import Sealed
from ingest.questions.views import opened_views

_BATCH_ROWS = 10_000
_MAX_MESSAGE_CHARS = 1000
# Parts of a SELECT that write: DuckDB has them in WITH.
_WRITING = "_QUERY_NODE"
# How DuckDB tells of Ctrl-C.
_INTERRUPTED = "Query interrupted"
_HINT = re.compile(r'\s*Did you mean "[^"]*"\?')


@dataclass(frozen=True)
class Answer:
    """The answer to a question, not read yet; each of its streams may be read once."""

    names: list[str]
    _relation: Any
    _types: list[str]
    _sql: str
    _connection: Any
    _files: DatasetFiles

    def rows(self) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        """The columns as Arrow has them, and their batches."""
        return self._read(self._relation)

    def texts(self, max_chars: int = 0) -> Iterator[pa.RecordBatch]:
        """Batches of strings, null where there is none: bytes as hex, all else as DuckDB has it.

        max_chars: longer strings are cut; 0: none are.
        """
        shown = [self._text(at) for at in range(len(self.names))]
        if max_chars:
            shown = [f"left({one}, {max_chars})" for one in shown]
        return self._read(self._project(shown))[1]

    def json_objects(self) -> Iterator[str]:
        """Each row as a JSON object; numbers that JSON lacks are null, bytes are hex."""
        pairs = ", ".join(
            f"{_quoted(name)}, {self._text(at) if dtype == 'BLOB' else f'#{at + 1}'}"
            for at, (name, dtype) in enumerate(zip(self.names, self._types, strict=True))
        )
        for batch in self._read(self._project([f"json_object({pairs})"]))[1]:
            yield from (_strict_json(one) for one in batch[0].to_pylist())

    def _text(self, at: int) -> str:
        if self._types[at] == "BLOB":
            return f"lower(hex(#{at + 1}))"
        return f"CAST(#{at + 1} AS VARCHAR)"

    def _project(self, expressions: list[str]) -> Any:
        with _told(self._connection, self._files, self._sql):
            return self._relation.project(
                ", ".join(f"{one}::VARCHAR AS _{at}" for at, one in enumerate(expressions))
            )

    def _read(self, relation: Any) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
        with _told(self._connection, self._files, self._sql):
            reader = relation.to_arrow_reader(_BATCH_ROWS)
        return reader.schema, self._batches(reader)

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with reader:
            while True:
                with _told(self._connection, self._files, self._sql):
                    try:
                        batch = reader.read_next_batch()
                    except StopIteration:
                        return
                yield batch


@contextmanager
def question(sealed: Sealed, sql: str, memory_mib: int) -> Iterator[Answer]:
    """The answer to one SELECT; raises SetupError if it is none, or cannot be answered.

    Views: `ledger`, `ledger_all`, `kept`, `plan`, `manifest`, `tombstones`, `removals`, `dataset`.
    """
    with opened_views(sealed, memory_mib) as (connection, files):
        with _told(connection, files, sql):
            statement = _one_select(connection, sql)
            relation = connection.sql(statement)
            if relation is None:
                raise SetupError("expected a SELECT with an answer, got none")
            names, types = list(relation.columns), [str(one) for one in relation.types]
        yield Answer(names, relation, types, statement, connection, files)


def _one_select(connection: Any, sql: str) -> str:
    """The statement, if it is one SELECT that writes nothing; else raises SetupError.

    What it may read is not checked here: nothing but the dataset's files can be reached.
    """
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise SetupError(f"expected one SELECT, got {len(statements)} statements")
    kind = statements[0].type.name
    if kind == "MULTI":
        raise SetupError("expected a PIVOT with its columns, as in ON x IN ('a', 'b'), got none")
    if kind != "SELECT":
        raise SetupError(f"expected a SELECT, got {kind}: a question changes nothing")
    query = str(statements[0].query).strip().rstrip(";")
    ((found,),) = connection.execute("SELECT json_serialize_sql($1)", [query]).fetchall()
    tree = orjson.loads(found)
    if tree["error"]:
        raise SetupError(f"expected a SELECT, got: {tree['error_message']}")
    if writing := sorted(set(_writing(tree))):
        raise SetupError(f"expected a SELECT, got {', '.join(writing)}: a question changes nothing")
    return query


def _writing(tree: Any) -> Iterator[str]:
    """The parts of a parsed statement that write."""
    below = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    for one in below:
        yield from _writing(one)
    kind = tree.get("type") if isinstance(tree, dict) else None
    if isinstance(kind, str) and kind.endswith(_WRITING):
        yield kind.removesuffix(_WRITING)


@contextmanager
def _told(connection: Any, files: DatasetFiles, sql: str) -> Iterator[None]:
    """Errors of DuckDB as sentences, with what there is where something is not."""
    import duckdb

    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
        if files.failure is not None:
            raise files.failure from error
        if _INTERRUPTED in str(error):
            raise KeyboardInterrupt from error
        message = _HINT.sub("", str(error)).strip()
        if len(message) > _MAX_MESSAGE_CHARS:
            message = message[:_MAX_MESSAGE_CHARS] + " ..."
        told = f"expected a question that DuckDB can answer, got: {message}"
        raise SetupError(told + _what_there_is(connection, message, sql)) from error


def _what_there_is(connection: Any, message: str, sql: str) -> str:
    """The views, or the columns of those that a statement names, if it misses one."""
    views = _columns_by_view(connection)
    if "Table with name" in message:
        return f"\nthere is: {', '.join(views)}"
    if not ("column" in message and message.startswith("Binder Error")):
        return ""
    named = [view for view in views if re.search(rf"\b{view}\b", sql, re.IGNORECASE)]
    return "".join(f"\ncolumns of {view}: {', '.join(views[view])}" for view in named)


def _columns_by_view(connection: Any) -> dict[str, list[str]]:
    rows = connection.execute(
        "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
        "WHERE NOT internal GROUP BY table_name ORDER BY table_name"
    ).fetchall()
    return dict(rows)


def _strict_json(text: str) -> str:
    """JSON without NaN and Infinity, which DuckDB writes and JSON lacks."""
    if "NaN" not in text and "Infinity" not in text:
        return text
    import json

    return json.dumps(
        json.loads(text, parse_constant=lambda _: None), ensure_ascii=False, separators=(",", ":")
    )


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
