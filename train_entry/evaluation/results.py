"""What was found so far, a file for each benchmark and protocol, so that nothing is done twice."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.figures import BenchmarkResult, Contamination, Figure
from schemas.manifest import decode, encode
from train_entry.evaluation.jobs import Job
from train_entry.evaluation.scores import Score
from train_entry.whole_file import write_whole

FOLDER = "results"


class JobResult(BaseModel):
    """What one job found; `key` stands for all that it depends on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    scores: dict[str, tuple[Score, ...]] = Field(description="by test split, the main one first")
    num_images: dict[str, int] = Field(description="images that could be decoded, by `id/part`")
    num_bad: dict[str, int] = Field(description="images that could not, by `id/part`")


class Results:
    """The results in a folder."""

    def __init__(self, output: str) -> None:
        self._folder = Path(output) / FOLDER

    def read(self, job: Job, key: str) -> JobResult | None:
        """What was found for a job, unless it was another one by the same name."""
        try:
            found = decode(JobResult, self._path(job).read_bytes())
        except (OSError, ValidationError):
            return None
        return found if found.key == key else None

    def write(self, job: Job, result: JobResult) -> None:
        """Keep what was found; the file is there whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._path(job), encode(result))

    def _path(self, job: Job) -> Path:
        return self._folder / f"{job.name}.json"


def benchmark_result(
    job: Job, found: JobResult, deviations: Sequence[str], contamination: Contamination
) -> BenchmarkResult:
    """A job's result beside what is known of its benchmark."""
    benchmark, protocol = job.benchmark, str(job.protocol)
    main = str(benchmark.protocols[0])
    published = [one for one in benchmark.published if (one.protocol or main) == protocol]
    sha256 = benchmark.protocol_sha256(protocol)
    return BenchmarkResult(
        benchmark=benchmark.id,
        protocol=protocol,
        recipe=job.recipe.model_dump(mode="json"),
        deviations=tuple(deviations),
        splits={one.name: one.digest for parts in job.parts.values() for one in parts},
        num_images=found.num_images,
        num_bad=found.num_bad,
        published=tuple(published),
        contamination=contamination,
        figures=tuple(_figures(job, found.scores, sha256, contamination.sentence)),
    )


def _figures(
    job: Job, scores: Mapping[str, Sequence[Score]], sha256: str, contamination: str
) -> list[Figure]:
    return [
        Figure(
            benchmark=job.benchmark.id,
            protocol=str(job.protocol),
            split=split,
            metric=score.metric,
            group=score.group,
            setting=score.setting,
            primary=place == 0,
            value=score.value,
            low=score.low,
            high=score.high,
            num_images=score.num_images,
            protocol_sha256=sha256,
            contamination=contamination,
        )
        for split, found in scores.items()
        for place, score in enumerate(found)
    ]
