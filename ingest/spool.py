"""Spool: the one place where bytes of unfinished shards lie, a local file without a name.

The fetcher writes a body once, the decoder processes and the packer read it by (offset, length), so
image bytes cross no pipe and memory holds no more than the bodies that are still arriving. A killed
process leaves nothing behind.
"""

import os
import tempfile
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True)
class Region:
    """A stretch of one spool; offset and length in bytes."""

    spool: int
    offset: int
    length: int


class Spool:
    """An append-only scratch file; `clear` makes it empty again."""

    def __init__(self, index: int, scratch: str) -> None:
        # Open as long as this object: `close` ends it.
        self._file: IO[bytes] = tempfile.TemporaryFile(  # noqa: SIM115
            dir=scratch or None, buffering=0
        )
        self._end = 0
        self._free: list[int] = []
        self.index = index

    @property
    def descriptor(self) -> int:
        """The file descriptor, for decoder processes to inherit."""
        return self._file.fileno()

    def append(self, content: bytes | bytearray) -> Region:
        """Where `content` now lies."""
        offset, self._end = self._end, self._end + len(content)
        self.write_at(offset, content)
        return Region(self.index, offset, len(content))

    def reserve(self, max_bytes: int) -> int:
        """The offset of `max_bytes` that nobody else writes to; sparse, so free until written."""
        if self._free:
            return self._free.pop()
        offset, self._end = self._end, self._end + max_bytes
        return offset

    def release(self, offset: int) -> None:
        """Give a reserved stretch back, so that endless streams do not fill the disk."""
        self._free.append(offset)

    def write_at(self, offset: int, content: bytes | bytearray) -> None:
        """Write all of `content` at `offset`."""
        view = memoryview(content)
        while view:
            written = os.pwrite(self.descriptor, view, offset)
            view, offset = view[written:], offset + written

    def read(self, region: Region) -> bytes:
        """The bytes of a region."""
        return read_region(self.descriptor, region.offset, region.length)

    def clear(self) -> None:
        """Forget everything."""
        self._file.truncate(0)
        self._end, self._free = 0, []

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()


def read_region(descriptor: int, offset: int, length: int) -> bytes:
    """Exactly `length` bytes at `offset`; raises OSError if the file is shorter."""
    content = os.pread(descriptor, length, offset)
    while len(content) < length:
        more = os.pread(descriptor, length - len(content), offset + len(content))
        if not more:
            raise OSError(f"expected {length} bytes at {offset}, got {len(content)}")
        content += more
    return content
