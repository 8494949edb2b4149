"""Removals on request, what a repack took out for good, and the receipt of it.

Requests are recorded without naming what they are about: by counts and by salted digests, which
only who has the list, the image or the URL can compare.
"""

from hashlib import sha256
from typing import Annotated

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from schemas.arrow import Count, Record, Sha256, ShardNumber
from schemas.manifest import Document, digest, encode
from schemas.outcome import Outcome
from schemas.tombstone import TOMBSTONES

REMOVALS, RECEIPTS, REPORT = "removals", "receipts", "report"
# Not with the report: its paths are relative to the root of the dataset.
CROISSANT_FILE = "croissant.json"


class Criterion(BaseModel):
    """One kind of criterion of a removal."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_values: int
    values_sha256: str = Field(
        description="SHA-256 of the salt (bytes) and of the sorted values, a newline behind each"
    )
    num_found: int = Field(description="samples that it found, those found otherwise too included")


class Removal(Document):
    """What was taken out at one request; `removals/0001.json`, written after its tombstones."""

    removal: int = Field(description="number of the removal, from 1")
    merkle_root: str = Field(description="Merkle root of the dataset that was looked through")
    reason: str
    authority: str = Field(description="who asked for it")
    recorded_at: str = Field(description="UTC, ISO 8601")
    criteria: dict[str, Criterion] = Field(description="by kind: `sha256`, `md5`, `url`, ...")
    phash_radius: int | None = Field(description="bits; null: no perceptual hashes were given")
    salt: str = Field(description="what the digests of values begin with, hex")
    num_removed: int = Field(description="tombstones that were written")
    num_before: int = Field(description="samples found that had a tombstone already")
    tombstone_files: dict[str, str] = Field(description="SHA-256 of the tombstone files")


class RemovedSample(Record):
    """One sample that a repack took out; a row of `repacks/0001-removed.parquet`."""

    shard: ShardNumber = Field(description="the shard that it was in")
    outcome: Annotated[Outcome, pa.string()] = Field(description="why, one word")
    id_digest: Sha256 = Field(description="SHA-256 of the salt and the sample's id (text), hex")
    image_digest: Sha256 = Field(description="SHA-256 of the salt and the image's SHA-256 (bytes)")
    url_digest: Sha256 = Field(description="SHA-256 of the salt and the URL as given (UTF-8)")
    offset_bytes: Count = Field(description="where its bytes began in that shard")
    length_bytes: Count = Field(description="how many they were")


class ShardChange(BaseModel):
    """The files of a shard before and after a repack; only those that differ in `after` are new."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shard: int
    num_kept: tuple[int, int] = Field(description="samples before, after")
    shard_sha256: tuple[str, str] = Field(description="digests of the shard before, after")
    ledger_sha256: tuple[str, str] = Field(description="digests of the ledger part before, after")
    plan_sha256: tuple[str, str] = Field(description="digests of the plan part before, after")
    merkle_root: tuple[str, str] = Field(description="Merkle roots of its samples before, after")


class RunReads(BaseModel):
    """What the read logs of one training run say of the samples that were taken out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: str = Field(description="where its logs were")
    logs_sha256: dict[str, str] = Field(description="SHA-256 of each log")
    num_reads: int = Field(description="samples that it read of this version of the dataset")
    num_other_reads: int = Field(description="samples of other datasets or versions, not compared")
    num_removed_read: int = Field(description="of the samples taken out, those that it has read")
    first_step: int | None = Field(description="the first step that read one; null: none did")
    last_step: int | None = Field(description="the last step that read one")


class Receipt(Document):
    """The proof of a repack, for who asked; `receipts/0001.json`, written after the new seal."""

    repack: int
    version: tuple[str, str] = Field(description="of the dataset before, after")
    merkle_root: tuple[str, str] = Field(description="of the dataset before, after")
    seal_sha256: tuple[str, str] = Field(description="SHA-256 of dataset.json before, after")
    removed: dict[str, int] = Field(description="samples taken out, by outcome")
    records: dict[str, str] = Field(description="SHA-256 of the records of why they had to go")
    salt: str = Field(description="what the digests in `removed_file` begin with, hex")
    removed_file: str = Field(description="path of the salted digests of what was taken out")
    removed_sha256: str = Field(description="SHA-256 of that file")
    shards: tuple[ShardChange, ...] = Field(description="what was written anew")
    num_other_shards: int = Field(description="shards of which no byte has changed")
    runs: tuple[RunReads, ...] = Field(description="training runs whose read logs were given")
    receipt_sha256: str = Field(default="", description="SHA-256 of this without this field")

    def sealed(self) -> "Receipt":
        """This receipt with the digest of its own content."""
        blank = self.model_copy(update={"receipt_sha256": ""})
        return self.model_copy(update={"receipt_sha256": digest(encode(blank))})


def salted(salt: str, value: bytes) -> str:
    """SHA-256 of a salt in hex and a value, hex."""
    return sha256(bytes.fromhex(salt) + value).hexdigest()


def removal_path(removal: int) -> str:
    """Path of the record of a removal in its dataset."""
    return f"{REMOVALS}/{removal:04d}.json"


def removal_tombstones(removal: int) -> str:
    """What the paths of all tombstones of one request begin with, in its dataset."""
    return f"{TOMBSTONES}/removal-{removal:04d}-"


def removal_tombstone_path(removal: int, salt: str, shard: int) -> str:
    """Path of the tombstones of one shard, written at one request, in its dataset.

    salt: that of the request, so that two at once do not write over each other's.
    """
    return f"{removal_tombstones(removal)}{salt[:12]}-{shard:05d}.parquet"


def receipt_path(repack: int) -> str:
    """Path of the receipt of a repack in its dataset."""
    return f"{RECEIPTS}/{repack:04d}.json"
