"""Where candidates come from, one file for each kind of input, and how a kind is told."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.sources import (
    archives,
    dataset,
    folder,
    img2dataset,
    parquet_images,
    sitemap,
    tar_shards,
    url_table,
)
from ingest.sources.parquet import opened_parquet
from ingest.sources.piece import Piece, Source
from ingest.sources.row import find_column
from schemas.candidate import Candidate, Carrier
from schemas.manifest import DATASET_FILE
from schemas.options import PlanOptions

_LOCAL = "file://"
_SOURCES = {
    url_table.KIND: Source(url_table.split_table, url_table.read_table, url_table.count_table),
    folder.KIND: Source(folder.split_folder, folder.read_folder),
    tar_shards.KIND: Source(tar_shards.split_tar, tar_shards.read_tar),
    parquet_images.KIND: Source(
        parquet_images.split_images, parquet_images.read_images, parquet_images.count_images
    ),
    img2dataset.KIND: Source(img2dataset.split_img2dataset, img2dataset.read_img2dataset),
    **{
        kind: Source(archives.split_archive(kind), archives.read_archive)
        for kind in (archives.WAT, archives.WARC)
    },
    sitemap.KIND: Source(sitemap.split_sitemap, sitemap.read_sitemap),
    dataset.KIND: Source(dataset.split_dataset, dataset.read_dataset),
}
# Kinds that name images by URL, so that hosts are asked for them; the others hold their bytes.
FETCHED_KINDS = (url_table.KIND, archives.WAT, sitemap.KIND)
_FOLDER_KINDS = (folder.KIND, img2dataset.KIND, dataset.KIND)
_KIND_OF_SUFFIX = {
    tar_shards.SUFFIX: tar_shards.KIND,
    ".wat": archives.WAT,
    ".wat.gz": archives.WAT,
    ".warc": archives.WARC,
    ".warc.gz": archives.WARC,
    ".xml": sitemap.KIND,
    ".xml.gz": sitemap.KIND,
}


def expand_inputs(options: PlanOptions) -> list[str]:
    """The sorted URIs of all inputs; raises SetupError for nothing, or no known kind, at one."""
    by_place: dict[str, str] = {}
    for pattern in options.input:
        uris = _expand(pattern)
        if not uris:
            raise SetupError(f"--input: expected a file, folder or glob, got nothing at {pattern}")
        for uri in uris:
            # Two spellings of one place would plan its rows twice.
            place = _place(uri)
            by_place[place] = min(uri, by_place.get(place, uri), key=lambda one: (len(one), one))
    for uri in by_place.values():
        _kind_by_name(uri, options, storage.is_folder(uri))
    return sorted(by_place.values())


def kind_of(uri: str, options: PlanOptions) -> str:
    """The kind of an input: as told, or by its name, what is in the folder, or its columns."""
    is_folder = storage.is_folder(uri)
    kind = _kind_by_name(uri, options, is_folder)
    if kind is not None:
        return kind
    return _kind_of_folder(uri) if is_folder else _kind_of_parquet(uri, options)


def _kind_by_name(uri: str, options: PlanOptions, is_folder: bool) -> str | None:
    """The kind of an input as far as flags and name tell it, without a look into it."""
    if options.input_format != "auto":
        return _told_kind(uri, options.input_format, is_folder)
    if is_folder:
        return None
    for suffix, kind in _KIND_OF_SUFFIX.items():
        if uri.lower().endswith(suffix):
            return kind
    if url_table.table_kind(uri)[0] != "parquet":
        return url_table.KIND
    return parquet_images.KIND if options.image_column else None


def _kind_of_folder(uri: str) -> str:
    if storage.exists(storage.join(uri, DATASET_FILE)):
        return dataset.KIND
    names = storage.list_names(uri)
    is_download = any(name.endswith(img2dataset.STATS_SUFFIX) for name in names)
    return img2dataset.KIND if is_download else folder.KIND


def _kind_of_parquet(uri: str, options: PlanOptions) -> str:
    with opened_parquet(uri) as file:
        schema = pq.read_schema(file)
    is_table = find_column(schema.names, options.url_column) is not None
    has_images = parquet_images.image_column(schema) is not None
    return parquet_images.KIND if has_images and not is_table else url_table.KIND


def _told_kind(uri: str, kind: str, is_folder: bool) -> str:
    """A kind that was told; raises SetupError for a file in place of a folder, or the reverse."""
    if is_folder and kind not in _FOLDER_KINDS:
        raise SetupError(
            f"{uri}: expected a file for --input-format {kind}, got a folder: name its files by a "
            f"glob, such as {storage.join(uri, '*')}"
        )
    if not is_folder and kind in (folder.KIND, dataset.KIND):
        raise SetupError(f"{uri}: expected a folder for --input-format {kind}, got a file")
    return kind


def split_input(uri: str, options: PlanOptions) -> Iterator[Piece]:
    """The pieces of an input; each can be read by another worker."""
    return iter(_SOURCES[kind_of(uri, options)].split(uri, options))


def count_rows(piece: Piece, options: PlanOptions) -> int:
    """The number of candidates of a piece; for parquet from its footer."""
    count = _SOURCES[piece.kind].count
    return count(piece, options) if count else sum(map(len, read_candidates(piece, options)))


def read_candidates(piece: Piece, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The candidates of a piece in row order, in batches; nothing is loaded whole."""
    return _SOURCES[piece.kind].read(piece, options)


def read_urls(piece: Piece, options: PlanOptions) -> Iterator[pa.Array]:
    """The URLs of a piece that would be fetched, as string arrays."""
    if piece.kind == url_table.KIND:
        yield from url_table.read_urls(piece, options)
        return
    for batch in read_candidates(piece, options):
        yield pa.array((one.url for one in batch if one.carrier is Carrier.URL), pa.string())


def _expand(pattern: str) -> list[str]:
    """What an input names; a name with `[` in it may be a glob or the very name of a file."""
    try:
        found = [pattern] if storage.exists(pattern) else storage.expand(pattern)
        return [_trimmed(uri) for uri in found if storage.exists(uri)]
    except (ValueError, ImportError) as error:
        raise SetupError(
            f"--input: expected a URI that fsspec opens, got {pattern}: {error}"
        ) from (error)


def _trimmed(uri: str) -> str:
    """The URI without slashes at its end: ids must not depend on them."""
    trimmed = uri.rstrip("/")
    return uri if trimmed in ("", uri.partition("//")[0]) else trimmed


def _place(uri: str) -> str:
    path = uri.removeprefix(_LOCAL)
    return path if "://" in path else str(Path(path).absolute())
