"""A file system of fsspec as it comes: what `memory://` and the like use, and others refine."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast


class Store:
    """Files by their path; each method is one question to the file system."""

    def __init__(self, fs: Any) -> None:
        self.fs = fs

    def uri(self, path: str) -> str:
        """The URI of a path of this store."""
        return str(self.fs.unstrip_protocol(path))

    def open(self, path: str) -> IO[bytes]:
        """A file as a seekable stream."""
        return cast(IO[bytes], self.fs.open(path, "rb"))

    def read(self, path: str, begin: int | None = None, end: int | None = None) -> bytes:
        """The bytes of a file from `begin` to before `end`, fewer if it ends earlier."""
        return cast(bytes, self.fs.cat_file(path, start=begin, end=end))

    def read_many(self, paths: list[str]) -> list[bytes]:
        """The contents of small files: one by one, for threads would but wait for each other."""
        return [self.read(path) for path in paths]

    def size(self, path: str) -> int:
        """The size of a file, bytes."""
        return int(self.fs.size(path))

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of this name."""
        return bool(self.fs.exists(path))

    def is_folder(self, path: str) -> bool:
        """Whether this is a folder."""
        return bool(self.fs.isdir(path))

    def glob(self, pattern: str) -> list[str]:
        """The paths of the files and folders that match."""
        return [str(found) for found in self.fs.glob(pattern)]

    def list_folder(self, path: str) -> list[str]:
        """The paths of what is in a folder; raises FileNotFoundError if nothing is."""
        return [str(found) for found in self.fs.ls(path, detail=False)]

    def list_all(self, path: str) -> list[str]:
        """The paths of all files below a folder."""
        return [str(found) for found in self.fs.find(path)]

    def list_sizes(self, path: str) -> Iterator[tuple[str, int]]:
        """The paths of all files below a folder, and their sizes, bytes."""
        found = self.fs.find(path, detail=True)
        return ((str(one), int(facts["size"])) for one, facts in found.items())

    def write(self, path: str, content: bytes) -> None:
        """Write a file, or replace it, whole or not at all."""
        self.fs.pipe_file(path, content)

    def create(self, path: str, content: bytes) -> bool:
        """Write a file if there is none, in one atomic step; whether it was written."""
        try:
            self.fs.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        return True

    def staged(self, folder: str, scratch: str) -> AbstractContextManager[Path]:
        """A new local file from which `publish` makes a file in `folder`."""
        return _temporary_file(scratch)

    def publish(self, staged_file: Path, path: str) -> None:
        """Put a staged file under its name, whole or not at all."""
        self.fs.put_file(str(staged_file), path)

    def remove(self, path: str) -> None:
        """Delete a file; nothing happens if it is gone already."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(path)


@contextmanager
def _temporary_file(scratch: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="uncurated-", dir=scratch or None) as temporary:
        yield Path(temporary) / "staged"
