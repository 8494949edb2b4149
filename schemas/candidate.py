"""Candidate: one input reference, as the plan holds it."""

from enum import StrEnum
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from schemas.arrow import Count, Record, SampleId, Text
from schemas.outcome import Outcome


class Carrier(StrEnum):
    """Where the bytes of a candidate come from."""

    URL = "url"
    FILE = "file"
    WARC = "warc"
    PARQUET = "parquet"


class Reference(Record):
    """Where an input came from; what a candidate and its ledger row have in common."""

    id: SampleId = Field(description="32 hex digits from (source, row, URL); the sample's key")
    source: Text = Field(description="URI of the table, archive or folder that named it")
    row: Count = Field(
        description="row in that table or place in that folder, from 0; in an archive the offset "
        "of its record, bytes"
    )
    url: Text = Field(description="URL as given; for a file without one its URI")
    carrier: Annotated[Carrier, pa.string()] = Field(
        description="`url`: fetch it; `file`, `warc`, `parquet`: its bytes are stored there"
    )
    stored_in: Text | None = Field(
        description="URI of the file that holds its bytes; null: fetched"
    )
    stored_at: Text | None = Field(
        description="where in it: `OFFSET+LENGTH` of bytes, of a WARC record, or parquet's "
        "`ROW_GROUP:ROW:COLUMN`; null: the whole file"
    )
    columns: Text | None = Field(description="pass-through columns of the input, as a JSON object")


class Candidate(Reference):
    """What to get, and from which source and row."""

    problem: Annotated[Outcome, pa.string()] | None = Field(
        default=None, description="outcome already known when planning, such as `malformed_row`"
    )
    problem_detail: Text | None = Field(default=None, description="what exactly was wrong")
