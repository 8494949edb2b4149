"""Reads an evaluation set: a folder of images, a tar, or parquet files with image bytes."""

import tarfile
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError

_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
# Members that go with an image in a WebDataset tar or a plain set, and are none themselves.
_SIDE_SUFFIXES = (".json", ".txt", ".cls", ".csv", ".tsv", ".md", ".xml", ".yaml", ".pdf", ".mat")
_BYTES_COLUMNS = ("image", "img", "bytes", "image_bytes", "jpg", "jpeg", "png", "webp")
_BATCH_ROWS = 64


def parse_eval_set(text: str) -> tuple[str, str]:
    """Name and path of a NAME=PATH argument; raises SetupError if it is none."""
    name, equals, path = text.partition("=")
    if not (name and equals and path) or "/" in name or "\n" in name:
        raise SetupError(f"--eval-set: expected NAME=PATH, NAME without '/', got {text!r}")
    return name, path


def read_images(path: str) -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of each file that may be an image, streamed; in a stable order.

    Raises SetupError if there is no such path, or if it holds no candidate at all.
    """
    if not storage.exists(path):
        raise SetupError(
            f"--eval-set: expected a folder, tar or parquet file, got nothing at {path}"
        )
    if storage.is_folder(path):
        images = _read_folder(path)
    elif path.endswith(_TAR_SUFFIXES):
        images = _read_tar(path)
    elif path.endswith(".parquet"):
        images = _read_parquet(path)
    else:
        raise SetupError(f"--eval-set: expected a folder, .tar or .parquet, got {path}")
    num_images = 0
    for num_images, image in enumerate(images, start=1):  # noqa: B007  counted on purpose
        yield image
    if not num_images:
        raise SetupError(f"--eval-set: expected images, got none in {path}")


def _read_folder(path: str) -> Iterator[tuple[str, bytes]]:
    for name in storage.list_files(path):
        parts = name.split("/")
        if not any(part.startswith(".") for part in parts) and _may_be_image(name):
            yield name, storage.read_bytes(storage.join(path, name))


def _read_tar(path: str) -> Iterator[tuple[str, bytes]]:
    with storage.open_input(path) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None and _may_be_image(member.name):
                yield member.name, content.read()


def _read_parquet(path: str) -> Iterator[tuple[str, bytes]]:
    """Rows of the Hugging Face layout (a struct of bytes and path), or of a column of bytes."""
    with storage.open_input(path) as file:
        table = pq.ParquetFile(file)
        names = table.schema_arrow.names
        column = next((name for name in _BYTES_COLUMNS if name in names), None)
        if column is None:
            expected = ", ".join(_BYTES_COLUMNS)
            raise SetupError(f"{path}: expected a column of images ({expected}), got {names}")
        row = 0
        for batch in table.iter_batches(_BATCH_ROWS, columns=[column]):
            for value in batch.column(0).to_pylist():
                content, name = _content(value)
                if content is not None:
                    yield f"{row:09d}" + (f"-{name}" if name else ""), content
                row += 1


def _content(value: Any) -> tuple[bytes | None, str | None]:
    if isinstance(value, dict):
        return value.get("bytes"), value.get("path")
    return (value, None) if isinstance(value, bytes) else (None, None)


def _may_be_image(name: str) -> bool:
    return not name.lower().endswith(_SIDE_SUFFIXES)
