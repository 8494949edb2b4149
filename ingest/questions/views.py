"""The views that a question may name, in a DuckDB that reads the files of one dataset alone.

Each view is a scan of files that the seal's manifest names, under the columns of our schemas, so
that a part which lacks a younger column has nulls there, and that no file is opened to make it.
"""

import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from ingest import storage
from ingest.errors import SetupError
from ingest.questions.files import PROTOCOL, DatasetFiles
from ingest.questions.sealed import Sealed
from schemas.candidate import Candidate
from schemas.ledger import LedgerRow
from schemas.manifest import DATASET_FILE, MANIFEST_FILE, Commit, decode
from schemas.removal import REMOVALS, Removal
from schemas.tombstone import TOMBSTONES, Tombstone

# Reading from an object store is mostly waiting.
_REMOTE_THREADS = 16
_SAFE = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
}
# The anti join keeps the few rows of the retries in memory; a window would keep all.
_LEDGER = """
    SELECT * FROM ledger_all AS row_
    WHERE NOT EXISTS (
        FROM {later} AS later
        WHERE later.id = row_.id AND later.generation > row_.generation
    )
"""
# Records of removals and later certificates name the files of their tombstones.
_FILE = f", substr(filename, {len(PROTOCOL) + 4}) AS file"
_KEPT = """
    SELECT row_.*, manifest.shard_file
    FROM ledger_all AS row_ JOIN manifest ON manifest.shard = row_.shard
    WHERE row_.outcome = 'kept'
      AND NOT EXISTS (FROM tombstones WHERE tombstones.id = row_.id)
"""


@contextmanager
def opened_views(sealed: Sealed, memory_mib: int) -> Iterator[tuple[Any, DatasetFiles]]:
    """A DuckDB with all views of a dataset, locked, and the files that it reads.

    It can neither write nor reach any other file, address or extension, whatever it is asked;
    it may take `memory_mib` and spills to a temporary folder that ends with it.
    """
    try:
        import duckdb
    except ImportError as error:
        raise SetupError(f"expected pip install 'uncurated[beam]', got: {error}") from error
    files = DatasetFiles(sealed.dataset)
    with tempfile.TemporaryDirectory(prefix="uncurated-") as spill:
        options = {**_SAFE, "memory_limit": f"{memory_mib}MiB", "temp_directory": spill}
        if "://" in sealed.dataset:
            options["threads"] = _REMOTE_THREADS
        connection = duckdb.connect(config=options)
        try:
            connection.register_filesystem(files)
            create_views(connection, files, sealed)
            _lock(connection)
            yield connection, files
        finally:
            # Else the two hold each other for ever.
            connection.unregister_filesystem(PROTOCOL)
            connection.close()


def create_views(connection: Any, files: DatasetFiles, sealed: Sealed) -> None:
    """Create `ledger`, `ledger_all`, `kept`, `plan`, `manifest`, `tombstones`, `dataset`, ..."""
    commits = sealed.manifest
    parts = list(zip(*(commits[name].to_pylist() for name in _PART_COLUMNS), strict=True))
    ledger = [files.add(path, num_bytes) for _, path, num_bytes, _ in parts]
    later = [f"{PROTOCOL}://{path}" for shard, path, _, _ in parts if sealed.generation(shard)]
    plan = [files.add(path) for _, _, _, path in parts]
    manifest = files.add_content(MANIFEST_FILE, sealed.manifest_content)
    _scan(connection, files, "ledger_all", (LedgerRow.arrow_schema(), ledger))
    _scan(connection, files, "plan", (Candidate.arrow_schema(), plan))
    _scan(connection, files, "manifest", (Commit.arrow_schema(), [manifest]))
    _scan(connection, files, "tombstones", (Tombstone.arrow_schema(), _tombstones(files, sealed)))
    seal = seal_table(sealed)
    _scan(connection, files, "dataset", (seal.schema, [_keep(files, DATASET_FILE, seal)]))
    removals = removal_table(sealed)
    kept = _keep(files, f"{REMOVALS}.parquet", removals)
    _scan(connection, files, REMOVALS, (removals.schema, [kept]))
    if later:
        relation = _parquet(connection, "later", LedgerRow.arrow_schema(), later)
        connection.execute(f"CREATE VIEW ledger AS {_LEDGER.format(later=relation)}")
    else:
        connection.execute("CREATE VIEW ledger AS FROM ledger_all")
    connection.execute(f"CREATE VIEW kept AS {_KEPT}")


_PART_COLUMNS = ("shard", "ledger_file", "ledger_bytes", "plan_file")


def seal_table(sealed: Sealed) -> pa.Table:
    """The seal as one row: its plain values as they are, all else as JSON."""
    row = sealed.seal.model_dump(mode="json")
    return pa.Table.from_pylist([{name: _plain(value) for name, value in row.items()}])


def removal_table(sealed: Sealed) -> pa.Table:
    """The records of removals, one a row, with their paths; lists and objects are JSON."""
    rows = []
    for path, record in read_removals(sealed.dataset).items():
        values = record.model_dump(mode="json")
        rows.append({"file": path} | {name: _plain(value) for name, value in values.items()})
    fields = [
        (name, pa.int64() if info.annotation in (int, int | None) else pa.string())
        for name, info in Removal.model_fields.items()
    ]
    return pa.Table.from_pylist(rows, pa.schema([("file", pa.string()), *fields]))


def read_removals(dataset: str) -> dict[str, Removal]:
    """The records of removals by their paths; raises SetupError for what is none."""
    folder = storage.join(dataset, REMOVALS)
    names = [name for name in storage.list_names(folder) if name.endswith(".json")]
    found = {}
    for name, content in zip(names, storage.read_many(folder, names), strict=True):
        try:
            found[f"{REMOVALS}/{name}"] = decode(Removal, content)
        except ValidationError as error:
            raise SetupError(f"{REMOVALS}/{name}: expected a Removal, got {error}") from error
    return found


def _plain(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, (dict, list)) else value


def _tombstones(files: DatasetFiles, sealed: Sealed) -> list[str]:
    """All tombstone files, as every reader takes them: no record of the seal can name them."""
    names = storage.list_names(storage.join(sealed.dataset, TOMBSTONES))
    return [files.add(f"{TOMBSTONES}/{name}") for name in names if name.endswith(".parquet")]


def _scan(
    connection: Any, files: DatasetFiles, view: str, source: tuple[pa.Schema, Sequence[str]]
) -> None:
    """Create the view of some parquet files, or of none."""
    schema, uris = source
    if not uris:
        uris = [_keep(files, f"no-{view}.parquet", schema.empty_table())]
    relation = _parquet(connection, view, schema, uris)
    file = _FILE if view == TOMBSTONES else ""
    connection.execute(f"CREATE VIEW {view} AS SELECT *{file} FROM {relation}")


def _parquet(connection: Any, name: str, schema: pa.Schema, uris: Sequence[str]) -> str:
    """A call of `read_parquet`; the names are in a variable, as 100,000 make a long statement."""
    connection.execute(f"SET VARIABLE {name}_files = $1", [list(uris)])
    types = connection.from_arrow(schema.empty_table()).types
    columns = ", ".join(
        f"'{column}': {{name: '{column}', type: '{dtype}', default_value: NULL}}"
        for column, dtype in zip(schema.names, types, strict=True)
    )
    return f"read_parquet(getvariable('{name}_files'), schema = MAP {{{columns}}})"


def _keep(files: DatasetFiles, path: str, table: pa.Table) -> str:
    """The name for DuckDB of a table in memory."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return files.add_content(path, buffer.getvalue())


def _lock(connection: Any) -> None:
    """Leave it nothing but the named files, for good."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET allowed_directories = ['{PROTOCOL}://']")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
