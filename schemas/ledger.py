"""LedgerRow: outcome and provenance of one candidate."""

from typing import Annotated

import pyarrow as pa
from pydantic import Field

from schemas.arrow import (
    Bytes,
    Count,
    Md5,
    Pixels,
    Requests,
    Sha256,
    ShardNumber,
    Share,
    Small,
    Text,
    Texts,
    Timestamp,
)
from schemas.candidate import Reference
from schemas.outcome import Outcome


class LedgerRow(Reference):
    """One row for every candidate, kept or not; columns that do not apply are null."""

    generation: Small = Field(
        description="0, or the number of the retry that made this row; a candidate's last counts"
    )
    outcome: Annotated[Outcome, pa.string()] = Field(description="what became of it, one word")
    detail: Text | None = Field(description="the reason in words, with both sides of a mismatch")

    final_url: Text | None = Field(description="URL that gave the last answer")
    redirects: Texts = Field(description="URLs that were followed after the given one, in order")
    address: Text | None = Field(description="IP address really connected to, of the last request")
    fetched_at: Timestamp | None = Field(description="when the last request began, UTC")
    fetch_ms: Count | None = Field(description="duration of the last request, milliseconds")
    http_status: Small | None = Field(description="status of the last answer")
    content_type: Text | None = Field(description="Content-Type as declared")
    content_length: Count | None = Field(description="Content-Length as declared, bytes")
    etag: Text | None = Field(description="ETag as declared")
    last_modified: Text | None = Field(description="Last-Modified as declared")
    robots_sha256: Sha256 | None = Field(
        description="SHA-256 of the robots.txt that was asked last, hex; null: none could be had"
    )
    robots_fetched_at: Timestamp | None = Field(description="when that robots.txt came, UTC")
    opt_out_signals: Texts = Field(description="every opt-out signal seen, as `where: value`")
    opt_out_rule: Text | None = Field(
        description="the rule that decided, such as a robots.txt line"
    )
    attempts: Small = Field(description="tries; redirects not counted")
    requests: Requests = Field(
        description="host and time of every request made for it: robots.txt, redirects and tries"
    )

    num_bytes: Count | None = Field(description="bytes received")
    sha256: Sha256 | None = Field(description="SHA-256 of the bytes received, hex")
    original_sha256: Sha256 | None = Field(
        description="resized only: SHA-256 of the bytes that the packed ones were made from"
    )
    md5: Md5 | None = Field(
        description="MD5 of the bytes received, of the original if resized, hex: what lists of "
        "images to remove are made of"
    )
    format: Text | None = Field(description="image format by its first bytes, such as `jpeg`")
    width_px: Pixels | None = Field(description="width as stored, before EXIF orientation")
    height_px: Pixels | None = Field(description="height as stored, before EXIF orientation")
    mode: Text | None = Field(
        description="pixel mode as stored, Pillow's names: `RGB`, `CMYK`, ..."
    )
    num_frames: Count | None = Field(description="frames or pages; 1 for a still image")
    exif_orientation: Small | None = Field(description="EXIF tag 274, 1 to 8")
    exif_date: Text | None = Field(description="EXIF DateTimeOriginal or DateTime, as written")
    decoder_warnings: Texts = Field(description="what the decoder complained about, yet survived")
    pixels_sha256: Sha256 | None = Field(
        description="SHA-256 of the canonical pixels (upright luma as decoded), hex"
    )
    phash: Text | None = Field(description="perceptual hash, 256 bits as 64 hex digits")
    texture: Small | None = Field(
        description="reliable bits of the hash, 0 to 256; low: flat image"
    )
    trimmed_phash: Text | None = Field(
        description="perceptual hash of what lies inside a border of one colour, if there is one"
    )
    nearest_eval: Text | None = Field(description="nearest evaluation image, `set/name`")
    nearest_eval_variant: Text | None = Field(
        description="which variant of it: `identity`, `mirrored`, ...; `bytes` or `pixels`: equal"
    )
    nearest_eval_view: Text | None = Field(
        description="which view was near it: `plain`, or `trimmed` of its border"
    )
    nearest_eval_distance: Small | None = Field(description="its Hamming distance, bits; 0: equal")
    nearest_eval_correlation: Share | None = Field(
        description="correlation of the aligned thumbnails, -1 to 1"
    )
    nearest_eval_cosine: Share | None = Field(
        description="borderline cases only: cosine of the learned descriptors, if there are any"
    )
    thumbnail: Bytes | None = Field(
        description="near copies only: the luma that was compared, 32 x 32 bytes, row by row"
    )

    preview: Bytes | None = Field(
        description="near copies only: a small JPEG of it, so that the removal can be looked at"
    )

    shard: ShardNumber = Field(description="number of the shard that it was planned for")
    offset_bytes: Count | None = Field(description="kept only: where its bytes begin in the shard")
    length_bytes: Count | None = Field(description="kept only: how many bytes it has there")
