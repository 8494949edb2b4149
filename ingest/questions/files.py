"""The files of one dataset for DuckDB, as `dataset://PATH`: what its records name, no more."""

import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from fsspec.spec import AbstractFileSystem

from ingest import storage
from ingest.errors import SetupError
from ingest.storage.stream import Ranges

PROTOCOL = "dataset"
# DuckDB asks for whole column chunks; only what is smaller, such as a footer, is read ahead.
_READ_AHEAD_BYTES = 64 << 10
# Files that a seal names never change, and what DuckDB has of one may be used again.
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class DatasetFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A read-only file system of named files; it finds no others and lists nothing.

    `failure` is the last error in reading one: DuckDB itself would tell it as a traceback.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, dataset: str) -> None:
        super().__init__()
        self.failure: Exception | None = None
        self._dataset = dataset
        self._sizes: dict[str, int | None] = {}
        self._contents: dict[str, bytes] = {}

    def add(self, path: str, num_bytes: int | None = None) -> str:
        """The name for DuckDB of a file of the dataset; without its size the store is asked."""
        self._sizes[path] = num_bytes
        return f"{PROTOCOL}://{path}"

    def add_content(self, path: str, content: bytes) -> str:
        """The name for DuckDB of something that is in memory already."""
        self._contents[path] = content
        return self.add(path, len(content))

    def open(self, path: str, mode: str = "rb", **options: Any) -> IO[bytes]:
        """A named file as a seekable stream; raises SetupError for all others and for writing."""
        path = self._named(path)
        if mode != "rb":
            raise SetupError(f"expected to read {path}, got mode {mode}")
        if path in self._contents:
            return io.BytesIO(self._contents[path])
        uri = storage.join(self._dataset, path)
        try:
            if "://" not in uri:
                # Not `open_input`, which takes several times as long, for each of 100,000 parts.
                return cast(IO[bytes], io.BufferedReader(_LocalRanges(uri), _READ_AHEAD_BYTES))
            # Not `open_input`, which reads 4 MiB at once, so nearly the whole of a ledger part.
            ranges = Ranges(lambda a, b: storage.read_range(uri, a, b - a), self.size(path))
            return io.BufferedReader(ranges, _READ_AHEAD_BYTES)
        except (OSError, SetupError) as error:
            raise self._failed(path, error) from error

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        path = self._named(path)
        size = self._sizes[path]
        if size is None:
            try:
                size = storage.size(storage.join(self._dataset, path))
            except (OSError, SetupError) as error:
                raise self._failed(path, error) from error
            self._sizes[path] = size
        return {"name": path, "size": size, "type": "file"}

    def size(self, path: str) -> int:
        return int(self.info(path)["size"])

    def modified(self, path: str) -> datetime:
        return _NEVER

    def exists(self, path: str, **options: Any) -> bool:
        return self._strip_protocol(path) in self._sizes

    def glob(self, path: str, **options: Any) -> list[str]:
        """The file itself: a name is no pattern."""
        return [self._strip_protocol(path)] if self.exists(path) else []

    def _named(self, path: str) -> str:
        path = str(self._strip_protocol(path))
        if path not in self._sizes:
            raise SetupError(f"expected a file that the dataset's records name, got {path}")
        return path

    def _failed(self, path: str, error: Exception) -> SetupError:
        if isinstance(error, FileNotFoundError):
            self.failure = SetupError(f"expected {path} in {self._dataset}, got no such file")
        else:
            self.failure = SetupError(f"expected to read {path} of {self._dataset}, got: {error}")
        return self.failure


class _LocalRanges(Ranges):
    """A local file that is closed with the last who holds it: DuckDB just lets go of a stream."""

    def __init__(self, path: str) -> None:
        descriptor = os.open(Path(path).expanduser(), os.O_RDONLY)
        self._descriptor = descriptor
        # A closure over `self` would keep it open until the next collection.
        super().__init__(
            lambda begin, end: os.pread(descriptor, end - begin, begin),
            os.fstat(descriptor).st_size,
        )

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()
