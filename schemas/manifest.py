"""What stands beside the shards: plan, build, commits, manifest and dataset record.

Order of writing: `plan.json` (plan complete), `build.json` (before the first shard), one commit
for each shard, `manifest.parquet` (the commits as a table), `dataset.json` (last). All JSON is in
one canonical form, so that a flipped byte anywhere, white space too, is a mismatch.
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from schemas.arrow import Count, Counts, Record, Sha256, ShardNumber, Text
from schemas.certificate import Certificate
from schemas.evaluation import EvalIndexRecord

SCHEMA_VERSION = "1"
FINGERPRINT_VERSION = "phash256-luma64-v1"

PLAN_FILE = "plan.json"
BUILD_FILE = "build.json"
MANIFEST_FILE = "manifest.parquet"
DATASET_FILE = "dataset.json"
REPACKS = "repacks"

AnyModel = TypeVar("AnyModel", bound=BaseModel)


class Document(BaseModel):
    """A small JSON file of a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: str = Field(default=SCHEMA_VERSION, description="version of this layout")


class InputRecord(BaseModel):
    """One input file or folder and how many rows it had."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    kind: str = "table"
    num_rows: int
    num_bytes: int | None = Field(default=None, description="of a file, or all files of a folder")
    sha256: str | None = Field(
        default=None, description="of a file; of a folder, of its listing: path, tab, size a line"
    )
    merkle_root: str | None = Field(default=None, description="of a dataset that is an input")


class PlanRecord(Document):
    """How the candidates were chosen; `plan.json`, written when all plan parts are."""

    options: dict[str, Any] = Field(description="the options of `plan`")
    inputs: tuple[InputRecord, ...] = Field(description="what was read, sorted by URI")
    num_rows: int = Field(description="rows read")
    num_candidates: int = Field(description="rows that the sampling kept")
    num_shards: int = Field(description="plan parts, so shards")
    parts_sha256: str = Field(description="SHA-256 over the digests of all plan parts, in order")

    def lineage(self) -> tuple[str, ...]:
        """URI and Merkle root of each input that is a dataset of ours."""
        return tuple(f"{one.uri} {one.merkle_root}" for one in self.inputs if one.merkle_root)


class RetryRecord(Document):
    """One generation of candidates that were planned anew; `generations/0001.json`, ..."""

    generation: int = Field(description="number of the generation; the plan's own is 0")
    outcomes: tuple[str, ...] = Field(description="outcomes that were asked for")
    where: str = Field(description="SQL condition on their ledger rows; empty: none")
    first_shard: int = Field(description="number of its first shard; the others follow")
    num_shards: int = Field(description="its shards")
    num_candidates: int = Field(description="candidates that were planned anew")
    superseded: dict[str, int] = Field(description="their outcomes before, which count no longer")
    parts_sha256: str = Field(description="SHA-256 over the digests of its plan parts, in order")
    seal_sha256: str = Field(description="SHA-256 of the seal that it was taken from")
    merkle_root: str = Field(description="Merkle root in that seal")


class RepackRecord(Document):
    """One time that removed samples were taken out of the shards; `repacks/0001.json`, ...

    The seal before it and its manifest lie beside it, so that each shard can be followed.
    """

    repack: int = Field(description="number of the repack, from 1")
    num_retries: int = Field(description="generations that the dataset had by then")
    removed: dict[str, int] = Field(description="samples taken out, by their outcome since")
    shards: tuple[int, ...] = Field(description="the shards that were written anew")
    plan_parts: dict[str, str] = Field(
        description="by shard, SHA-256 of plan parts before URLs of removed samples were blanked"
    )
    tombstone_files: dict[str, str] = Field(description="SHA-256 of the tombstone files obeyed")
    records: dict[str, str] = Field(
        description="SHA-256 of the records that these files belong to: requests, decontaminations"
    )
    versions: dict[str, str] = Field(description="versions of uncurated and of what wrote")
    salt: str = Field(description="what the digests in `removed_file` begin with, hex")
    removed_file: str = Field(description="path of the salted digests of what was taken out")
    removed_sha256: str = Field(description="SHA-256 of that file")
    seal_sha256: str = Field(description="SHA-256 of the seal before")
    merkle_root: str = Field(description="Merkle root in that seal")
    version: str = Field(description="version in that seal")


class BuildRecord(Document):
    """How the shards are built; `build.json`, written before the first shard."""

    options: dict[str, Any] = Field(description="the options of `build`")
    plan_sha256: str = Field(description="SHA-256 of plan.json")
    fingerprint: str = Field(description="version of the perceptual hash")
    eval_index: EvalIndexRecord | None = Field(description="null: not decontaminated")
    versions: dict[str, str] = Field(description="versions of uncurated and of what decodes")


class Commit(Record):
    """The files of one finished shard; a create-only JSON, and a row of the manifest."""

    schema_version: Text = Field(default=SCHEMA_VERSION, description="version of this layout")
    shard: ShardNumber = Field(description="number of the shard, from 0")
    build_sha256: Sha256 = Field(description="SHA-256 of the build.json that it was built under")
    plan_file: Text = Field(description="path of its plan part in the dataset")
    plan_sha256: Sha256 = Field(description="SHA-256 of its plan part")
    shard_file: Text = Field(description="path of the shard in the dataset")
    shard_bytes: Count = Field(description="size of the shard")
    shard_sha256: Sha256 = Field(description="SHA-256 of the shard")
    ledger_file: Text = Field(description="path of the ledger part in the dataset")
    ledger_bytes: Count = Field(description="size of the ledger part")
    ledger_sha256: Sha256 = Field(description="SHA-256 of the ledger part")
    num_candidates: Count = Field(description="candidates planned for it")
    num_kept: Count = Field(description="samples in the shard")
    image_bytes: Count = Field(description="bytes of the kept images")
    outcomes: Counts = Field(description="candidates by outcome; they add up to num_candidates")
    exact_copies: Counts = Field(default={}, description="exact copies removed, by evaluation set")
    near_copies: Counts = Field(default={}, description="near copies removed, by evaluation set")
    merkle_root: Sha256 = Field(description="Merkle root of its samples")


class DatasetRecord(Document):
    """The seal of a dataset; `dataset.json`, written last."""

    plan: PlanRecord
    build: BuildRecord
    plan_sha256: str = Field(description="SHA-256 of plan.json")
    build_sha256: str = Field(description="SHA-256 of build.json")
    manifest_sha256: str = Field(description="SHA-256 of manifest.parquet")
    decontamination: str = Field(description="what was matched against, or `not decontaminated`")
    certificate: Certificate | None = Field(
        default=None, description="what was found and how well it was looked; null: not matched"
    )
    lineage: tuple[str, ...] = Field(
        default=(), description="URI and Merkle root of datasets that it derives from"
    )
    retries: tuple[RetryRecord, ...] = Field(
        default=(), description="later generations; a candidate's row in the last one counts"
    )
    repacks: tuple[RepackRecord, ...] = Field(
        default=(), description="times that removed samples were taken out of the shards"
    )
    version: str = Field(
        default="1.0.0", description="MAJOR: repacks, MINOR: retries since the last; PATCH: 0"
    )
    num_shards: int
    num_candidates: int
    num_kept: int
    image_bytes: int
    outcomes: dict[str, int] = Field(description="candidates by outcome")
    merkle_root: str = Field(description="Merkle root over the shards' roots")
    record_sha256: str = Field(default="", description="SHA-256 of this record without this field")

    def sealed(self) -> "DatasetRecord":
        """This record with the digest of its own content."""
        blank = self.model_copy(update={"record_sha256": ""})
        return self.model_copy(update={"record_sha256": digest(encode(blank))})


def encode(document: BaseModel) -> bytes:
    """The canonical JSON bytes: sorted keys, two spaces, UTF-8, one newline at the end."""
    content = document.model_dump(mode="json")
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def decode(model: type[AnyModel], content: bytes) -> AnyModel:
    """The validated document; raises pydantic.ValidationError on a foreign or missing field."""
    return model.model_validate_json(content)


def digest(content: bytes) -> str:
    """SHA-256 as 64 hex digits."""
    return sha256(content).hexdigest()


def plan_part_path(shard: int) -> str:
    """Path of a plan part in its dataset."""
    return f"plan/{shard:05d}.parquet"


def retry_path(generation: int) -> str:
    """Path of the record of a generation in its dataset."""
    return f"generations/{generation:04d}.json"


def former_seal_path(generation: int) -> str:
    """Path of the seal that was valid until the next generation was complete."""
    return f"generations/{generation:04d}-{DATASET_FILE}"


def former_manifest_path(generation: int) -> str:
    """Path of the manifest that belongs to that seal."""
    return f"generations/{generation:04d}-{MANIFEST_FILE}"


def repack_path(repack: int) -> str:
    """Path of the record of a repack in its dataset."""
    return f"{REPACKS}/{repack:04d}.json"


def repacked_seal_path(repack: int) -> str:
    """Path of the seal that was valid until a repack was complete."""
    return f"{REPACKS}/{repack:04d}-{DATASET_FILE}"


def repacked_manifest_path(repack: int) -> str:
    """Path of the manifest that belongs to that seal."""
    return f"{REPACKS}/{repack:04d}-{MANIFEST_FILE}"


def removed_path(repack: int) -> str:
    """Path of the salted digests of what a repack took out."""
    return f"{REPACKS}/{repack:04d}-removed.parquet"


def former_manifests(seal: DatasetRecord) -> tuple[str, str]:
    """Where the manifest of a seal lies while the next retry, or repack, is being sealed."""
    return former_manifest_path(len(seal.retries)), repacked_manifest_path(len(seal.repacks) + 1)


def version_of(retries: Sequence[RetryRecord], repacks: Sequence[RepackRecord]) -> str:
    """The version of a dataset: taking samples out is a MAJOR change, adding some a MINOR one."""
    before = repacks[-1].num_retries if repacks else 0
    return f"{1 + len(repacks)}.{len(retries) - before}.0"


def generation_of(shard: int, retries: Sequence[RetryRecord]) -> int:
    """The generation that a shard belongs to; 0 for those of the plan."""
    return sum(shard >= retry.first_shard for retry in retries)


def commit_path(shard: int) -> str:
    """Path of a commit in its dataset."""
    return f"commits/{shard:05d}.json"


def canary_path(batch: int) -> str:
    """Path of the results of a batch of canaries in its dataset."""
    return f"canaries/{batch:05d}.parquet"


def content_path(folder: str, shard: int, content_sha256: str, extension: str) -> str:
    """Path of a file named after its content: attempts that differ never share a name."""
    return f"{folder}/{shard:05d}-{content_sha256[:12]}.{extension}"
