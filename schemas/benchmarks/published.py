"""Figures that others reported, as a registry file tabulates them and one by one."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from schemas.benchmarks.entry import Entry, Sentence


class PublishedFigure(Entry):
    """A figure that others reported. value: 0 to 1 for shares."""

    model: Sentence = Field(description="as its authors call it")
    value: float
    metric: str = Field(default="", description="empty: the benchmark's")
    protocol: str = Field(default="", description="empty: the benchmark's main one")
    source: Sentence = Field(description="where it is reported")
    split: str = Field(default="", description="empty: the main one")
    group: str = Field(default="", description="of whom; empty: of all")
    setting: str = Field(default="", description="threshold or resolution")


class PublishedTable(Entry):
    """A column of figures of one source, which differ in their model, group or setting."""

    by: Literal["model", "group", "setting"]
    values: dict[Sentence, float] = Field(min_length=1, description="0 to 1 for shares")
    model: str = Field(default="", description="as its authors call it, if all are of one")
    metric: str = Field(default="", description="absent: the benchmark's")
    protocol: str = Field(default="", description="absent: the benchmark's main one")
    source: Sentence = Field(description="where they are reported")
    split: str = Field(default="", description="absent: the main one")
    group: str = Field(default="", description="of whom; absent: of all")
    setting: str = Field(default="", description="threshold or resolution")

    def figures(self) -> Iterator[PublishedFigure]:
        """The figures one by one."""
        common = self.model_dump(exclude={"by", "values"})
        for name, value in self.values.items():
            yield PublishedFigure(**{**common, "value": value, self.by: name})
