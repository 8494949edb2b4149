"""The features that a job needs: which views of its images, at which taps, in which roles."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from schemas.benchmarks.recipes import LinearProbe, Recipe
from train_entry.errors import DataError
from train_entry.evaluation.encoder import Encoder
from train_entry.evaluation.examples import Examples
from train_entry.evaluation.extract import Extracted, Extraction, extract
from train_entry.evaluation.jobs import Job
from train_entry.evaluation.options import EvaluateOptions
from train_entry.evaluation.protocols import JOINED
from train_entry.evaluation.scores import Features
from train_entry.evaluation.transforms import Transform

# A field that says which part of a benchmark an image of several joined ones is of.
PART = "part"


class Shown:
    """Features of jobs' images, each extracted once. Collective until a job's are extracted."""

    def __init__(self, encoder: Encoder, options: EvaluateOptions) -> None:
        self._encoder, self._options = encoder, options
        self._found: dict[tuple[str, str, tuple[str, ...]], Extracted] = {}

    def extract(self, job: Job) -> None:
        """Extract all that a job needs, on all ranks."""
        for role, parts in job.parts.items():
            for part in parts:
                self._views(job, role, part)

    def tests(self, job: Job) -> dict[str, dict[str, Features]]:
        """The job's features by test split and role; after `extract`, by any rank alone."""
        found = {
            role: {part.part: self._features(job, role, part) for part in parts}
            for role, parts in job.parts.items()
        }
        if job.protocol in JOINED:
            whole = {role: joined(parts) for role, parts in found.items()}
            return {"+".join(job.recipe.test): whole}
        others = {role: joined(parts) for role, parts in found.items() if role != "test"}
        return {name: {**others, "test": one} for name, one in found["test"].items()}

    def counts(self, job: Job) -> tuple[dict[str, int], dict[str, int]]:
        """Images that could be decoded, and those that could not, by `id/part`."""
        found = {
            part.name: self._views(job, role, part)[0]
            for role, parts in job.parts.items()
            for part in parts
        }
        decoded = {name: len(one.features) for name, one in found.items()}
        return decoded, {name: len(one.bad) for name, one in found.items()}

    def _features(self, job: Job, role: str, part: Examples) -> Features:
        extracted = self._views(job, role, part)
        views = [one.features for one in extracted]
        if not len(views[0]):
            reason = next(iter(extracted[0].bad.values()))
            raise DataError(
                f"{part.name}: expected images that can be decoded, got none of {len(part)}: "
                f"{reason}"
            )
        return joined({str(number): view for number, view in enumerate(views)})

    def _views(self, job: Job, role: str, part: Examples) -> list[Extracted]:
        shown: tuple[Transform, ...] = (Transform.of(job.recipe),)
        if role == "train":
            # A classifier that others are tested with has numbers of its own.
            trained = Transform.of(probe_of(job.recipe) or job.recipe)
            shown = trained.training_views(views_of(job.recipe, self._options))
        return [self._extract(job, part, transform) for transform in shown]

    def _extract(self, job: Job, part: Examples, transform: Transform) -> Extracted:
        taps = taps_of(job.recipe)
        key = (part.digest, transform.digest(), taps)
        if key not in self._found:
            told = self._options
            folder = Path(told.cache or Path(told.output) / "features")
            extraction = Extraction(folder, told.batch, told.workers, f"{job.name} {part.part}")
            self._found[key] = extract(self._encoder, part, transform, taps, extraction)
        return self._found[key]


def probe_of(recipe: Recipe) -> LinearProbe | None:
    """The linear classifier that a protocol trains, if it does."""
    probe = recipe if isinstance(recipe, LinearProbe) else getattr(recipe, "probe", None)
    return probe if isinstance(probe, LinearProbe) else None


def views_of(recipe: Recipe, options: EvaluateOptions) -> int:
    """How many random views of a training image a protocol's classifier sees; 0: the middle."""
    return options.views if probe_of(recipe) else 0


def taps_of(recipe: Recipe) -> tuple[str, ...]:
    """All taps that a protocol or its classifier looks at."""
    probe = probe_of(recipe)
    return tuple(dict.fromkeys((*recipe.taps, *(probe.taps if probe else ()))))


def joined(parts: Mapping[str, Features]) -> Features:
    """Several parts as one, with the field `part`; one alone as it is, in no more memory."""
    if len(parts) == 1:
        return next(iter(parts.values()))
    found = list(parts.values())
    # What is known of no image of a part, such as originals of originals, is known of the others.
    known = dict.fromkeys(name for one in found for name in one.fields)
    fields: dict[str, Sequence[object]] = {
        name: [value for one in found for value in one.fields.get(name, [None] * len(one))]
        for name in known
    }
    fields[PART] = [name for name, one in parts.items() for _ in one.names]
    return Features(
        [name for one in found for name in one.names],
        {tap: torch.cat([one.taps[tap] for one in found]) for tap in found[0].taps},
        fields,
    )
