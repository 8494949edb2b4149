"""Rows of a finished shard -> ledger columns, and the JSON that goes into the shard."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from ingest.evaluation_index.match import Match
from ingest.evaluation_index.search import MIN_QUERY_TEXTURE, VIEWS
from ingest.fetch.visit import Visit
from ingest.inspect.decode import Inspection
from ingest.pack.provenance import provenance_json
from schemas.candidate import Candidate
from schemas.ledger import LedgerRow
from schemas.outcome import Outcome

_MAX_HEADER_CHARS = 1000
_COLUMNS = tuple(LedgerRow.model_fields)
INSPECTION_COLUMNS = _COLUMNS[_COLUMNS.index("sha256") : _COLUMNS.index("trimmed_phash") + 1]


@dataclass
class Item:
    """One candidate on its way through a work unit."""

    candidate: Candidate
    outcome: Outcome | None = None
    detail: str | None = None
    visit: Visit | None = None
    inspection: Inspection | None = None
    # Of the original, if a smaller copy is packed.
    original_sha256: str | None = None
    original_md5: str | None = None
    match: Match | None = None
    preview: bytes | None = None
    offset_bytes: int | None = None


def ledger_table(items: list[Item], shard: int, generation: int) -> pa.Table:
    """The ledger part of a shard: one row for each item, in plan order."""
    rows = [_row(item, shard, generation) for item in items]
    columns = zip(*rows, strict=True) if rows else ((),) * len(LedgerRow.model_fields)
    named = dict(zip(LedgerRow.model_fields, map(list, columns), strict=True))
    return LedgerRow.columns_to_table(named)


def encode_preview(pixels: NDArray[np.uint8]) -> bytes:
    """A small picture, uint8 [h, w, 3], as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def sample_json(item: Item) -> bytes:
    """The stable provenance of a kept item; nothing in it varies between runs."""
    candidate, inspection = item.candidate, item.inspection
    assert inspection is not None
    return provenance_json(
        {
            "id": candidate.id,
            "source": candidate.source,
            "row": candidate.row,
            "url": candidate.url,
            "carrier": candidate.carrier.value,
            "num_bytes": _body(item),
            "sha256": inspection.sha256,
            "original_sha256": item.original_sha256,
            "format": inspection.format,
            "width_px": inspection.width_px,
            "height_px": inspection.height_px,
            "mode": inspection.mode,
            "num_frames": inspection.num_frames,
            "exif_orientation": inspection.exif_orientation,
            "exif_date": inspection.exif_date,
            "phash": inspection.views[0].code.hex(),
            "texture": inspection.views[0].texture,
            "columns": candidate.columns,
        }
    )


def _row(item: Item, shard: int, generation: int) -> tuple[Any, ...]:
    """The values of one ledger row, in the order of LedgerRow's fields."""
    candidate, outcome = item.candidate, item.outcome
    if outcome is None:
        raise AssertionError(f"candidate {candidate.id} has no outcome")
    length = _body(item)
    return (
        candidate.id,
        candidate.source,
        candidate.row,
        candidate.url,
        candidate.carrier.value,
        candidate.stored_in,
        candidate.stored_at,
        candidate.columns,
        generation,
        outcome.value,
        _clip(item.detail),
        *_visit_values(item.visit or _NO_VISIT),
        length,
        *inspection_values(item.inspection, item.original_sha256, item.original_md5),
        *_match_values(item),
        item.preview,
        shard,
        item.offset_bytes,
        length if item.offset_bytes is not None else None,
    )


_NO_VISIT = Visit()


def _visit_values(visit: Visit) -> tuple[Any, ...]:
    """`final_url` to `requests`."""
    answer = visit.answer
    if answer is None:
        declared: tuple[Any, ...] = (None,) * 5
    else:
        declared = (
            answer.status,
            _clip(answer.header("content-type")),
            _declared_length(answer.header("content-length")),
            _clip(answer.header("etag")),
            _clip(answer.header("last-modified")),
        )
    return (
        visit.final_url,
        visit.redirects,
        (answer.address or None) if answer else None,
        visit.fetched_at_us,
        visit.fetch_ms,
        *declared,
        visit.robots_sha256,
        visit.robots_fetched_at_us,
        visit.signals,
        visit.rule,
        visit.attempts,
        visit.requests,
    )


def inspection_values(
    inspection: Inspection | None, original_sha256: str | None, original_md5: str | None
) -> tuple[Any, ...]:
    """The values of `INSPECTION_COLUMNS`, `sha256` to `trimmed_phash`.

    Digests of the original are those of what a smaller copy was made from, if one is packed.
    """
    if inspection is None:
        return (None,) * 10 + ((),) + (None,) * 4
    plain, *trimmed = inspection.views
    return (
        inspection.sha256,
        original_sha256,
        original_md5 or inspection.md5,
        inspection.format,
        inspection.width_px,
        inspection.height_px,
        inspection.mode,
        inspection.num_frames,
        inspection.exif_orientation,
        inspection.exif_date,
        inspection.warnings,
        inspection.pixels_sha256,
        plain.code.hex(),
        plain.texture,
        trimmed[0].code.hex() if trimmed and trimmed[0].texture >= MIN_QUERY_TEXTURE else None,
    )


def _match_values(item: Item) -> tuple[Any, ...]:
    """`nearest_eval` to `thumbnail`."""
    match = item.match
    if match is None:
        return (None,) * 7
    near_copy = item.inspection is not None and item.outcome is Outcome.DUPLICATE_NEAR
    views = item.inspection.views if item.inspection and near_copy else ()
    return (
        match.name,
        match.variant,
        match.view,
        match.distance,
        match.correlation,
        match.cosine,
        views[VIEWS.index(match.view)].thumbnail if views else None,
    )


def _body(item: Item) -> int | None:
    return item.visit.body.length if item.visit and item.visit.body else None


def _clip(value: str | None) -> str | None:
    return value[:_MAX_HEADER_CHARS] if value else value


def _declared_length(value: str | None) -> int | None:
    return int(value) if value and value.isdecimal() and len(value) < 18 else None
