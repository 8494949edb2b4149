"""What all papers are made of, and the numbers that more than one of them states."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingest.errors import SetupError
from schemas.audit_options import ReportOptions
from schemas.certificate import wilson_interval
from schemas.manifest import DatasetRecord, InputRecord
from schemas.options import FetchOptions
from schemas.outcome import Outcome
from schemas.report import Report
from schemas.survey import Survey

_US = 1_000_000


@dataclass(frozen=True)
class Facts:
    """A sealed dataset as its papers tell it; all texts may hold foreign signs."""

    dataset: str
    record: DatasetRecord
    survey: Survey
    report: Report
    options: ReportOptions

    def check(self) -> None:
        """Raise SetupError unless survey and seal are of the same samples."""
        pairs = {
            "merkle_root": (self.record.merkle_root, self.survey.merkle_root),
            "version": (self.record.version, self.survey.version),
            "num_candidates": (self.record.num_candidates, self.survey.num_candidates),
            "num_kept": (
                self.record.num_kept,
                self.survey.num_kept + self.survey.num_tombstones,
            ),
            "outcomes": (_nonzero(self.record.outcomes), _nonzero(self.survey.outcomes)),
        }
        for name, (expected, found) in pairs.items():
            if expected != found:
                raise SetupError(
                    f"{self.dataset}: expected a survey with the seal's {name} {expected}, got "
                    f"{found}"
                )

    @property
    def title(self) -> str:
        """The name of the dataset."""
        return self.options.title or self.dataset.rstrip("/").rpartition("/")[2] or self.dataset

    @property
    def user_agent(self) -> str:
        """By which name the crawler showed itself."""
        default = FetchOptions.model_fields["user_agent"].default
        return str(self.built("fetch").get("user_agent", default))

    @property
    def start(self) -> str | None:
        """When the first fetch began, ISO 8601 to the second, UTC; None if nothing was fetched."""
        return _moment(self.report.first_fetch_us)

    @property
    def end(self) -> str | None:
        """When the last fetch began, the same."""
        return _moment(self.report.last_fetch_us)

    @property
    def num_fetched(self) -> int:
        """Candidates that are URLs, not bytes that lie in files."""
        return self.survey.carriers.get("url", 0)

    @property
    def num_stored(self) -> int:
        """Candidates whose bytes lay in files of the input."""
        return sum(self.survey.carriers.values()) - self.num_fetched

    @property
    def is_resized(self) -> bool:
        """Whether the images are smaller copies of those of another dataset."""
        return "resize" in self.record.build.options

    def built(self, concern: str) -> dict[str, Any]:
        """The recorded options of the build of one concern, such as `consent`."""
        found = self.record.build.options.get(concern, {})
        return found if isinstance(found, dict) else {}

    def ranked_outcomes(self) -> list[tuple[Outcome, int]]:
        """The outcomes that occur, the most frequent first."""
        counts = _nonzero(self.survey.outcomes)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return [(Outcome(word), count) for word, count in ordered]

    def first_inputs(self, most: int) -> tuple[tuple[InputRecord, ...], int]:
        """The first inputs by URI, and how many more there are."""
        inputs = self.record.plan.inputs
        return inputs[:most], max(0, len(inputs) - most)


def share_of(count: int, total: int) -> str:
    """A count of a total with its share in percent."""
    return f"{count:,} of {total:,} ({count / total:.1%})" if total else f"{count:,} of {total:,}"


def share_of_sample(count: int, total: int) -> str:
    """A count in the random sample with the 95 % interval of the share in the whole (Wilson)."""
    if not total:
        return "no image was sampled"
    low, high = wilson_interval(count, total)
    return f"{share_of(count, total)} of the random sample, 95 % interval {low:.1%} to {high:.1%}"


def _nonzero(counts: dict[str, int]) -> dict[str, int]:
    return {word: count for word, count in counts.items() if count}


def _moment(time_us: int | None) -> str | None:
    if time_us is None:
        return None
    return datetime.fromtimestamp(time_us // _US, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
