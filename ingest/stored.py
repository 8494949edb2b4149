"""The bytes of candidates that lie in files already: whole files, stretches, WARC records, cells.

A row group of parquet is read once for all of its images in a work unit; the plan has put them
into one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import Executor
from functools import partial

import pyarrow as pa

from ingest import storage
from ingest.errors import FetchError
from ingest.fetch.visit import Visit
from ingest.sources.parquet_images import read_cells
from ingest.spool import Region, Spool
from schemas.candidate import Candidate, Carrier
from schemas.outcome import Outcome

# Parquet file, row group, column.
_Group = tuple[str, int, str]
_Cell = Region | FetchError


class StoredBytes:
    """Reads the stored candidates of one work unit into its spool."""

    def __init__(
        self, candidates: Iterable[Candidate], spool: Spool, readers: Executor, max_bytes: int
    ) -> None:
        self._spool, self._readers, self._max_bytes = spool, readers, max_bytes
        self._wanted: defaultdict[_Group, set[int]] = defaultdict(set)
        self._groups: dict[_Group, asyncio.Task[dict[int, _Cell]]] = {}
        for one in candidates:
            if one.carrier is Carrier.PARQUET and one.problem is None:
                group, row = _cell_of(one)
                self._wanted[group].add(row)

    async def read(self, candidate: Candidate) -> Visit:
        """The visit of a candidate, with its bytes; raises FetchError."""
        if candidate.carrier is Carrier.PARQUET:
            return Visit(body=await self._read_cell(candidate), attempts=1)
        read = partial(read_stored_file, candidate, self._max_bytes)
        content = await asyncio.get_running_loop().run_in_executor(self._readers, read)
        return Visit(body=self._spool.append(content), attempts=1)

    async def _read_cell(self, candidate: Candidate) -> Region:
        group, row = _cell_of(candidate)
        if group not in self._groups:
            self._groups[group] = asyncio.create_task(self._read_group(group))
        try:
            cell = (await self._groups[group])[row]
        except KeyError as error:
            raise FetchError(Outcome.UNREADABLE, f"expected a row {row}, got none") from error
        if isinstance(cell, FetchError):
            raise cell
        return cell

    async def _read_group(self, group: _Group) -> dict[int, _Cell]:
        """What the wanted rows of a row group hold."""
        uri, number, column = group
        loop = asyncio.get_running_loop()
        cells = read_cells(uri, number, column, self._wanted[group])
        found: dict[int, _Cell] = {}
        try:
            while (
                cell := await loop.run_in_executor(self._readers, next, cells, None)
            ) is not None:
                row, content = cell
                found[row] = self._keep(content)
        except (OSError, ValueError, pa.ArrowException) as error:
            broken = FetchError(Outcome.UNREADABLE, f"{uri}, row group {number}: {error}")
            return {row: found.get(row, broken) for row in self._wanted[group]}
        return found

    def _keep(self, content: bytes | None) -> _Cell:
        try:
            return self._spool.append(checked(content or b"", self._max_bytes))
        except FetchError as error:
            return error


def read_stored_file(candidate: Candidate, max_bytes: int) -> bytes:
    """The bytes of a file, or of a stretch of one; raises FetchError."""
    uri = candidate.stored_in or candidate.url
    try:
        if candidate.stored_at is None:
            with storage.open_input(uri) as file:
                return checked(file.read(max_bytes + 1), max_bytes)
        offset, length = parse_stretch(candidate.stored_at)
        content = storage.read_range(uri, offset, min(length, max_bytes + 1))
    except (OSError, ValueError) as error:
        raise FetchError(Outcome.UNREADABLE, str(error)) from error
    if len(content) < min(length, max_bytes + 1):
        detail = f"expected {length} bytes at {offset}, got {len(content)}"
        raise FetchError(Outcome.UNREADABLE, detail)
    return checked(content, max_bytes)


def parse_stretch(place: str) -> tuple[int, int]:
    """Offset and length of `OFFSET+LENGTH`; raises ValueError."""
    offset, _, length = place.partition("+")
    return int(offset), int(length)


def checked(content: bytes, max_bytes: int) -> bytes:
    """The content; raises FetchError if it is empty or larger than `max_bytes`."""
    if not content:
        raise FetchError(Outcome.EMPTY, "the file has no bytes")
    if len(content) > max_bytes:
        raise FetchError(Outcome.TOO_LARGE, f"expected at most {max_bytes} bytes, got more")
    return content


def _cell_of(candidate: Candidate) -> tuple[_Group, int]:
    assert candidate.stored_in is not None
    assert candidate.stored_at is not None
    group, row, column = candidate.stored_at.split(":", 2)
    return (candidate.stored_in, int(group), column), int(row)
