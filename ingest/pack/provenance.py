"""The JSON beside an image in its shard: a pure function of the image's ledger row."""

from collections.abc import Mapping
from typing import Any

import orjson

SAMPLE_FIELDS = (
    *("id", "source", "row", "url", "carrier", "num_bytes", "sha256", "original_sha256", "format"),
    *("width_px", "height_px", "mode", "num_frames", "exif_orientation", "exif_date"),
    *("phash", "texture"),
)
# What the input brought along is a JSON object already.
COLUMNS = "columns"
_SORTED = tuple(sorted((*SAMPLE_FIELDS, COLUMNS)))


def provenance_json(row: Mapping[str, Any]) -> bytes:
    """The stable provenance of a kept image, byte for byte as in its shard.

    row: the values of the ledger columns `SAMPLE_FIELDS` and `COLUMNS`; more do no harm. Nothing in
    it varies between runs.
    """
    values = {name: row[name] for name in _SORTED}
    values[COLUMNS] = orjson.Fragment(values[COLUMNS] or b"{}")
    return orjson.dumps(values)
