"""The published figure beside ours, and whether the difference is more than the interval."""

from dataclasses import dataclass

from schemas.benchmarks.model import PublishedFigure
from schemas.figures import Figure
from train_entry.evaluation.page.entries import Entry
from train_entry.evaluation.page.numbers import difference_text, value_text

WITHIN, BEYOND = "within our interval", "beyond our interval"
NO_VERDICT = "no interval to judge by"


@dataclass(frozen=True)
class Beside:
    """A figure of ours and one that was published, of the same."""

    figure: Figure
    published: PublishedFigure

    @property
    def difference(self) -> float:
        """Ours less theirs."""
        return self.figure.value - self.published.value

    @property
    def verdict(self) -> str:
        """Whether theirs lies in our interval; they seldom publish one of their own."""
        low, high = self.figure.low, self.figure.high
        if low is None or high is None:
            return NO_VERDICT
        return WITHIN if low <= self.published.value <= high else BEYOND

    @property
    def told(self) -> str:
        """The published value with its model, and its setting unless that is ours too."""
        setting = self.published.setting
        known = not setting or setting in self.figure.setting
        told = f"{value_text(self.figure.metric, self.published.value)} {self.published.model}"
        return told if known else f"{told}, {setting}"

    @property
    def text(self) -> str:
        """The difference with what is to be said of it."""
        return f"{difference_text(self.figure.metric, self.difference)}, {self.verdict}"


def beside(entry: Entry, figure: Figure | None, model: str = "") -> Beside | None:
    """A figure beside the published one; None if there is none."""
    found = entry.published_beside(figure, model) if figure else None
    return Beside(figure, found) if figure and found else None
