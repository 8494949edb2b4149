"""Candidates from what a source read: URLs to fetch, and bytes that are stored already."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import orjson

from ingest.errors import UrlError
from ingest.fetch.inline import check_url
from ingest.sampling import sample_id
from ingest.sources.row import BATCH_ROWS
from schemas.candidate import Candidate, Carrier
from schemas.outcome import Outcome


def url_candidate(
    source: str, row: int, url: Any, columns: Mapping[str, Any], problem: str | None = None
) -> Candidate:
    """A URL to fetch; one with a problem if it cannot be, or if its row has one."""
    outcome, detail = None, problem
    text = to_url(url)
    columns_json = None
    try:
        columns_json = to_json(columns) if columns else None
    except TypeError as error:
        detail = problem = f"expected columns that JSON can hold, got {error}"
    if problem is not None:
        outcome = Outcome.MALFORMED_ROW
    elif not text.strip():
        outcome, detail = Outcome.MALFORMED_ROW, f"expected a URL, got {url!r}"[:200]
    else:
        try:
            check_url(text)
        except UrlError as error:
            outcome, detail = error.outcome, error.detail
    return Candidate.model_construct(
        id=sample_id(source, row, text),
        source=source,
        row=row,
        url=text,
        carrier=Carrier.URL,
        stored_in=None,
        stored_at=None,
        columns=columns_json,
        problem=outcome,
        problem_detail=None if detail is None else clean(detail),
    )


def stored_candidate(
    source: str,
    row: int,
    url: str,
    columns: Mapping[str, Any],
    place: tuple[Carrier, str, str | None],
    problem: tuple[Outcome, str] | None = None,
) -> Candidate:
    """Bytes that lie in a file already; place: carrier, URI of the file, where in it."""
    carrier, stored_in, stored_at = place
    text = clean(url)
    outcome, detail = problem or (None, None)
    columns_json = None
    try:
        columns_json = to_json(columns) if columns else None
    except TypeError as error:
        outcome = Outcome.MALFORMED_ROW
        detail = f"expected columns that JSON can hold, got {error}"
    return Candidate.model_construct(
        id=sample_id(source, row, text),
        source=source,
        row=row,
        url=text,
        carrier=carrier,
        stored_in=clean(stored_in),
        stored_at=stored_at,
        columns=columns_json,
        problem=outcome,
        problem_detail=None if detail is None else clean(detail),
    )


def stretch(offset: int, length: int) -> str:
    """The place of `length` bytes at `offset` of a file, as plan and ledger write it."""
    return f"{offset}+{length}"


def parse_stretch(place: str) -> tuple[int, int]:
    """Offset and length of a `stretch`; raises ValueError."""
    offset, _, length = place.partition("+")
    return int(offset), int(length)


def in_batches(candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    """The candidates in lists of bounded length."""
    rest = iter(candidates)
    while batch := list(islice(rest, BATCH_ROWS)):
        yield batch


def to_url(url: Any) -> str:
    """A URL as text that every parquet reader takes; empty for what is none."""
    return clean(url) if isinstance(url, str) else ""


def clean(text: str) -> str:
    """Text without lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def to_json(columns: Mapping[str, Any]) -> str:
    """Pass-through columns as a JSON object; raises TypeError for what JSON cannot hold."""
    return orjson.dumps(
        columns, default=_to_text, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    ).decode()


def _to_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
