"""Files of this machine: written beside their name, synced, then renamed or linked to it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO

from ingest.errors import StorageError
from ingest.storage.store import Store

PARTIAL_SUFFIX = ".partial"


class LocalStore(Store):
    """A local file system."""

    def open(self, path: str) -> IO[bytes]:
        with _as_on_a_store(path):
            return super().open(path)

    def read(self, path: str, begin: int | None = None, end: int | None = None) -> bytes:
        with _as_on_a_store(path):
            return super().read(path, begin, end)

    def read_many(self, paths: list[str]) -> list[bytes]:
        # A third of the time that fsspec takes: commits are a hundred thousand small files.
        found = []
        for path in paths:
            with _as_on_a_store(path):
                found.append(Path(path).read_bytes())
        return found

    def list_sizes(self, path: str) -> Iterator[tuple[str, int]]:
        folders = [path]
        while folders:
            with (
                suppress(FileNotFoundError, NotADirectoryError),
                os.scandir(folders.pop()) as found,
            ):
                for one in found:
                    if one.is_dir(follow_symlinks=False):
                        folders.append(one.path)
                    elif one.is_file():
                        yield one.path, one.stat().st_size

    def write(self, path: str, content: bytes) -> None:
        with _partial(path) as partial, _writable(path):
            partial.write_bytes(content)
            _sync(partial)
            partial.replace(path)

    def create(self, path: str, content: bytes) -> bool:
        with _partial(path) as partial, _writable(path):
            partial.write_bytes(content)
            _sync(partial)
            try:
                os.link(partial, path)
            except FileExistsError:
                return False
        return True

    def staged(self, folder: str, scratch: str) -> AbstractContextManager[Path]:
        return _partial(f"{folder}/staged")

    def publish(self, staged_file: Path, path: str) -> None:
        with _writable(path):
            _sync(staged_file)
            staged_file.replace(path)


@contextmanager
def _as_on_a_store(path: str) -> Iterator[None]:
    """A folder, or what lies below a file, is no file; what may not be read is told."""
    try:
        yield
    except (IsADirectoryError, NotADirectoryError) as error:
        raise FileNotFoundError(f"expected a file, got a folder or none: {path}") from error
    except PermissionError as error:
        raise StorageError(f"{path}: expected leave to read it, got {error.strerror}") from error


@contextmanager
def _writable(path: str) -> Iterator[None]:
    """A full disk, a folder that is a file, and what else keeps a file from being written."""
    try:
        yield
    except FileNotFoundError:
        # A rival has swept the partial file away: whoever packs knows what that means.
        raise
    except OSError as error:
        raise StorageError(f"{path}: expected to write it, got {error}") from error


@contextmanager
def _partial(path: str) -> Iterator[Path]:
    target = Path(path)
    with _writable(path):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=PARTIAL_SUFFIX
        )
        os.close(descriptor)
        partial = Path(name)
        partial.chmod(0o644)
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
