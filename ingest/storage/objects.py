"""What gs:// and s3:// have in common: each request persists, each upload is compared."""

import io
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO, ClassVar, NamedTuple, TypeVar
from uuid import uuid4

from fsspec.utils import glob_translate

from ingest.errors import SetupError, StorageError
from ingest.storage.retry import Passing, Refused, persist
from ingest.storage.store import Store
from ingest.storage.stream import Ranges

T = TypeVar("T")

# A larger file goes up in parts of this size, or in `MAX_PARTS` equal ones if it has more.
PART_BYTES = 32 << 20
# GCS composes at most 32 objects at once.
MAX_PARTS = 32
NUM_CONNECTIONS = 4
# Small objects that are read at once: mostly waiting.
NUM_READERS = 32
# The most that either store tells of at once.
PAGE_NAMES = 1000
# What a stream asks for at once: some 50 ms of latency for each 4 MiB.
READ_BYTES = 4 << 20
# Marks an object with the call that wrote it, so that a lost answer is not taken for a rival.
WRITER = "uncurated-writer"


class Facts(NamedTuple):
    """What a store tells of an object: its size, and the call that created it, if one of ours."""

    num_bytes: int
    writer: str | None


class Page(NamedTuple):
    """A part of a listing: sizes by key, folders (with a slash at their end), what is next."""

    sizes: dict[str, int]
    folders: list[str]
    next: str | None


class ObjectStore(Store):
    """A bucket store; a path is a bucket, a slash and a key.

    A subclass says how to put bytes and files, and what the errors of its client mean.
    """

    scheme: ClassVar[str]

    @abstractmethod
    def put(self, path: str, content: bytes, writer: str | None = None) -> None:
        """Make one attempt to put an object; if `writer` is given, only where there is none.

        Raises FileExistsError, and DigestMismatch if the store has other bytes than `content`.
        """

    @abstractmethod
    def put_parts(self, path: str, file: Path, spans: list[tuple[int, int]]) -> None:
        """Put a large file by the (begin, end) of its parts, with `ask` for each request."""

    @abstractmethod
    def look(self, path: str) -> Facts:
        """What the store tells of an object, by one request; raises FileNotFoundError."""

    @abstractmethod
    def page(self, path: str, flat: bool, after: str | None) -> Page:
        """One page of the names that begin with `path`, by one request.

        Unless `flat`, what lies behind a further slash is told as one folder. `after` is the
        former page's `next`, or None.
        """

    @abstractmethod
    def meaning(self, error: Exception) -> Exception:
        """The error of the client as Passing, Refused, EOFError, or as it is.

        EOFError: a range was asked for that begins behind the end.
        """

    def ask(self, what: str, path: str, request: Callable[[], T]) -> T:
        """What a request returns, made again as long as its failure may pass."""
        what = f"{what} {self.uri(path)}"

        def attempt() -> T:
            try:
                return request()
            except Exception as error:
                meaning = self.meaning(error)
                if isinstance(meaning, Refused):
                    raise StorageError(f"expected to {what}, got: {meaning}") from error
                if isinstance(meaning, FileNotFoundError):
                    raise FileNotFoundError(f"expected {self.uri(path)}, got none") from error
                if meaning is error:
                    raise
                raise meaning from error

        return persist(what, attempt)

    def uri(self, path: str) -> str:
        return self.scheme + path

    def open(self, path: str) -> IO[bytes]:
        return io.BufferedReader(Ranges(partial(self._fetch, path), self.size(path)), READ_BYTES)

    def read(self, path: str, begin: int | None = None, end: int | None = None) -> bytes:
        try:
            content: bytes = self.ask(
                "read", path, lambda: self.fs.cat_file(path, start=begin, end=end)
            )
        except EOFError:
            return b""
        return content

    def read_many(self, paths: list[str]) -> list[bytes]:
        return at_once(lambda one: self.read(paths[one]), len(paths), NUM_READERS)

    def _fetch(self, path: str, begin: int, end: int) -> bytes:
        """Exactly the bytes from `begin` to before `end`, as far as persistence gets them."""

        def fetch() -> bytes:
            content: bytes = self.fs.cat_file(path, start=begin, end=end)
            if len(content) != end - begin:
                raise Passing(f"expected {end - begin} bytes from {begin}, got {len(content)}")
            return content

        return self.ask("read", path, fetch)

    def facts(self, path: str) -> Facts:
        """What the store tells of an object; raises FileNotFoundError."""
        if "/" not in path:
            raise FileNotFoundError(f"expected an object, got the bucket {self.uri(path)}")
        return self.ask("look at", path, lambda: self.look(path))

    def size(self, path: str) -> int:
        return self.facts(path).num_bytes

    def exists(self, path: str) -> bool:
        try:
            self.facts(path)
        except FileNotFoundError:
            return self.is_folder(path)
        return True

    def is_folder(self, path: str) -> bool:
        try:
            return any(True for _ in self._list(f"{path}/", flat=False))
        except FileNotFoundError:
            return False

    def glob(self, pattern: str) -> list[str]:
        stem = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        if "/" not in stem:
            raise SetupError(f"expected a bucket before the wildcard of {self.uri(pattern)}")
        flat = "/" in pattern[len(stem) :] or "**" in pattern
        found = {one.rstrip("/") for one in self._list(stem, flat)}
        if flat:
            found.update(*[_folders_of(one, stem) for one in found])
        matches = re.compile(glob_translate(pattern)).match
        return [one for one in found if matches(one)]

    def list_folder(self, path: str) -> list[str]:
        return list(self._list(f"{path}/", flat=False))

    def list_all(self, path: str) -> list[str]:
        # A key with a slash at its end stands for a folder, in some consoles.
        return [one for one in self._list(f"{path}/", flat=True) if not one.endswith("/")]

    def list_sizes(self, path: str) -> Iterator[tuple[str, int]]:
        bucket = path.partition("/")[0]
        for page in self._pages(f"{path}/", flat=True):
            yield from ((f"{bucket}/{key}", size) for key, size in page.sizes.items())

    def _list(self, path: str, flat: bool) -> Iterator[str]:
        """The paths that begin with `path`."""
        bucket = path.partition("/")[0]
        for page in self._pages(path, flat):
            yield from (f"{bucket}/{name}" for name in (*page.sizes, *page.folders))

    def _pages(self, path: str, flat: bool) -> Iterator[Page]:
        """The listing of what begins with `path`; each page persists for itself."""
        after: str | None = None
        while True:
            page = self.ask("list", path, partial(self.page, path, flat, after))
            yield page
            after = page.next
            if after is None:
                return

    def write(self, path: str, content: bytes) -> None:
        self._upload("write", path, lambda: self.put(path, content))

    def create(self, path: str, content: bytes) -> bool:
        writer = uuid4().hex
        try:
            self._upload("create", path, lambda: self.put(path, content, writer))
        except FileExistsError:
            return self._is_ours(path, content, writer)
        return True

    def publish(self, staged_file: Path, path: str) -> None:
        num_bytes = staged_file.stat().st_size
        if num_bytes <= PART_BYTES:
            self.write(path, staged_file.read_bytes())
        else:
            spans = _spans(num_bytes)
            self._upload("write", path, lambda: self.put_parts(path, staged_file, spans))

    def remove(self, path: str) -> None:
        self.ask("remove", path, lambda: super(ObjectStore, self).remove(path))

    def _upload(self, what: str, path: str, request: Callable[[], None]) -> None:
        if not path.partition("/")[2]:
            raise SetupError(f"expected an object in a bucket, got {self.uri(path)}")
        try:
            self.ask(what, path, request)
        except FileNotFoundError as error:
            raise StorageError(f"expected the bucket of {self.uri(path)}, got none") from error

    def _is_ours(self, path: str, content: bytes, writer: str) -> bool:
        """Whether this call created the object: the answer to an earlier attempt may be lost."""
        if self.facts(path).writer != writer:
            return False
        found = self.read(path)
        if found != content:
            raise StorageError(
                f"expected the {len(content)} bytes that were written to {self.uri(path)}, "
                f"got {len(found)} others"
            )
        return True


def at_once(
    send: Callable[[int], T], num_parts: int, num_threads: int = NUM_CONNECTIONS
) -> list[T]:
    """What `send` returns for part 0, 1, ..., some of them sent at the same time."""
    pool = ThreadPoolExecutor(num_threads)
    try:
        return list(pool.map(send, range(num_parts)))
    finally:
        pool.shutdown(cancel_futures=True)


def _folders_of(path: str, stem: str) -> set[str]:
    """The folders of an object, from the first whose name begins with `stem`."""
    names = path.split("/")
    folders = {"/".join(names[:count]) for count in range(1, len(names))}
    return {one for one in folders if one.startswith(stem)}


def read_span(file: Path, span: tuple[int, int]) -> bytes:
    """The bytes of one part of a file."""
    begin, end = span
    with file.open("rb") as opened:
        opened.seek(begin)
        return opened.read(end - begin)


def _spans(num_bytes: int) -> list[tuple[int, int]]:
    part_bytes = max(PART_BYTES, -(-num_bytes // MAX_PARTS))
    return [
        (begin, min(begin + part_bytes, num_bytes)) for begin in range(0, num_bytes, part_bytes)
    ]
