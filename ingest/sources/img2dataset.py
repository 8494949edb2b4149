"""What img2dataset left on disk, LAION and DataComp downloads too: tables, and bytes beside them.

    00000.parquet  00000.tar  00000_stats.json     output_format webdataset
    00000.parquet             00000_stats.json     output_format parquet: the table holds the bytes
    00000.parquet  00000/     00000_stats.json     output_format files

Each row of a table is a candidate, its failed downloads (`not_stored`) included; so is each image
without a row. A tar without a table, of a download that was killed, is read as a plain tar.
"""

import logging
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.sources import tar_shards
from ingest.sources.candidates import in_batches, stored_candidate, stretch
from ingest.sources.parquet import opened_parquet, read_values
from ingest.sources.parquet_images import image_column, other_columns, read_stored
from ingest.sources.piece import Piece
from ingest.sources.tar_shards import Member, image_candidate, read_members
from schemas.candidate import Candidate, Carrier
from schemas.options import PlanOptions
from schemas.outcome import Outcome

KIND = "img2dataset"
STATS_SUFFIX = "_stats.json"
_TABLE_SUFFIX = ".parquet"
_SUCCESS = "success"
# Where the bytes of a key are, and the images that no row has named.
_Place = tuple[Carrier, str, str | None]
_Row = tuple[dict[str, Any], str | None, _Place | None]

_log = logging.getLogger(__name__)


def split_img2dataset(uri: str, options: PlanOptions) -> Iterator[Piece]:
    """One piece for each table of a folder, and for each tar without one; or one table."""
    if uri.endswith(_TABLE_SUFFIX):
        yield Piece(uri, KIND)
        return
    names = storage.list_names(uri)
    tables = {name.removesuffix(_TABLE_SUFFIX) for name in names if name.endswith(_TABLE_SUFFIX)}
    if not tables:
        found = ", ".join(names[:10]) or "nothing"
        raise SetupError(f"{uri}: expected img2dataset's tables (*{_TABLE_SUFFIX}), got {found}")
    for name in names:
        place = storage.join(uri, name)
        if name.endswith(_TABLE_SUFFIX):
            yield Piece(place, KIND)
        elif (
            name.endswith(tar_shards.SUFFIX) and name.removesuffix(tar_shards.SUFFIX) not in tables
        ):
            _log.warning("%s has no table, its download was not finished: read as a tar", place)
            yield Piece(place, tar_shards.KIND)


def read_img2dataset(piece: Piece, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The rows of a table in their order, then the images that no row names."""
    with opened_parquet(piece.uri) as file:
        yield from in_batches(_candidates(piece.uri, pq.ParquetFile(file)))


def _candidates(uri: str, table: pq.ParquetFile) -> Iterator[Candidate]:
    stem = uri.removesuffix(_TABLE_SUFFIX)
    column = image_column(table.schema_arrow)
    members: dict[str, Member] = {}
    rows: Iterator[_Row]
    if column is not None:
        rows = _rows_with_bytes(uri, table, column)
    elif storage.exists(stem + tar_shards.SUFFIX):
        tar_uri = stem + tar_shards.SUFFIX
        members = {one.key: one for one in read_members(tar_uri) if one.may_be_image}
        rows = _rows(table, lambda key: _in_tar(tar_uri, members.pop(key, None)))
    else:
        files = {one.partition(".")[0]: one for one in _image_files(stem)}
        rows = _rows(table, lambda key: _in_folder(stem, files.get(key)))
    numbers = count()
    for row in rows:
        yield _candidate(uri, next(numbers), *row)
    for member in members.values():
        columns: dict[str, object] = {"key": member.key, "member": member.name}
        yield image_candidate(uri, next(numbers), stem + tar_shards.SUFFIX, member, columns)


def _rows(table: pq.ParquetFile, find: Callable[[str], _Place | None]) -> Iterator[_Row]:
    groups = range(table.num_row_groups)
    for values, problem in read_values(table, groups, other_columns(table.schema_arrow)):
        yield values, problem, find(str(values.get("key")))


def _rows_with_bytes(uri: str, table: pq.ParquetFile, column: str) -> Iterator[_Row]:
    for values, problem, place in read_stored(table, column, 0, table.num_row_groups):
        yield values, problem, (Carrier.PARQUET, uri, place)


def _in_tar(tar_uri: str, member: Member | None) -> _Place | None:
    return member and (Carrier.FILE, tar_uri, stretch(member.offset, member.size))


def _in_folder(folder: str, name: str | None) -> _Place | None:
    return None if name is None else (Carrier.FILE, storage.join(folder, name), None)


def _image_files(folder: str) -> list[str]:
    return [name for name in storage.list_names(folder) if Member(name, 0, 0).may_be_image]


def _candidate(
    uri: str, row: int, values: dict[str, Any], wrong: str | None, place: _Place | None
) -> Candidate:
    status, url = values.get("status", _SUCCESS), values.get("url")
    problem = None
    if wrong is not None:
        problem = (Outcome.MALFORMED_ROW, wrong)
    elif status != _SUCCESS:
        detail = f"{status}: {values.get('error_message') or 'no reason given'}"
        problem = (Outcome.NOT_STORED, detail)
    elif place is None:
        detail = f"expected an image of key {values.get('key')!r} beside the table, got none"
        problem = (Outcome.NOT_STORED, detail)
    url = url if isinstance(url, str) and url else f"{uri}#{row}"
    return stored_candidate(uri, row, url, values, place or (Carrier.FILE, uri, None), problem)
