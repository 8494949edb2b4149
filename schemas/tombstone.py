"""Removals after the fact: what every reader of a dataset must leave out."""

from typing import Annotated

import pyarrow as pa
from pydantic import Field

from schemas.arrow import Record, SampleId, ShardNumber, Share, Small, Text
from schemas.certificate import Certificate
from schemas.evaluation import EvalIndexRecord
from schemas.manifest import Document
from schemas.outcome import Outcome

TOMBSTONES, CERTIFICATES = "tombstones", "certificates"


class Tombstone(Record):
    """One removed sample; a row of `tombstones/*.parquet`."""

    id: SampleId = Field(description="the sample's key")
    shard: ShardNumber = Field(description="the shard that it is in")
    outcome: Annotated[Outcome, pa.string()] = Field(description="why it must go, one word")
    detail: Text = Field(description="the reason in words")
    nearest_eval: Text | None = Field(description="evaluation image that it is a copy of")
    nearest_eval_variant: Text | None = Field(description="which variant of it")
    nearest_eval_view: Text | None = Field(description="which view of the sample")
    nearest_eval_distance: Small | None = Field(description="Hamming distance, bits")
    nearest_eval_correlation: Share | None = Field(description="of the aligned thumbnails")


class Decontamination(Document):
    """A later look for the images of another index; `certificates/*.json`, written last."""

    merkle_root: str = Field(description="Merkle root of the dataset that was looked through")
    eval_index: EvalIndexRecord
    versions: dict[str, str] = Field(description="versions of what decoded and compared")
    num_suspects: int = Field(description="samples whose pixels were read to be sure")
    num_removed: int = Field(description="tombstones that were written")
    certificate: Certificate
    tombstone_files: dict[str, str] = Field(description="SHA-256 of the tombstone files")


def tombstone_path(index_sha256: str, shard: int) -> str:
    """Path of the tombstones of one shard, for the sake of one index, in its dataset."""
    return f"{TOMBSTONES}/{index_sha256[:12]}-{shard:05d}.parquet"


def certificate_path(index_sha256: str) -> str:
    """Path of the record of a later decontamination in its dataset."""
    return f"{CERTIFICATES}/{index_sha256[:12]}.json"
