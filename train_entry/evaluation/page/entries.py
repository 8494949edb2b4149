"""What an evaluation found, joined to what the registry says of each benchmark."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.benchmarks.model import Benchmark, PublishedFigure
from schemas.benchmarks.vocabulary import Category
from schemas.figures import BenchmarkResult, Contamination, Evaluation, Figure

OTHER = "other"
_FLAGSHIP = re.compile(r"\bRG-?10B\b", re.IGNORECASE)
_SETTING = re.compile(r"[,;]\s+")
_RESOLUTION = re.compile(r"\d+ ?px")


@dataclass(frozen=True)
class Entry:
    """One benchmark by one protocol. benchmark: None if the registry does not know it."""

    result: BenchmarkResult
    benchmark: Benchmark | None

    @property
    def id(self) -> str:
        return self.result.benchmark

    @property
    def name(self) -> str:
        return self.benchmark.name if self.benchmark else self.result.benchmark

    @property
    def title(self) -> str:
        """Its name and by what protocol, for people."""
        return f"{self.name}, {self.result.protocol.replace('_', ' ')}"

    @property
    def category(self) -> str:
        return str(self.benchmark.category) if self.benchmark else OTHER

    @property
    def primaries(self) -> list[Figure]:
        """The figures that the benchmark is known by, one for each test split, the main first."""
        return [one for one in self.result.figures if one.primary]

    @property
    def primary(self) -> Figure | None:
        """That of the main split; None if nothing could be measured."""
        return next(iter(self.primaries), None)

    def published_beside(self, figure: Figure, model: str = "") -> PublishedFigure | None:
        """What was published of the same: of this model, else of RG-10B, else by the first."""
        same = [one for one in self.result.published if self._is_same(one, figure)]
        ranks = [(one.model != model, not _FLAGSHIP.search(one.model)) for one in same]
        return same[ranks.index(min(ranks))] if same else None

    def _is_same(self, published: PublishedFigure, figure: Figure) -> bool:
        """Whether both are of one protocol, metric, split, group and setting."""
        primary = self.primary
        main = self.benchmark.protocols[0] if self.benchmark else self.result.protocol
        known_by = primary.metric if primary else figure.metric
        return (
            (published.protocol or main) == figure.protocol
            and (published.metric or known_by) == figure.metric
            and _is_of(published.split or (primary.split if primary else ""), figure)
            and published.group == figure.group
            and _fits(published.setting, figure)
        )


def _is_of(split: str, figure: Figure) -> bool:
    """Whether a figure is of a split: alone, or first of those that are tested as one."""
    if split == figure.split:
        return True
    told = _SETTING.split(figure.setting)
    return split in told or (figure.primary and split == figure.split.partition("+")[0])


def _fits(setting: str, figure: Figure) -> bool:
    """Whether a figure is in a published setting; resolutions are told, and no bar."""
    if not setting or _RESOLUTION.fullmatch(setting):
        return figure.primary or not figure.setting
    return setting == figure.setting or setting in _SETTING.split(figure.setting)


def entries_of(evaluation: Evaluation, registry: Mapping[str, Benchmark]) -> list[Entry]:
    """The entries of an evaluation, in its order."""
    return [Entry(one, registry.get(one.benchmark)) for one in evaluation.results]


def by_category(entries: Sequence[Entry]) -> Iterator[tuple[str, str, list[Entry]]]:
    """Word, explanation and entries of each category that has some, in the vocabulary's order."""
    words = [(str(one), one.explanation) for one in Category]
    words.append((OTHER, "Sets that are not in the registry of this program."))
    for word, explanation in words:
        found = [one for one in entries if one.category == word]
        if found:
            yield word, explanation, found


def labels_of(entries: Sequence[Entry]) -> list[str]:
    """Short names for drawings: ids, with the protocol where one has several."""
    counts = Counter(one.id for one in entries)
    return [
        one.id if counts[one.id] == 1 else f"{one.id}, {one.result.protocol.replace('_', ' ')}"
        for one in entries
    ]


def status_of(contamination: Contamination) -> str:
    """What is known of a test set in training data, in a word or two."""
    if contamination.exact_left or contamination.near_left:
        return "contaminated"
    if contamination.matched is None:
        return "training data not known"
    return "cleaned against" if contamination.matched else "not looked for"
