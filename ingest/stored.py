"""The bytes of candidates that lie in files already: whole files, stretches, WARC records, cells.

A row group of parquet is read once for all of its images in a work unit; the plan has put them
into one.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import Executor
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa

from ingest import storage
from ingest.errors import FetchError
from ingest.fetch.opt_out import product_token, read_opt_out
from ingest.fetch.transfer import Answer
from ingest.fetch.visit import Visit
from ingest.sources.archived_response import ArchivedResponse, read_record
from ingest.sources.candidates import parse_stretch
from ingest.sources.parquet_images import read_cells
from ingest.spool import Region, Spool
from schemas.candidate import Candidate, Carrier
from schemas.options import ConsentOptions, FetchOptions
from schemas.outcome import Outcome

# A record has headers beside its image, which is checked when it is opened.
_RECORD_HEAD_BYTES = 1 << 20
# Parquet file, row group, column.
_Group = tuple[str, int, str]
_Cell = Region | FetchError


class StoredBytes:
    """Reads the stored candidates of one work unit into its spool."""

    def __init__(
        self,
        candidates: Iterable[Candidate],
        spool: Spool,
        readers: Executor,
        fetch: FetchOptions,
        consent: ConsentOptions,
    ) -> None:
        self._spool, self._readers, self._consent = spool, readers, consent
        self._max_bytes, self._agent = fetch.max_image_bytes, product_token(fetch.user_agent)
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
        loop = asyncio.get_running_loop()
        if candidate.carrier is Carrier.WARC:
            archived = partial(read_archived, candidate, self._max_bytes)
            return self._visit_archived(await loop.run_in_executor(self._readers, archived))
        read = partial(read_stored_file, candidate, self._max_bytes)
        content = await loop.run_in_executor(self._readers, read)
        return Visit(body=self._spool.append(content), attempts=1)

    def _visit_archived(self, found: ArchivedResponse) -> Visit:
        """The visit of an answer as it came when it was archived; raises FetchError."""
        headers: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in found.headers:
            headers[name.lower()].append(value)
        opt_out = read_opt_out(headers, self._consent, self._agent, datetime.now(UTC))
        visit = Visit(
            final_url=found.url,
            answer=Answer(found.status, dict(headers), ""),
            fetched_at_us=_time_us(found.warc_date),
            signals=opt_out.signals,
            rule=opt_out.rule,
            attempts=1,
        )
        if visit.rule is not None:
            visit.outcome, visit.detail = Outcome.OPT_OUT, visit.rule
        else:
            visit.body = self._spool.append(checked(found.body, self._max_bytes))
        return visit

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


def read_archived(candidate: Candidate, max_bytes: int) -> ArchivedResponse:
    """The answer in a WARC record; raises FetchError."""
    content = read_stored_file(candidate, max_bytes + _RECORD_HEAD_BYTES)
    return read_record(content, max_bytes)


def checked(content: bytes, max_bytes: int) -> bytes:
    """The content; raises FetchError if it is empty or larger than `max_bytes`."""
    if not content:
        raise FetchError(Outcome.EMPTY, "the file has no bytes")
    if len(content) > max_bytes:
        raise FetchError(Outcome.TOO_LARGE, f"expected at most {max_bytes} bytes, got more")
    return content


def _time_us(date: str) -> int | None:
    """A WARC-Date as microseconds since 1970."""
    try:
        return int(datetime.fromisoformat(date).timestamp() * 1e6)
    except ValueError:
        return None


def _cell_of(candidate: Candidate) -> tuple[_Group, int]:
    assert candidate.stored_in is not None
    assert candidate.stored_at is not None
    group, row, column = candidate.stored_at.split(":", 2)
    return (candidate.stored_in, int(group), column), int(row)
