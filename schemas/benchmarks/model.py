"""What the registry says of a benchmark, and the layouts that every benchmark may have on disk."""

import hashlib
import json
from typing import Literal, Self

from pydantic import Field, model_validator

from schemas.benchmarks.deviations import VERSION, Recipes
from schemas.benchmarks.entry import (
    Entry,
    FieldName,
    Identifier,
    Pattern,
    Sentence,
    SplitName,
    expect,
)
from schemas.benchmarks.field_rules import Division, FieldRule
from schemas.benchmarks.published import PublishedFigure, PublishedTable
from schemas.benchmarks.recipes import Recipe
from schemas.benchmarks.roles import roles_of, with_splits
from schemas.benchmarks.vocabulary import Category, LayoutKind, Metric, Protocol, Task

__all__ = [
    "WHOLE",
    "Benchmark",
    "Division",
    "Entry",
    "FieldRule",
    "Layout",
    "MatchRule",
    "PublishedFigure",
    "Split",
    "general_layouts",
]

# Files and folders are named by one of these for a split that the registry calls by the key.
_SPELLINGS = {"val": ("val", "validation", "valid")}
# The split of a benchmark whose files are not divided on disk.
WHOLE = "all"


class Split(Entry):
    """A part of a benchmark."""

    name: SplitName
    num_images: int | None = Field(default=None, gt=0, description="images; absent: not known")
    clean: bool = Field(description="its images must not be in training data")
    note: Sentence | None = None


class Layout(Entry):
    """One way in which a split may lie below ROOT/<id>."""

    split: str
    kind: LayoutKind
    patterns: tuple[Pattern, ...] = Field(
        min_length=1, description="folders or globs; all must match for the layout to be there"
    )
    listed_in: Pattern | None = Field(
        default=None, description="file of the names that stand for {} in `patterns`: text, or JSON"
    )

    @model_validator(mode="after")
    def _list_has_a_place(self) -> Self:
        marked = all("{}" in pattern for pattern in self.patterns)
        if self.listed_in and not (marked and self.kind == LayoutKind.FOLDER):
            raise ValueError(
                f"listed_in: expected kind folder and {{}} in each pattern, got {self.kind} and "
                f"{', '.join(self.patterns)}"
            )
        return self

    def __str__(self) -> str:
        places = " + ".join(self.patterns)
        return f"{self.kind}: {places}" + (f", named by {self.listed_in}" if self.listed_in else "")


class MatchRule(Entry):
    """How training images are compared with this benchmark's; absent values are the defaults."""

    perceptual: bool = Field(default=True, description="False: equal bytes alone are a copy")
    max_distance: int | None = Field(default=None, ge=0, le=80, description="bits of the hash")
    min_correlation: float | None = Field(default=None, ge=0, le=1)
    note: Sentence | None = Field(default=None, description="the reason")

    @model_validator(mode="after")
    def _reason_given(self) -> Self:
        fields = type(self).model_fields.items()
        changed = ", ".join(
            name for name, info in fields if name != "note" and getattr(self, name) != info.default
        )
        expect(not changed or self.note is not None, "note", f"the reason for {changed}", None)
        return self


class Benchmark(Entry):
    """A set that is cleaned against and evaluated on, or one that an evaluation trains on."""

    id: Identifier = Field(description="the stem of its file, and its folder below ROOT")
    name: Sentence
    home: str = Field(pattern=r"^https?://\S+$")
    licence: Sentence = Field(description='as its home states it; "unknown" if it does not')
    category: Category
    task: Task = Task.SINGLE_LABEL
    role: Literal["evaluation", "training"] = Field(
        default="evaluation", description="training: other benchmarks' protocols train on it"
    )
    year: int = Field(ge=1990, le=2100, description="year of publication")
    classes: int | None = Field(default=None, gt=1)
    metric: Metric
    protocols: tuple[Protocol, ...] = Field(description="the main one first")
    not_evaluated: Sentence | None = Field(default=None, description="why it has no protocol")
    note: Sentence | None = None
    shares_images_with: tuple[Identifier, ...] = Field(
        default=(), description="benchmarks with the same images; their folders serve this one too"
    )
    splits: tuple[Split, ...] = Field(min_length=1)
    layouts: tuple[Layout, ...] = ()
    match: MatchRule = MatchRule()
    fields: dict[FieldName, FieldRule] = Field(default={}, description="how facts are read")
    division: Division | None = Field(default=None, description="of images that lie undivided")
    recipe: Recipes = Field(default=Recipes(), description="by protocol, what deviates")
    published_tables: tuple[PublishedTable, ...] = Field(
        default=(), alias="published", description="what others reported"
    )

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [split.name for split in self.splits]
        listed = ", ".join(names)
        expect(len(set(names)) == len(names), "splits", "each name once", listed)
        if self.role == "evaluation":
            expect(any(split.clean for split in self.splits), "splits", "a clean one", listed)
        for layout in self.layouts:
            expect(layout.split in names, "layouts", f"one of {listed}", layout.split)
        if self.division:
            of = self.division.split
            expect(of in names, "division.split", f"one of {listed}", of)
        expect(self.id not in self.shares_images_with, "shares_images_with", "others", self.id)
        return self

    @model_validator(mode="after")
    def _protocols_fit(self) -> Self:
        known = ", ".join(self.protocols) or "none"
        expect(
            bool(self.protocols) == (self.not_evaluated is None),
            "not_evaluated",
            "the reason if there is no protocol, else nothing",
            f"{self.not_evaluated!r} and protocols {known}",
        )
        for protocol, _ in self.recipe.given():
            expect(protocol in self.protocols, "recipe", f"one of {known}", protocol)
        for table in self.published_tables:
            expect(
                table.protocol in ("", *self.protocols),
                "published.protocol",
                f"one of {known}",
                table.protocol,
            )
        for protocol in self.protocols:
            with_splits(self.recipe.of(protocol), protocol, self.parts, f"recipe.{protocol}")
        return self

    @property
    def parts(self) -> tuple[str, ...]:
        """What can be read: the splits, and the parts of a division of one of them."""
        names = tuple(split.name for split in self.splits)
        divided = self.division.parts if self.division else ()
        return tuple(dict.fromkeys((*divided, *names)))

    def recipe_of(self, protocol: Protocol | str) -> Recipe:
        """A protocol with all its numbers: common ones, the file's, and what follows from it.

        Raises ValueError if it is not one of the benchmark's.
        """
        known = ", ".join(self.protocols) or "none"
        expect(protocol in self.protocols, f"{self.id}: protocol", f"one of {known}", protocol)
        word = Protocol(protocol)
        recipe = with_splits(self.recipe.of(word), word, self.parts, f"recipe.{word}")
        return recipe.model_copy(update={"metric": recipe.metric or str(self.metric)})

    def roles_of(self, protocol: Protocol | str) -> dict[str, tuple[str, ...]]:
        """Which splits or parts a protocol reads in which role, the main first.

        A part of another set of the registry is told as `id:part`.
        """
        return roles_of(self.recipe_of(protocol), Protocol(protocol), self.parts)

    def protocol_sha256(self, protocol: Protocol | str) -> str:
        """Digest of the protocol on this benchmark, with all that its figures depend on.

        Notes and what is predicted in words are no part of it.
        """
        fields = {
            name: rule.model_dump(mode="json", exclude={"note"})
            for name, rule in self.fields.items()
        }
        recipe = self.recipe_of(protocol)
        content = {
            "version": VERSION,
            "protocol": str(protocol),
            "recipe": recipe.model_dump(mode="json", exclude={"note", "target"}),
            "roles": self.roles_of(protocol),
            "fields": fields,
            "division": self.division and self.division.model_dump(mode="json"),
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def published(self) -> tuple[PublishedFigure, ...]:
        """What others reported, figure by figure."""
        return tuple(figure for table in self.published_tables for figure in table.figures())

    @property
    def clean_splits(self) -> tuple[Split, ...]:
        """The splits whose images must not be in training data."""
        return tuple(split for split in self.splits if split.clean)

    def layouts_of(self, split: str) -> tuple[Layout, ...]:
        """Where to look for a split, in this order: its own layouts, then the general ones."""
        own = tuple(layout for layout in self.layouts if layout.split == split)
        return own + general_layouts(split)


def general_layouts(split: str) -> tuple[Layout, ...]:
    """The layouts that every split may have.

    Parquet, tar and Arrow files named after it, or a folder, or a list of images that lie anywhere.
    """
    patterns: list[tuple[LayoutKind, str]] = []
    kinds = (LayoutKind.PARQUET, LayoutKind.TAR, LayoutKind.ARROW)
    for name in _SPELLINGS.get(split, (split,)):
        for kind in kinds:
            stems = (f"{name}-*.", f"*/{name}-*.", f"{name}/*.", f"*/{name}/*.", f"{name}.")
            patterns += [(kind, stem + kind) for stem in stems]
        # A dataset of this project's own.
        patterns += [(kind, f"{name}/shards/*.{kind}") for kind in kinds[1:]]
    if split == WHOLE:
        patterns += [(kind, stem + kind) for kind in kinds for stem in ("*.", "*/*.", "*/*/*.")]
    patterns += [(LayoutKind.FOLDER, name) for name in _SPELLINGS.get(split, (split,))]
    if split == WHOLE:
        patterns.append((LayoutKind.FOLDER, "."))
    listed = (f"{split}.csv", f"{split}.tsv")
    return (
        *(Layout(split=split, kind=kind, patterns=(pattern,)) for kind, pattern in patterns),
        *(
            Layout(split=split, kind=LayoutKind.FOLDER, patterns=("{}",), listed_in=name)
            for name in listed
        ),
    )
