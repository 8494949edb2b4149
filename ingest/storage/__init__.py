"""Open, list, write-once and create-only, on local disks and object stores alike (fsspec).

A file appears under its name whole or not at all: locally by a temporary file that is renamed or
linked, on object stores because a put is atomic. Nothing is ever renamed on an object store.

On gs:// and s3:// each request that fails for a passing reason is made again (`retry`), and what
was sent is compared with what the store says it holds. The credentials, endpoints and regions are
those that Google's and Amazon's own tools find; there are no options of ours.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ingest.errors import SetupError
from ingest.storage.local import PARTIAL_SUFFIX, LocalStore
from ingest.storage.store import Store

__all__ = [
    "PARTIAL_SUFFIX",
    "create_bytes",
    "exists",
    "expand",
    "is_folder",
    "join",
    "list_files",
    "list_names",
    "list_sizes",
    "open_input",
    "publish",
    "read_bytes",
    "read_many",
    "read_range",
    "remove",
    "size",
    "staged",
    "write_bytes",
]

_EXTRAS = {"gs": "gcp", "gcs": "gcp", "s3": "s3", "s3a": "s3"}


def join(uri: str, *parts: str) -> str:
    """The URI of something below `uri`."""
    return "/".join([uri.rstrip("/") or "/", *parts])


def open_input(uri: str) -> IO[bytes]:
    """The bytes of a file as a seekable stream; raises FileNotFoundError."""
    store, path = _store(uri)
    return store.open(path)


def read_bytes(uri: str) -> bytes:
    """The whole content of a file; raises FileNotFoundError."""
    store, path = _store(uri)
    return store.read(path)


def read_many(folder: str, names: Sequence[str]) -> list[bytes]:
    """The contents of files below a folder, from object stores many at a time.

    Raises FileNotFoundError.
    """
    store, path = _store(folder)
    return store.read_many([f"{path.rstrip('/')}/{name}" for name in names])


def read_range(uri: str, offset: int, length: int) -> bytes:
    """Bytes `offset` to `offset + length` of a file, by one range request; shorter at its end."""
    store, path = _store(uri)
    return store.read(path, offset, offset + length)


def size(uri: str) -> int:
    """The size of a file, bytes; raises FileNotFoundError."""
    store, path = _store(uri)
    return store.size(path)


def exists(uri: str) -> bool:
    """Whether there is a file or folder of this name."""
    store, path = _store(uri)
    return store.exists(path)


def is_folder(uri: str) -> bool:
    """Whether this is a folder, or a prefix with objects below it."""
    store, path = _store(uri)
    return store.is_folder(path)


def expand(pattern: str) -> list[str]:
    """The sorted URIs that a glob matches; a URI without wildcards is returned as it is."""
    if not any(sign in pattern for sign in "*?["):
        return [pattern]
    store, path = _store(pattern)
    found = store.glob(path)
    return sorted(map(store.uri, found) if "://" in pattern else found)


def list_names(folder: str) -> list[str]:
    """The sorted names of the files and folders in a folder; none if there is no such folder."""
    store, path = _store(folder)
    try:
        found = [one.rstrip("/") for one in store.list_folder(path)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    # Asked for a file, a file system gives that file.
    prefix = path.rstrip("/") + "/"
    return sorted(one.removeprefix(prefix) for one in found if one.startswith(prefix))


def list_files(folder: str) -> list[str]:
    """The sorted paths of all files below a folder, relative to it; none if it does not exist."""
    store, path = _store(folder)
    root = path.rstrip("/")
    return sorted(found[len(root) + 1 :] for found in store.list_all(path))


def list_sizes(folder: str) -> dict[str, int]:
    """Paths, relative to it, and sizes of all files below a folder; none if it does not exist."""
    store, path = _store(folder)
    root = path.rstrip("/") + "/"
    sizes = store.list_sizes(path)
    return {one.removeprefix(root): size for one, size in sizes if one.startswith(root)}


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file, whole or not at all; a file of that name is replaced."""
    store, path = _store(uri)
    store.write(path, content)


def create_bytes(uri: str, content: bytes) -> bool:
    """Write a file if there is none of that name, in one atomic step; whether it was written."""
    store, path = _store(uri)
    return store.create(path, content)


def staged(folder: str, scratch: str) -> AbstractContextManager[Path]:
    """A new local file for something large whose name is not known yet; `publish` moves it.

    It lies in `folder` itself if that is local, so that nothing is copied, else in `scratch`.
    """
    store, path = _store(folder)
    return store.staged(path, scratch)


def publish(staged_file: Path, uri: str) -> None:
    """Put a staged file under its name, whole or not at all."""
    store, path = _store(uri)
    store.publish(staged_file, path)


def remove(uri: str) -> None:
    """Delete a file; nothing happens if it is gone already."""
    store, path = _store(uri)
    store.remove(path)


def _store(uri: str) -> tuple[Store, str]:
    """Where a URI leads, and its path there; raises SetupError if a package is missing for it."""
    protocol, separator, rest = uri.partition("://")
    try:
        if separator and protocol in ("gs", "gcs"):
            from ingest.storage.gcs import open_store as open_gcs

            return open_gcs(), rest.rstrip("/")
        if separator and protocol in ("s3", "s3a"):
            from ingest.storage.s3 import open_store as open_s3

            return open_s3(), rest.rstrip("/")
        # Listings are not cached: other workers write to the same folders.
        fs, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        hint = f"pip install 'uncurated[{extra}]'" if extra else "the fsspec package for it"
        raise SetupError(f"{uri}: expected {hint}, got: {error}") from error
    return (LocalStore(fs) if isinstance(fs, LocalFileSystem) else Store(fs)), path
