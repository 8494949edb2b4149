"""How facts about an image are read from its files, and how images are divided into parts."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from schemas.benchmarks.entry import Entry, FieldName, Pattern, Sentence, SplitName, expect

Part = Literal["train", "val", "test"]


class FieldRule(Entry):
    """Where the value of one field of an image stands; the first place that has it is taken.

    The places, in this order: `column` beside the image, `by_order`, `file`, `pattern`, `folder`.
    Then the value is split, binned and put into `words`, in this order. A group of `pattern` that
    takes no part in a match is an empty text. A label without a rule is the
    column `label` or `cls`, else the name of the image's folder.
    """

    column: tuple[Sentence, ...] = Field(
        default=(),
        description="column of the list, parquet file or JSON that has the image; the first there",
    )
    by_order: Pattern | None = Field(
        default=None, description="JSON list with a value for each image, by sorted file name"
    )
    file: tuple[Pattern, ...] = Field(
        default=(),
        description="lists below ROOT/<id>, those that are there: .csv, .tsv, .json or .jsonl with "
        "`column` and a column that names the image, or .txt whose lines begin with its name",
    )
    list_name: bool = Field(
        default=False, description="the value is the stem of the first `file` with the image"
    )
    pattern: str | None = Field(
        default=None, description="regular expression with one group, searched in the image's path"
    )
    folder: int | None = Field(
        default=None, gt=0, description="the name of which folder above the file; 1: the next"
    )
    word: int = Field(default=0, ge=0, description="which word of a value of `file`; 0: all")
    separator: str | None = Field(default=None, min_length=1, description="between several values")
    bins: tuple[float, ...] = Field(
        default=(), description="rising bounds; the value is the number of bounds not above it"
    )
    words: dict[str, str] = Field(default={}, description="what a value stands for")
    note: Sentence | None = Field(default=None, description="what the values are")

    @field_validator("pattern")
    @classmethod
    def _one_group(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"expected a regular expression, got {error}") from error
            expect(groups == 1, "pattern", "one group", f"{groups} in {pattern!r}")
        return pattern

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        places = (self.column, self.by_order, self.file, self.pattern, self.folder)
        expect(any(places), "field", "column, by_order, file, pattern or folder", "none")
        expect(
            list(self.bins) == sorted(set(self.bins)), "bins", "rising bounds", f"{list(self.bins)}"
        )
        for name in self.file:
            if not name.endswith(".txt") and not self.list_name:
                expect(bool(self.column), "file", "a .txt list, or `column`", f"{name} alone")
        return self


class Division(Entry):
    """How the images of a split that lies undivided on disk become train, val and test.

    column: the field of that name says the part of each image; other values are not used. count,
    share: so many images, or that share, of each class (or of all); the remainder goes to `rest`,
    or is not used. Where a part and a split have one name, evaluation means the part.
    """

    split: SplitName = Field(default="all", description="the split that is divided")
    by: Literal["column", "count", "share"] = Field(description="a field, numbers or shares")
    column: FieldName = Field(default="split", description="the field, if by column")
    names: tuple[SplitName, ...] = Field(
        default=("train", "test"), description="the parts, if by column: the values of the field"
    )
    train: int | float | None = Field(default=None, gt=0, description="number or share of images")
    val: int | float | None = Field(default=None, gt=0, description="number or share of images")
    test: int | float | None = Field(default=None, gt=0, description="number or share of images")
    rest: Part | None = Field(default=None, description="the part that gets what is left")
    per_class: bool = Field(default=True, description="of each class, not of all images")
    order: Literal["random", "name"] = Field(default="random", description="of the images")
    seed: int = Field(default=0, description="of the random order")

    @model_validator(mode="after")
    def _amounts_fit(self) -> Self:
        amounts = {part: getattr(self, part) for part in ("train", "val", "test")}
        given = {part: amount for part, amount in amounts.items() if amount is not None}
        told = ", ".join(f"{part} {amount}" for part, amount in given.items()) or "none"
        if self.by == "column":
            expect(not given and self.rest is None, "division", "no amounts, by column", told)
        elif self.by == "count":
            whole = all(isinstance(amount, int) for amount in given.values())
            expect(bool(given) and whole, "division", "whole numbers, by count", told)
        else:
            shares = sum(given.values())
            expect(bool(given) and shares <= 1 + 1e-9, "division", "shares of at most 1", told)
        expect(self.rest not in given, "rest", "a part without an amount", self.rest)
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts, train first."""
        if self.by == "column":
            return self.names
        found: tuple[Part, ...] = ("train", "val", "test")
        return tuple(part for part in found if getattr(self, part) is not None or part == self.rest)
