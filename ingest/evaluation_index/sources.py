"""Reads an evaluation set: a folder of images, a tar, or a table with image bytes.

A file is an image if its first bytes say so, or if its name does: one that only its name calls an
image is damaged, and its digest is still worth having.
"""

import logging
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.inspect.header import sniff_format
from schemas.benchmarks.image_column import cell_content, image_column
from schemas.benchmarks.rows import ARROW_MAGIC, arrow_batches, open_arrow
from schemas.benchmarks.storage import LayoutError
from schemas.image_formats import is_image_name

logger = logging.getLogger(__name__)

_PARQUET_MAGIC = b"PAR1"
_HEAD_BYTES = 2048
_BATCH_ROWS = 64

# A file or row of a set: its name, and its bytes or None if it is no image.
_Found = tuple[str, bytes | None]


@dataclass(frozen=True)
class EvalSet:
    """An evaluation set or a part of it: its name and where its images are.

    path: a local path or fsspec URI of a folder (read recursively), a tar (compressed or not,
    WebDataset or plain) or a parquet or Arrow file (Hugging Face's struct of bytes and path, or
    bytes).
    prefix: comes before the names of the images, such as a split. files: those of the folder that
    this part has; None: all, as of any tar or parquet file.
    """

    name: str
    path: str
    prefix: str = ""
    files: tuple[str, ...] | None = None

    def split(self, num_images: int) -> "list[EvalSet]":
        """This set in parts of about so many images; a tar or parquet file is one part."""
        if self.files is None and not storage.is_folder(self.path):
            return [self]
        files = sorted(self.files or storage.list_files(self.path))
        starts = range(0, len(files), num_images)
        parts = [tuple(files[start : start + num_images]) for start in starts] or [()]
        return [replace(self, files=part) for part in parts]


def parse_eval_set(text: str) -> EvalSet:
    """The set of a NAME=PATH argument; raises SetupError if it is none."""
    name, equals, path = text.partition("=")
    if not (name and equals and path) or "/" in name or "\n" in name:
        raise SetupError(f"--eval-set: expected NAME=PATH, NAME without '/', got {text!r}")
    return EvalSet(name, path)


def read_images(eval_set: EvalSet) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of each image, one at a time, in the order of the source.

    Raises SetupError if there is nothing, something else, a broken file, or no image in it (unless
    it is a part of a folder).
    """
    path, num_images, num_others = eval_set.path, 0, 0
    for name, content in _open_set(eval_set):
        if content is None:
            num_others += 1
            continue
        num_images += 1
        yield eval_set.prefix + name, content
    if not num_images and not eval_set.files:
        raise SetupError(
            f"expected images, got none in {path}, but {num_others} other files or rows"
        )
    if num_others:
        logger.info("%s: %d files or rows that are no images were left out", path, num_others)


def _open_set(eval_set: EvalSet) -> Iterator[_Found]:
    path = eval_set.path
    if eval_set.files is not None:
        return _read_files(path, eval_set.files)
    if not storage.exists(path):
        raise SetupError(f"expected a folder, .tar or .parquet file, got nothing at {path}")
    if storage.is_folder(path):
        return _read_files(path, storage.list_files(path))
    head = storage.read_range(path, 0, len(ARROW_MAGIC))
    if head.startswith(_PARQUET_MAGIC):
        return _read_parquet(path)
    if head == ARROW_MAGIC or path.endswith(".arrow"):
        return _read_arrow(path)
    return _read_tar(path)


def _read_files(path: str, names: Iterable[str]) -> Iterator[_Found]:
    for name in names:
        uri = storage.join(path, name)
        # The head alone decides first: large files that are no images are not read whole.
        if _is_image(name, storage.read_range(uri, 0, _HEAD_BYTES)):
            yield name, storage.read_bytes(uri)
        else:
            yield name, None


def _read_tar(path: str) -> Iterator[_Found]:
    try:
        with storage.open_input(path) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
            for member in tar:
                # Else tarfile remembers each member: a gigabyte for a million images.
                tar.members = []  # type: ignore[attr-defined]  # not in typeshed
                # Links repeat a member that is there itself.
                stored = tar.extractfile(member) if member.isreg() else None
                if stored is not None:
                    content = stored.read()
                    name = str(PurePosixPath(member.name))
                    yield name, content if _is_image(name, content) else None
    except (tarfile.TarError, EOFError) as error:
        head = storage.read_range(path, 0, 16)
        raise SetupError(
            f"expected a folder, .tar or .parquet file, got {path}, which starts "
            f"with {head!r}: {error}"
        ) from error


def _read_parquet(path: str) -> Iterator[_Found]:
    """Each row is an image; its number makes its name unique."""
    try:
        with storage.open_input(path) as file, pq.ParquetFile(file) as table:
            column = image_column(path, table.schema_arrow)
            batches = table.iter_batches(_BATCH_ROWS, columns=[column])
            yield from _cells(batch.column(0) for batch in batches)
    except pa.ArrowException as error:
        raise SetupError(f"expected a parquet file, got {path}: {error}") from error
    except LayoutError as error:
        raise SetupError(str(error)) from error


def _read_arrow(path: str) -> Iterator[_Found]:
    """As of a parquet file."""
    try:
        with storage.open_input(path) as file:
            reader = open_arrow(file)
            column = image_column(path, reader.schema)
            yield from _cells(batch.column(column) for batch in arrow_batches(reader))
    except pa.ArrowException as error:
        raise SetupError(f"expected an Arrow file, got {path}: {error}") from error
    except LayoutError as error:
        raise SetupError(str(error)) from error


def _cells(columns: Iterable[Any]) -> Iterator[_Found]:
    """The images of columns, one at a time, under numbers that count on."""
    row = 0
    for column in columns:
        for cell in column:
            content, name = cell_content(cell.as_py())
            yield f"{row:09d}" + (f"-{name}" if name else ""), content
            row += 1


def _is_image(name: str, head: bytes) -> bool:
    return sniff_format(head) is not None or is_image_name(name)
