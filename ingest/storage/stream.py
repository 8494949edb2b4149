"""A seekable stream over something that gives ranges of bytes."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Ranges(io.RawIOBase):
    """A raw stream of `size` bytes; each read is one call of `fetch(begin, end)`."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        self._fetch = fetch
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        content = self._take(len(view))
        view[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:
        # The inherited one reads 8 KiB, here a request, at a time.
        return self._take(self._size)

    def _take(self, num_bytes: int) -> bytes:
        begin, end = self._position, min(self._position + num_bytes, self._size)
        if end <= begin:
            return b""
        content = self._fetch(begin, end)
        self._position = end
        return content
