"""What the registry says of a benchmark, and the layouts that every benchmark may have on disk."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from schemas.benchmarks.vocabulary import Category, LayoutKind, Metric, Protocol

# Files and folders are named by one of these for a split that the registry calls by the key.
_SPELLINGS = {"val": ("val", "validation", "valid")}
# The split of a benchmark whose files are not divided on disk.
WHOLE = "all"

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
SplitName = Annotated[str, Field(pattern=r"^[a-z0-9]+([_-][a-z0-9]+)*$")]
Sentence = Annotated[str, Field(min_length=1)]


def _expect(holds: bool, field: str, expected: str, got: object) -> None:
    if not holds:
        raise ValueError(f"{field}: expected {expected}, got {got}")


def _below(pattern: str) -> str:
    _expect(
        bool(pattern) and not pattern.startswith("/") and ".." not in pattern.split("/"),
        "pattern",
        "a path below ROOT/<id>",
        repr(pattern),
    )
    return pattern


Pattern = Annotated[str, AfterValidator(_below)]


class Entry(BaseModel):
    """Base of what stands in a registry file: frozen, and strict about names and types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


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
        _expect(not changed or self.note is not None, "note", f"the reason for {changed}", None)
        return self


class Recipe(Entry):
    """Deviations from the common recipe of a protocol; what is absent is as in the common one."""

    epochs: int | None = Field(default=None, gt=0)
    milestones: tuple[int, ...] | None = Field(default=None, description="epochs of rate times 0.1")
    schedule: Literal["step", "cosine"] | None = None
    learning_rate: float | None = Field(default=None, gt=0, description="per 256 images")
    final_learning_rate: float | None = Field(default=None, ge=0, description="per 256 images")
    weight_decay: float | None = Field(default=None, ge=0)
    resize_px: int | None = Field(default=None, gt=0, description="shorter side")
    crop_px: int | None = Field(default=None, gt=0, description="side of the centre crop")
    stretch: bool | None = Field(default=None, description="resize to a square, aspect not kept")
    flip: bool | None = None
    class_mask: bool | None = Field(default=None, description="only the set's classes compete")
    target: Sentence | None = Field(default=None, description="what is predicted")
    division: Sentence | None = Field(default=None, description="how training and test are divided")


class Benchmark(Entry):
    """An evaluation set: cleaned against, and later evaluated on."""

    id: Identifier = Field(description="the stem of its file, and its folder below ROOT")
    name: Sentence
    home: str = Field(pattern=r"^https?://\S+$")
    licence: Sentence = Field(description='as its home states it; "unknown" if it does not')
    category: Category
    year: int = Field(ge=1990, le=2100, description="year of publication")
    classes: int | None = Field(default=None, gt=1)
    metric: Metric
    protocols: tuple[Protocol, ...] = Field(min_length=1, description="the main one first")
    note: Sentence | None = None
    shares_images_with: tuple[Identifier, ...] = Field(
        default=(), description="benchmarks with the same images; their folders serve this one too"
    )
    splits: tuple[Split, ...] = Field(min_length=1)
    layouts: tuple[Layout, ...] = ()
    match: MatchRule = MatchRule()
    recipe: dict[Protocol, Recipe] = Field(default={}, description="by protocol")

    @model_validator(mode="after")
    def _names_fit(self) -> Self:
        names = [split.name for split in self.splits]
        listed = ", ".join(names)
        _expect(len(set(names)) == len(names), "splits", "each name once", listed)
        _expect(any(split.clean for split in self.splits), "splits", "a clean one", listed)
        for layout in self.layouts:
            _expect(layout.split in names, "layouts", f"one of {listed}", layout.split)
        for protocol in self.recipe:
            expected = f"one of {', '.join(self.protocols)}"
            _expect(protocol in self.protocols, "recipe", expected, protocol)
        _expect(self.id not in self.shares_images_with, "shares_images_with", "others", self.id)
        return self

    @property
    def clean_splits(self) -> tuple[Split, ...]:
        """The splits whose images must not be in training data."""
        return tuple(split for split in self.splits if split.clean)

    def layouts_of(self, split: str) -> tuple[Layout, ...]:
        """Where to look for a split, in this order: its own layouts, then the general ones."""
        own = tuple(layout for layout in self.layouts if layout.split == split)
        return own + general_layouts(split)


def general_layouts(split: str) -> tuple[Layout, ...]:
    """The layouts that every split may have: parquet and tar files named after it, or a folder."""
    patterns: list[tuple[LayoutKind, str]] = []
    for name in _SPELLINGS.get(split, (split,)):
        for kind in (LayoutKind.PARQUET, LayoutKind.TAR):
            stems = (f"{name}-*.", f"*/{name}-*.", f"{name}/*.", f"*/{name}/*.", f"{name}.")
            patterns += [(kind, stem + kind) for stem in stems]
    if split == WHOLE:
        kinds = (LayoutKind.PARQUET, LayoutKind.TAR)
        patterns += [(kind, stem + kind) for kind in kinds for stem in ("*.", "*/*.", "*/*/*.")]
    patterns += [(LayoutKind.FOLDER, name) for name in _SPELLINGS.get(split, (split,))]
    if split == WHOLE:
        patterns.append((LayoutKind.FOLDER, "."))
    return tuple(Layout(split=split, kind=kind, patterns=(pattern,)) for kind, pattern in patterns)
