"""What is to be evaluated: benchmarks that are there, each by each of its protocols."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from schemas.benchmarks import (
    RegistryError,
    expect_known_others,
    load_benchmarks,
    read_benchmark,
)
from schemas.benchmarks.model import Benchmark
from schemas.benchmarks.needed_facts import facts_needed
from schemas.benchmarks.recipes import Recipe
from schemas.benchmarks.vocabulary import Category, Protocol
from train_entry.errors import ConfigError, DataError
from train_entry.evaluation.examples import Examples, read_part
from train_entry.evaluation.options import EvaluateOptions
from train_entry.evaluation.protocols import expect_possible
from train_entry.store import Store, StoreError

# Roles that make a protocol better, and may be missing.
_OPTIONAL = frozenset({"val", "reference", "distractors", "whitening"})
Parts = Mapping[str, tuple[Examples, ...]]


@dataclass(frozen=True)
class Job:
    """One benchmark by one protocol.

    parts: by role, the images of each part. absent: roles that it does without, with the reason.
    """

    benchmark: Benchmark
    protocol: Protocol
    recipe: Recipe
    parts: Parts
    absent: Mapping[str, str]

    @property
    def name(self) -> str:
        """What its result is called; names of files may have it."""
        return f"{self.benchmark.id}--{self.protocol}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the protocol and of which images it is about."""
        told = [self.benchmark.protocol_sha256(self.protocol)]
        for role, parts in sorted(self.parts.items()):
            told += [f"{role} {one.part} {one.digest}" for one in parts]
        return sha256("\n".join(told).encode()).hexdigest()


def known_benchmarks(definitions: Iterable[str]) -> dict[str, Benchmark]:
    """The registry, and benchmarks of one's own; raises ConfigError."""
    known = dict(load_benchmarks())
    for path in map(Path, definitions):
        try:
            found = read_benchmark(path.name, path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, RegistryError) as error:
            raise ConfigError(f"{path}: expected the definition of a benchmark: {error}") from error
        if found.id in known:
            raise ConfigError(f"{path}: expected an id of its own, got {found.id}, which is taken")
        known[found.id] = found
    try:
        expect_known_others(known)
    except RegistryError as error:
        raise ConfigError(str(error)) from error
    return known


def chosen_benchmarks(known: Mapping[str, Benchmark], options: EvaluateOptions) -> list[Benchmark]:
    """Those that are named by id or category, else all that have a folder below the root.

    Raises ConfigError for a name that is neither, or a root that cannot be listed.
    """
    if not options.benchmarks:
        try:
            present = set(Store(options.root).names(""))
        except (OSError, StoreError) as error:
            raise ConfigError(f"root: expected a folder of benchmarks: {error}") from error
        return [one for one in known.values() if one.id in present and one.protocols]
    found: dict[str, Benchmark] = {}
    for name in options.benchmarks:
        named = [one for one in known.values() if name in (one.id, one.category) and one.protocols]
        if name in known and not named:
            raise ConfigError(f"{name}: not evaluated: {known[name].not_evaluated}")
        if not named:
            categories = ", ".join(Category)
            raise ConfigError(
                f"benchmarks: expected ids (`uncurated benchmarks list`) or categories "
                f"({categories}), got {name!r}"
            )
        found |= {one.id: one for one in named}
    return list(found.values())


def plan_jobs(
    known: Mapping[str, Benchmark], options: EvaluateOptions
) -> tuple[list[Job], dict[str, str]]:
    """The jobs whose images are there, and why others cannot be done; raises ConfigError."""
    jobs: list[Job] = []
    missing: dict[str, str] = {}
    reader = _Reader(known, options.root)
    protocols = _chosen_protocols(options.protocols)
    for benchmark in chosen_benchmarks(known, options):
        for protocol in benchmark.protocols:
            if protocol not in protocols:
                continue
            try:
                jobs.append(reader.job(benchmark, protocol))
            except DataError as error:
                missing[f"{benchmark.id}--{protocol}"] = str(error)
    return jobs, missing


def _chosen_protocols(names: Sequence[str]) -> list[Protocol]:
    strangers = [name for name in names if name not in list(Protocol)]
    if strangers:
        raise ConfigError(f"protocols: expected {', '.join(Protocol)}, got {', '.join(strangers)}")
    return [Protocol(name) for name in names] or list(Protocol)


class _Reader:
    """Reads each part of each benchmark once."""

    def __init__(self, known: Mapping[str, Benchmark], root: str) -> None:
        self._known, self._root = known, root
        self._read: dict[tuple[str, str, tuple[str, ...]], Examples] = {}

    def job(self, benchmark: Benchmark, protocol: Protocol) -> Job:
        """A benchmark's images by role.

        Raises DataError if some are not there, ConfigError for a recipe that cannot be followed.
        """
        recipe = benchmark.recipe_of(protocol)
        try:
            expect_possible(recipe)
        except ConfigError as error:
            raise ConfigError(f"{benchmark.id}: recipe.{protocol}: {error}") from error
        parts: dict[str, tuple[Examples, ...]] = {}
        absent: dict[str, str] = {}
        for role, names in benchmark.roles_of(protocol).items():
            facts = facts_needed(recipe, protocol, role)
            try:
                parts[role] = tuple(self._part(benchmark, name, facts) for name in names)
            except DataError as error:
                if role not in _OPTIONAL:
                    raise
                absent[role] = str(error)
        return Job(benchmark, protocol, recipe, parts, absent)

    def _part(self, benchmark: Benchmark, name: str, facts: tuple[str, ...]) -> Examples:
        """A part of a benchmark, or of another one: `id:part`."""
        other, _, part = name.rpartition(":")
        of = self._known[other] if other else benchmark
        key = (of.id, part, facts)
        if key not in self._read:
            self._read[key] = read_part(of, part, self._root, facts)
        return self._read[key]
