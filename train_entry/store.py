"""The files of a dataset, wherever it lies: local by the operating system, all else by fsspec.

A store may be handed to other processes: each opens its own connections, for the clients of object
stores do not survive a fork.
"""

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import getproxies

import fsspec

from train_entry.range_client import RangeClient, Target

T = TypeVar("T")

_CONNECT_S, _SILENCE_S = 10, 60


class StoreError(Exception):
    """There is no such store, or it has not given a file for so long that it is given up."""


# One failure may be told in any class: aiohttp's, botocore's, gcsfs's own, OSError, ValueError.
# These are answers, which another attempt would not change.
_FINAL = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, StoreError)


class Store:
    """The files below one URI, by their paths in it."""

    def __init__(self, uri: str, patience_s: float = 120.0) -> None:
        self.uri = uri.rstrip("/")
        self.patience_s = patience_s
        protocol, separator, path = self.uri.partition("://")
        self.is_local = not separator or protocol in ("file", "local")
        self.folder = Path(path if separator else self.uri) if self.is_local else Path()
        self._lock = threading.Lock()
        self._fs: Any = None
        self._client: RangeClient | None = None
        self._process = 0

    def __reduce__(self) -> Any:
        return Store, (self.uri, self.patience_s)

    def name(self, path: str) -> str:
        """The full name of a file, for messages."""
        return f"{self.uri}/{path}"

    def read(self, path: str, begin: int | None = None, end: int | None = None) -> bytes:
        """The bytes of a file, or those from `begin` to before `end`; never fewer.

        Raises FileNotFoundError, EOFError, and StoreError when patience has run out.
        """
        if self.is_local:
            return self._read_local(path, begin, end)

        def attempt() -> bytes:
            content = self._request(self.name(path), begin, end)
            if begin is not None and end is not None and len(content) != end - begin:
                raise EOFError(f"expected {end - begin} bytes from {begin}, got {len(content)}")
            return content

        return persist(self.name(path), attempt, self.patience_s)

    def size(self, path: str) -> int | None:
        """The size of a file, bytes; None if the store does not tell it.

        Raises FileNotFoundError and StoreError.
        """
        if self.is_local:
            return (self.folder / path).stat().st_size
        return persist(self.name(path), lambda: self._size(path), self.patience_s)

    def names(self, folder: str) -> list[str]:
        """The names of the files in a folder, in order; none if there is no such folder."""
        try:
            if self.is_local:
                return sorted(one.name for one in (self.folder / folder).iterdir())
            found = persist(
                self.name(folder),
                lambda: self._open().ls(self.name(folder), detail=False),
                self.patience_s,
            )
        except FileNotFoundError:
            return []
        return sorted(name for one in found if (name := str(one).rpartition("/")[2]))

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder of this name; raises StoreError."""
        if self.is_local:
            return (self.folder / path).exists()
        return persist(
            self.name(path), lambda: bool(self._open().exists(self.name(path))), self.patience_s
        )

    def is_folder(self, path: str) -> bool:
        """Whether this is a folder, or a prefix with objects below it; raises StoreError."""
        if self.is_local:
            return (self.folder / path).is_dir()
        return persist(
            self.name(path), lambda: bool(self._open().isdir(self.name(path))), self.patience_s
        )

    def sizes(self, folder: str) -> dict[str, int]:
        """Paths, relative to it, and sizes of all files below a folder; none if there is none.

        Links to folders are not followed, so that there are no rounds. Raises StoreError.
        """
        if self.is_local:
            return _local_sizes(self.folder / folder)
        found = persist(
            self.name(folder),
            lambda: self._open().find(self.name(folder), detail=True),
            self.patience_s,
        )
        # What is listed has no protocol in front.
        root = str(self._open()._strip_protocol(self.name(folder))).rstrip("/") + "/"
        return {
            str(one).removeprefix(root): int(facts["size"])
            for one, facts in found.items()
            if str(one).startswith(root)
        }

    def _size(self, path: str) -> int | None:
        size: int | None = self._open().info(self.name(path))["size"]
        return size

    def _read_local(self, path: str, begin: int | None, end: int | None) -> bytes:
        with (self.folder / path).open("rb") as file:
            file.seek(begin or 0)
            if end is None:
                return file.read()
            content = file.read(end - (begin or 0))
        if len(content) != end - (begin or 0):
            raise EOFError(f"expected {end - (begin or 0)} bytes from {begin}, got {len(content)}")
        return content

    def _request(self, name: str, begin: int | None, end: int | None) -> bytes:
        fs = self._open()
        if self._client and begin is not None and end is not None:
            return self._client.read(name, begin, end)
        content: bytes = fs.cat_file(name, start=begin, end=end)
        return content

    def _open(self) -> Any:
        """The file system of this process."""
        with self._lock:
            if self._process != os.getpid():
                protocol = self.uri.partition("://")[0]
                try:
                    self._fs = _file_system(protocol)
                except (ImportError, ValueError) as error:
                    # No such protocol, or its package is not installed.
                    what = f"expected a store that fsspec can open, got {error}"
                    raise StoreError(f"{self.uri}: {what}") from error
                self._client = _range_client(protocol, self._fs)
                self._process = os.getpid()
            return self._fs


def _local_sizes(folder: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    folders = [str(folder)]
    prefix = len(str(folder).rstrip("/")) + 1
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                for one in found:
                    if one.is_dir(follow_symlinks=False):
                        folders.append(one.path)
                    elif one.is_file():
                        sizes[one.path[prefix:]] = one.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            continue
    return sizes


def persist(
    what: str,
    attempt: Callable[[], T],
    patience_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """What `attempt` returns, made again for `patience_s` after it first raised.

    Pauses double from 0.1 to 15 s and are cut at random (Brooker 2015, "Exponential backoff and
    jitter"). Raises StoreError with the last failure; what cannot pass goes through.
    """
    first_failure, pause_s = None, 0.1
    while True:
        try:
            return attempt()
        except _FINAL:
            raise
        except Exception as error:
            now = time.monotonic()
            first_failure = first_failure or now
            # Not for secrets: only that processes do not come back all at once.
            drawn_s = pause_s * random.random()
            if now + drawn_s - first_failure > patience_s:
                raise StoreError(
                    f"{what}: expected an answer within {patience_s:g} s of the first failure; "
                    f"the last one: {type(error).__name__}: {error}"
                ) from error
        sleep(drawn_s)
        pause_s = min(15.0, 2 * pause_s)


def _file_system(protocol: str) -> Any:
    """A file system with time-outs and without attempts of its own, where they can be had."""
    if protocol in ("gs", "gcs"):
        return _google()
    if protocol in ("http", "https"):
        from aiohttp import ClientTimeout

        timeout = ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S)
        return fsspec.filesystem(
            protocol, skip_instance_cache=True, client_kwargs={"timeout": timeout}
        )
    return fsspec.filesystem(protocol)


def _range_client(protocol: str, fs: Any) -> RangeClient | None:
    """A faster way to ask for ranges, where there is one; a proxy is left to fsspec."""
    if getproxies():
        return None
    if protocol in ("http", "https"):
        return RangeClient(lambda name: Target(name, {}))
    if protocol in ("gs", "gcs"):

        def target(name: str) -> Target:
            headers: dict[str, str] = {}
            fs.credentials.apply(headers)
            return Target(fs.url(name), headers)

        return RangeClient(target)
    return None


def _google() -> Any:
    # gcsfs asks for the kind of a bucket by gRPC before its first request, unless told otherwise.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    from aiohttp import ClientTimeout
    from gcsfs.core import GCSFileSystem

    class OneAttempt(GCSFileSystem):  # type: ignore[misc]  # gcsfs has no types
        # gcsfs 2026.10 makes each request up to 6 times, which multiplies with ours.
        _request = GCSFileSystem._request.__wrapped__

    return OneAttempt(
        # Google's clients, too, show an emulator no credentials.
        token="anon" if os.environ.get("STORAGE_EMULATOR_HOST") else None,
        use_listings_cache=False,
        skip_instance_cache=True,
        requests_timeout=ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S),
    )
