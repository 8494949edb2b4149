"""What an evaluation index is made of, and how a copy of one of its images is told."""

from typing import Annotated

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from schemas.arrow import Bytes, Record, Shares, Text

# Up to this distance the least correlation stays the same; then it rises by 1/128 for each bit.
FLAT_DISTANCE, DISTANCE_SLOPE = 48, 1 / 128

Aspect = Annotated[float, Field(gt=0), pa.float32()]


class MatchRule(BaseModel):
    """What counts as a copy of a benchmark's images, where it is not what `build` was told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    perceptual: bool = Field(
        default=True, description="false: equal bytes or pixels only, since hashes match strangers"
    )
    max_distance: int | None = Field(
        default=None, ge=0, le=80, description="in place of the radius"
    )
    min_correlation: float | None = Field(default=None, ge=0, le=1, description="in place of it")


def least_correlation(distance: int, base: float) -> float:
    """The correlation that makes a copy of a candidate at this Hamming distance."""
    return base + max(0, distance - FLAT_DISTANCE) * DISTANCE_SLOPE


class ProtectedImage(Record):
    """One evaluation image, on its way into an index or from one index to another."""

    set: Text = Field(description="name of its evaluation set or benchmark")
    name: Text = Field(description="its name in the set")
    sha256: Bytes = Field(description="SHA-256 of its bytes, 32 bytes")
    pixels_sha256: Bytes | None = Field(
        description="SHA-256 of its canonical pixels; null: no image"
    )
    aspect: Aspect = Field(description="width by height, upright")
    box: Shares = Field(description="what lies inside its border: left, top, right, bottom, 0 to 1")
    thumbnail: Bytes = Field(description="its luma, 32 x 32 bytes, row by row")
    codes: Bytes = Field(description="perceptual codes of its variants, 32 bytes each")
    variants: Bytes = Field(description="which variant each code is of, a byte each")
    num_flat: Annotated[int, Field(ge=0), pa.uint16()] = Field(
        description="variants without a code, being too flat"
    )


class Canary(Record):
    """A copy of an evaluation image, made to see whether a build finds it."""

    set: Text = Field(description="evaluation set of the original")
    name: Text = Field(description="name of the original in its set")
    rank: Annotated[float, pa.float64()] = Field(
        description="drawn from 0 to 1; the lowest of a set are kept"
    )
    kind: Text = Field(description="how it was made, one of `ingest.copies.kinds`")
    params: Text = Field(description="the drawn parameters, JSON")
    protected: Annotated[bool, pa.bool_()] = Field(
        description="whether the original has a perceptual code at all"
    )
    content: Bytes = Field(description="the copy, an encoded image")


class BackgroundImage(Record):
    """An ordinary image, of no evaluation set, as it would be looked up."""

    name: Text = Field(description="where it is from")
    sha256: Bytes = Field(description="SHA-256 of its bytes, 32 bytes")
    pixels_sha256: Bytes = Field(description="SHA-256 of its canonical pixels, 32 bytes")
    codes: Bytes = Field(description="perceptual codes of its views, 32 bytes each")
    textures: Annotated[tuple[int, ...], pa.list_(pa.uint16())] = Field(
        description="reliable bits of each view"
    )
    certainties: Bytes = Field(description="certainty of each bit of its views, 256 bytes each")
    thumbnails: Bytes = Field(description="luma of its views, 32 x 32 bytes each")
