"""Open, list, write-once and create-only, on local disks and object stores alike (fsspec).

A file appears under its name whole or not at all: locally by a temporary file that is renamed or
linked, on object stores because a put is atomic. Nothing is ever renamed on an object store.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

PARTIAL_SUFFIX = ".partial"


def join(uri: str, *parts: str) -> str:
    """The URI of something below `uri`."""
    return "/".join([uri.rstrip("/") or "/", *parts])


def open_input(uri: str) -> IO[bytes]:
    """The bytes of a file as a seekable stream."""
    fs, path = _filesystem(uri)
    return cast(IO[bytes], fs.open(path, "rb"))


def read_bytes(uri: str) -> bytes:
    """The whole content of a file; raises FileNotFoundError."""
    fs, path = _filesystem(uri)
    return cast(bytes, fs.cat_file(path))


def read_many(folder: str, names: Sequence[str]) -> list[bytes]:
    """The contents of files in a folder, from object stores at once; raises FileNotFoundError."""
    fs, path = _filesystem(folder)
    paths = [f"{path.rstrip('/')}/{name}" for name in names]
    contents = fs.cat_ranges(paths, None, None)
    for content in contents:
        if isinstance(content, Exception):
            raise content
    return cast(list[bytes], contents)


def read_range(uri: str, offset: int, length: int) -> bytes:
    """Bytes `offset` to `offset + length` of a file, by one range request; shorter at its end."""
    fs, path = _filesystem(uri)
    return cast(bytes, fs.cat_file(path, start=offset, end=offset + length))


def size(uri: str) -> int:
    """The size of a file, bytes; raises FileNotFoundError."""
    fs, path = _filesystem(uri)
    return int(fs.size(path))


def exists(uri: str) -> bool:
    """Whether there is a file or folder of this name."""
    fs, path = _filesystem(uri)
    return bool(fs.exists(path))


def is_folder(uri: str) -> bool:
    """Whether this is a folder, or a prefix with objects below it."""
    fs, path = _filesystem(uri)
    return bool(fs.isdir(path))


def expand(pattern: str) -> list[str]:
    """The sorted URIs that a glob matches; a URI without wildcards is returned as it is."""
    if not any(sign in pattern for sign in "*?["):
        return [pattern]
    fs, path = _filesystem(pattern)
    return sorted(_like(pattern, fs, found) for found in fs.glob(path))


def list_names(folder: str) -> list[str]:
    """The sorted names of the files and folders in a folder; none if there is no such folder."""
    fs, path = _filesystem(folder)
    try:
        found = [str(one).rstrip("/") for one in fs.ls(path, detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    # Asked for a file, `ls` gives that file.
    prefix = path.rstrip("/") + "/"
    return sorted(one.removeprefix(prefix) for one in found if one.startswith(prefix))


def list_sizes(folder: str) -> dict[str, int]:
    """Names and sizes of the files in a folder, by one listing; none if there is no such folder."""
    fs, path = _filesystem(folder)
    try:
        if isinstance(fs, LocalFileSystem):
            with os.scandir(path) as entries:
                return {one.name: one.stat().st_size for one in entries if one.is_file()}
        found = fs.ls(path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    # Asked for a file, `ls` gives that file.
    prefix = path.rstrip("/") + "/"
    files = {str(one["name"]): int(one["size"]) for one in found if one["type"] == "file"}
    return {
        name.removeprefix(prefix): size for name, size in files.items() if name.startswith(prefix)
    }


def list_files(folder: str) -> list[str]:
    """The sorted paths of all files below a folder, relative to it; none if it does not exist."""
    fs, path = _filesystem(folder)
    root = path.rstrip("/")
    return sorted(str(found)[len(root) + 1 :] for found in fs.find(path))


def write_bytes(uri: str, content: bytes) -> None:
    """Write a file, whole or not at all; a file of that name is replaced."""
    fs, path = _filesystem(uri)
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, content)
        return
    with _local_partial(path) as partial:
        partial.write_bytes(content)
        _sync(partial)
        partial.replace(path)


def create_bytes(uri: str, content: bytes) -> bool:
    """Write a file if there is none of that name, in one atomic step; whether it was written."""
    fs, path = _filesystem(uri)
    try:
        if not isinstance(fs, LocalFileSystem):
            fs.pipe_file(path, content, mode="create")
            return True
        with _local_partial(path) as partial:
            partial.write_bytes(content)
            _sync(partial)
            os.link(partial, path)
    except FileExistsError:
        return False
    return True


@contextmanager
def staged(folder: str, scratch: str) -> Iterator[Path]:
    """A new local file for something large whose name is not known yet; `publish` moves it.

    It lies in `folder` itself if that is local, so that nothing is copied, else in `scratch`.
    """
    fs, path = _filesystem(folder)
    if isinstance(fs, LocalFileSystem):
        with _local_partial(f"{path}/staged") as partial:
            yield partial
    else:
        with tempfile.TemporaryDirectory(prefix="uncurated-", dir=scratch or None) as temporary:
            yield Path(temporary) / "staged"


def publish(staged_file: Path, uri: str) -> None:
    """Put a staged file under its name, whole or not at all."""
    fs, path = _filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        _sync(staged_file)
        staged_file.replace(path)
    else:
        fs.put_file(str(staged_file), path)


def remove(uri: str) -> None:
    """Delete a file; nothing happens if it is gone already."""
    fs, path = _filesystem(uri)
    if fs.exists(path):
        fs.rm_file(path)


def _filesystem(uri: str) -> tuple[Any, str]:
    # Listings are not cached: other workers write to the same folders.
    fs, path = fsspec.core.url_to_fs(uri, use_listings_cache=False)
    return fs, path


def _like(pattern: str, fs: Any, path: str) -> str:
    return str(fs.unstrip_protocol(path)) if "://" in pattern else str(path)


@contextmanager
def _local_partial(path: str) -> Iterator[Path]:
    target = Path(path)
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
