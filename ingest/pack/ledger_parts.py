"""The committed ledger parts of a dataset, finished or not, read ahead in bounded memory."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.pack.commit import list_commits, read_commits
from ingest.pack.seal import read_manifest, read_seal
from schemas.manifest import Commit, DatasetRecord

_READERS = 4


def all_commits(dataset: str) -> tuple[DatasetRecord | None, list[Commit]]:
    """The seal, if there is one, and all commits, those that are younger than it included."""
    seal = read_seal(dataset)
    sealed = read_manifest(dataset) if seal else []
    later = set(list_commits(dataset)) - {one.shard for one in sealed}
    commits = sealed + read_commits(dataset, later)
    return seal, sorted(commits, key=lambda one: one.shard)


def read_parts(
    dataset: str, paths: Iterable[str], columns: Sequence[str]
) -> Iterator[tuple[str, pa.Table]]:
    """Path and table of each ledger part in turn; columns that a part lacks are left out.

    A few parts are read ahead, so memory holds no more than these. Raises SetupError if one is
    missing or no parquet file.
    """
    waiting: deque[tuple[str, Future[pa.Table]]] = deque()
    with ThreadPoolExecutor(_READERS) as pool:
        for path in paths:
            waiting.append((path, pool.submit(read_part, dataset, path, columns)))
            if len(waiting) > _READERS:
                yield _take(waiting)
        while waiting:
            yield _take(waiting)


def read_part(dataset: str, path: str, columns: Sequence[str]) -> pa.Table:
    """The table of one ledger part; columns that it lacks are left out.

    Raises SetupError if it is missing or no parquet file.
    """
    try:
        with storage.open_input(storage.join(dataset, path)) as file:
            # Threads of Arrow that hold a Python file may abort the interpreter's exit.
            part = pq.ParquetFile(file, pre_buffer=False)
            found = [name for name in columns if name in part.schema_arrow.names]
            return part.read(columns=found, use_threads=False)
    except FileNotFoundError as error:
        raise SetupError(f"expected {path} in {dataset}, got no such file") from error
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise SetupError(f"{path}: expected a ledger part, got {error}") from error


def _take(waiting: deque[tuple[str, Future[pa.Table]]]) -> tuple[str, pa.Table]:
    path, future = waiting.popleft()
    return path, future.result()
