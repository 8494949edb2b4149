"""What an evaluation found: figures, each beside what was published and what was cleaned."""

from typing import Annotated, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from schemas.arrow import Count, Record, Text
from schemas.benchmarks.model import PublishedFigure
from schemas.certificate import Recall
from schemas.manifest import Document

Real = Annotated[float, pa.float64()]


class Contamination(BaseModel):
    """What is known of a benchmark's images in the training data of the evaluated model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    matched: bool | None = Field(description="was it looked for; null: training data not known")
    exact_removed: int = Field(default=0, description="exact copies taken out before training")
    near_removed: int = Field(default=0, description="near copies taken out before training")
    exact_left: int = Field(default=0, description="exact copies found that were trained on")
    near_left: int = Field(default=0, description="near copies found that were trained on")
    recall: Recall | None = Field(default=None, description="share of planted copies found")
    residual: tuple[float, float] | None = Field(
        default=None, description="near copies of this set that may be left unseen, 95 %"
    )
    sentence: str = Field(description="all of this in words")


class Figure(Record):
    """One figure of an evaluation; a row of figures.parquet."""

    benchmark: Text = Field(description="id in the registry")
    protocol: Text = Field(description="how it was evaluated")
    split: Text = Field(description="the test split")
    metric: Text = Field(description="what the value is")
    group: Text = Field(description="of whom; empty: of all")
    setting: Text = Field(description="tap, cost, threshold: what was chosen or varied")
    primary: Annotated[bool, pa.bool_()] = Field(
        description="the figure that the benchmark is known by"
    )
    value: Real = Field(description="0 to 1 for shares")
    low: Real | None = Field(description="lower end of the 95 % interval")
    high: Real | None = Field(description="upper end of the 95 % interval")
    num_images: Count = Field(description="test images, or units, that it is of")
    protocol_sha256: Text = Field(description="digest of the protocol with all its numbers")
    contamination: Text = Field(description="what is known of the test set in the training data")


class EncoderRecord(BaseModel):
    """What was evaluated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="what to call it: folder of the run and step, or the function")
    sha256: str = Field(description="digest of its weights")
    num_parameters: int
    architecture: dict[str, Any] = Field(default={}, description="of a RegNet: its numbers")
    step: int | None = Field(default=None, description="of the checkpoint")
    merkle_root: str | None = Field(default=None, description="root of the data it has read")
    tombstones: dict[str, str] = Field(
        default={}, description="tombstone files that its run obeyed, with their SHA-256"
    )


class BenchmarkResult(BaseModel):
    """All of one benchmark by one protocol."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmark: str
    protocol: str
    recipe: dict[str, Any] = Field(description="the protocol's numbers, as they were used")
    deviations: tuple[str, ...] = Field(description="where that is not what was published")
    splits: dict[str, str] = Field(description="SHA-256 over names, sizes and fields, by `id/part`")
    num_images: dict[str, int] = Field(description="images by `id/part`")
    num_bad: dict[str, int] = Field(description="images that could not be decoded, by `id/part`")
    published: tuple[PublishedFigure, ...] = Field(description="what others reported")
    contamination: Contamination
    figures: tuple[Figure, ...]


class Evaluation(Document):
    """`evaluation.json`: all that an evaluation found."""

    encoder: EncoderRecord
    training_data: str = Field(description="URI of the dataset; empty: not given")
    versions: dict[str, str]
    results: tuple[BenchmarkResult, ...]
    missing: dict[str, str] = Field(description="benchmarks asked for and not run, with the reason")
