"""What an evaluation index is made of, and how a copy of one of its images is told."""

import math
from typing import Annotated

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from schemas.arrow import Bytes, Record, Shares, Text
from schemas.benchmarks.model import MatchRule

# Up to this distance the least correlation stays the same; then it rises by 1/128 for each bit.
FLAT_DISTANCE, DISTANCE_SLOPE = 48, 1 / 128

Aspect = Annotated[float, Field(gt=0), pa.float32()]


# So much below the least correlation a candidate may be a copy all the same.
BORDERLINE = 0.25


# Distances of unrelated photographs are normal; 46 million pairs gave 127.5 and 8.2 (benchmarks).
_STRANGERS_MEAN, _STRANGERS_STD = 127.4, 8.13
_LOOKS_PER_IMAGE, _MAX_STRANGERS, FARTHEST = 1.2, 1e-5, 80


def safe_radius(num_codes: int) -> int:
    """The largest distance, up to 80, at which a natural image meets 1e-5 strangers or less.

    Of these strangers the thumbnails of 1 % or less agree, which makes one false drop in ten
    million images. 76 for 20,000 codes, 66 for 160 million.
    """
    for radius in range(FARTHEST, 0, -1):
        away = (_STRANGERS_MEAN - radius - 0.5) / _STRANGERS_STD
        share = math.erfc(away / math.sqrt(2)) / 2
        if num_codes * _LOOKS_PER_IMAGE * share <= _MAX_STRANGERS:
            return radius
    return 0


def least_correlation(distance: int, base: float) -> float:
    """The correlation that makes a copy of a candidate at this Hamming distance."""
    return base + max(0, distance - FLAT_DISTANCE) * DISTANCE_SLOPE


class SetRecord(BaseModel):
    """What one evaluation set brought into the index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_images: int = Field(description="files, all of them found by their digest")
    num_codes: int = Field(description="perceptual codes of their variants")
    num_exact_only: int = Field(description="images without any perceptual code")
    num_flat_variants: int = Field(description="variants left out as too flat")
    num_unreadable: int = Field(description="files that are no readable images")
    num_canaries: int = Field(description="copies of its images that builds look for")
    rule: MatchRule = Field(default=MatchRule(), description="what counts as a copy")


class Calibration(BaseModel):
    """What a background of ordinary images, half to demote hubs by and half to count, showed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_images: int = Field(description="images of the counting half")
    num_hits_before: int = Field(description="of these, called a copy before hubs were demoted")
    num_hits: int = Field(description="of these, called a copy of some evaluation image")
    hits: tuple[str, ...] = Field(description="the first of them, as `image: evaluation image`")
    demoted: dict[str, int] = Field(
        description="codes that matched too much of the other half, now exact only, with their hits"
    )

    @classmethod
    def of_demoted(cls, demoted: dict[str, int]) -> "Calibration":
        """What is known of codes that other calibrations demoted: nothing of what is left."""
        return cls(num_images=0, num_hits_before=0, num_hits=0, hits=(), demoted=demoted)


class EvalIndexRecord(BaseModel):
    """Which evaluation index a dataset was matched against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    uri: str
    sha256: str = Field(
        description="digest of the index's manifest, which holds its files' digests"
    )
    fingerprint: str
    sets: dict[str, SetRecord] = Field(description="what each evaluation set brought")
    calibration: Calibration | None = Field(description="null: no background was looked at")

    def radius(self, chosen: int) -> int:
        """The largest distance that may be a copy: the chosen one, or the safe one if that is 0."""
        return chosen or safe_radius(sum(one.num_codes for one in self.sets.values()))


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
    thumbnail: Bytes = Field(description="its luma at 32 x 32, row by row, 6 bits each")
    codes: Bytes = Field(description="perceptual codes of its variants, 32 bytes each")
    variants: Bytes = Field(description="which variant each code is of, a byte each")
    num_flat: Annotated[int, Field(ge=0), pa.uint16()] = Field(
        description="variants without a code, being too flat"
    )
    descriptor: Bytes = Field(
        default=b"", description="float16 vector of the learned descriptor, if any"
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
