"""What is asked of a store to find and list benchmarks; `ingest.storage` is one such store."""

from typing import IO, Protocol


class Files(Protocol):
    """Files and folders by their paths or URIs."""

    def join(self, uri: str, /, *parts: str) -> str:
        """The URI of something below `uri`."""
        ...

    def exists(self, uri: str, /) -> bool:
        """Whether there is a file or folder of this name."""
        ...

    def is_folder(self, uri: str, /) -> bool:
        """Whether this is a folder, or a prefix with objects below it."""
        ...

    def list_names(self, folder: str, /) -> list[str]:
        """The sorted names of what is in a folder; none if there is no such folder."""
        ...

    def list_sizes(self, folder: str, /) -> dict[str, int]:
        """Paths, relative to it, and sizes of all files below a folder; none if there is none."""
        ...

    def size(self, uri: str, /) -> int:
        """The size of a file, bytes; raises FileNotFoundError."""
        ...

    def read_bytes(self, uri: str, /) -> bytes:
        """The whole content of a file; raises FileNotFoundError."""
        ...

    def open_input(self, uri: str, /) -> IO[bytes]:
        """The bytes of a file as a seekable stream; raises FileNotFoundError."""
        ...


class LayoutError(ValueError):
    """A list or file of a benchmark is not what it must be; the message names both sides."""
