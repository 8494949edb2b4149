"""What a shard is made of, and what is known of it once written; the same for every format."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ingest.pack.provenance import provenance_json
from schemas.image_formats import EXTENSIONS
from schemas.merkle import sample_leaf


@dataclass(frozen=True)
class Sample:
    """One kept image: the fields of `schemas.shard.ArrowSample`, with the JSON as UTF-8."""

    id: str
    extension: str
    url: str
    sha256: str
    width_px: int
    height_px: int
    phash: str
    provenance: bytes
    image: bytes

    @classmethod
    def of_row(cls, row: Mapping[str, Any], image: bytes) -> "Sample":
        """The sample that a ledger row describes, with the columns that its JSON is made of."""
        return cls(
            id=row["id"],
            extension=EXTENSIONS[row["format"]],
            url=row["url"],
            sha256=row["sha256"],
            width_px=row["width_px"],
            height_px=row["height_px"],
            phash=row["phash"],
            provenance=provenance_json(row),
            image=image,
        )

    def leaf(self) -> bytes:
        """The 32-byte Merkle leaf, whatever the format of the shard."""
        return sample_leaf(self.id, bytes.fromhex(self.sha256), sha256(self.provenance).digest())


@dataclass(frozen=True)
class WrittenShard:
    """What was written: size, digest, offset of each image, and the samples' Merkle leaves."""

    num_bytes: int
    sha256: str
    offsets: list[int]
    leaves: list[bytes]
