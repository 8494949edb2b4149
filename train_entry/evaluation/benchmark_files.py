"""The files below ROOT, as the registry's layouts and rules ask for them.

Paths are relative to the root, which may be a folder or any fsspec URI.
"""

import io
from typing import IO

from train_entry.store import Store

# A reader asks for so much at once: the headers of a tar file lie between its images.
_READ_AHEAD_BYTES = 4 << 20


class BenchmarkFiles:
    """A store as `schemas.benchmarks` takes it; may be handed to other processes."""

    def __init__(self, root: str) -> None:
        self.store = Store(root)

    def join(self, uri: str, /, *parts: str) -> str:
        return "/".join(part for part in (uri.rstrip("/"), *parts) if part)

    def exists(self, uri: str, /) -> bool:
        return self.store.exists(uri)

    def is_folder(self, uri: str, /) -> bool:
        return self.store.is_folder(uri)

    def list_names(self, folder: str, /) -> list[str]:
        try:
            return self.store.names(folder)
        except NotADirectoryError:
            return []

    def list_sizes(self, folder: str, /) -> dict[str, int]:
        return self.store.sizes(folder)

    def size(self, uri: str, /) -> int:
        found = self.store.size(uri)
        return len(self.store.read(uri)) if found is None else found

    def read_bytes(self, uri: str, /) -> bytes:
        return self.store.read(uri)

    def open_input(self, uri: str, /) -> IO[bytes]:
        if self.store.is_local:
            return (self.store.folder / uri).open("rb")
        return io.BufferedReader(_Ranges(self.store, uri, self.size(uri)), _READ_AHEAD_BYTES)


class _Ranges(io.RawIOBase):
    """A file that is read by ranges."""

    def __init__(self, store: Store, path: str, size: int) -> None:
        self._store, self._path, self._size, self._at = store, path, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]  # its own type has no name
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        content = self._store.read(self._path, self._at, end)
        buffer[: len(content)] = content
        self._at = end
        return len(content)
