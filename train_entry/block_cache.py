"""A bounded folder of blocks that all processes of a machine share.

A block is fetched by one process while the others that want it wait on a lock that the system
takes back from a process that dies. Whoever has a block open keeps its bytes, evicted or not.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PARTIAL = ".part"
# A file that is written for longer was left by a process that died.
_ABANDONED_S = 3600


class Block:
    """An open block: `descriptor` is to be read at offsets less `begin`."""

    def __init__(self, descriptor: int, begin: int) -> None:
        self.descriptor, self.begin = descriptor, begin

    def __del__(self) -> None:
        os.close(self.descriptor)


class BlockCache:
    """Files by name, the least recently opened ones deleted beyond `max_bytes`."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._max_bytes = folder, max_bytes

    def open(self, name: str, num_bytes: int, fetch: Callable[[], bytes]) -> int:
        """A descriptor of the block of this name and size; the caller closes it.

        If there is none, it is made of what `fetch` returns; what that raises goes through.
        """
        path, partial = self._folder / name, self._folder / f"{name}{_PARTIAL}"
        while True:
            found = _opened(path, num_bytes)
            if found is not None:
                return found
            with _locked(partial) as descriptor:
                # Another one may have finished it between the two looks.
                if descriptor is None or path.exists():
                    continue
                content = fetch()
                self._make_room(len(content))
                _write(descriptor, content)
                partial.rename(path)
                return os.dup(descriptor)

    def _make_room(self, num_bytes: int) -> None:
        """Delete what was not opened for longest, until so many bytes fit."""
        found = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in found)
        now = time.time()
        for opened_at, size, path in sorted(found):
            if total + num_bytes <= self._max_bytes:
                return
            if path.name.endswith(_PARTIAL):
                if now - opened_at > _ABANDONED_S:
                    _remove_abandoned(path)
                continue
            path.unlink(missing_ok=True)
            total -= size


def _opened(path: Path, num_bytes: int) -> int | None:
    """The descriptor of a finished block; None if there is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if os.fstat(descriptor).st_size == num_bytes:
        os.utime(descriptor)
        return descriptor
    # The machine lost power before its bytes were on disk.
    os.close(descriptor)
    path.unlink(missing_ok=True)
    return None


def _write(descriptor: int, content: bytes) -> None:
    os.ftruncate(descriptor, 0)
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, memoryview(content)[written:], written)


@contextmanager
def _locked(path: Path, wait: bool = True) -> Iterator[int | None]:
    """The descriptor of a file that is ours alone and that nobody else renames or deletes.

    The file is deleted afterwards, unless it was renamed. None: another one had it; look again.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is_at(descriptor, path):
            yield None
            return
        try:
            yield descriptor
        finally:
            if _is_at(descriptor, path):
                path.unlink()
            # The descriptor may have a duplicate, which would keep the lock.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def _remove_abandoned(path: Path) -> None:
    with suppress(BlockingIOError), _locked(path, wait=False):
        pass


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
