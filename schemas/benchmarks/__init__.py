"""The registry of benchmarks: one TOML file each, loaded and validated here.

`python -m schemas` writes README.md of this folder from the files; `vocabulary` has the words that
they may use, `model` their fields.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from schemas.benchmarks.model import Benchmark

_SUFFIX = ".toml"


class RegistryError(ValueError):
    """A benchmark is not known, or its file is wrong; the message names both sides."""


@cache
def load_benchmarks() -> Mapping[str, Benchmark]:
    """All benchmarks by id, sorted; raises RegistryError if a file is wrong."""
    entries = [entry for entry in files(__name__).iterdir() if entry.name.endswith(_SUFFIX)]
    return read_registry((entry.name, entry.read_text("utf-8")) for entry in entries)


def benchmark(name: str) -> Benchmark:
    """The benchmark with this id; raises RegistryError that names the ids most like it."""
    known = load_benchmarks()
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    raise RegistryError(f"expected one of {len(known)} benchmarks, got {name!r}{hint}")


def read_registry(documents: Iterable[tuple[str, str]]) -> Mapping[str, Benchmark]:
    """The benchmarks of (file name, TOML text), by id, sorted; raises RegistryError."""
    found = [read_benchmark(name, text) for name, text in documents]
    by_id = {one.id: one for one in sorted(found, key=lambda one: one.id)}
    expect_known_others(by_id)
    return MappingProxyType(by_id)


def expect_known_others(known: Mapping[str, Benchmark]) -> None:
    """Raise RegistryError if one of these speaks of a benchmark that is none of them."""
    for one in known.values():
        named = {"shares_images_with": set(one.shares_images_with)}
        for protocol in one.protocols:
            parts = {part for told in one.roles_of(protocol).values() for part in told}
            named[f"recipe.{protocol}"] = {part.partition(":")[0] for part in parts if ":" in part}
        for field, names in named.items():
            strangers = sorted(names - known.keys())
            if strangers:
                raise RegistryError(
                    f"{one.id}{_SUFFIX}: {field}: expected ids of the registry, "
                    f"got {', '.join(strangers)}"
                )


def read_benchmark(file_name: str, text: str) -> Benchmark:
    """The benchmark that a file describes; raises RegistryError with file, field and both sides."""
    try:
        # By way of JSON, because strict validation of Python values takes no list for a tuple.
        found = Benchmark.model_validate_json(json.dumps(tomllib.loads(text), default=str))
    except tomllib.TOMLDecodeError as error:
        raise RegistryError(f"{file_name}: expected TOML, got {error}") from error
    except ValidationError as error:
        raise RegistryError("; ".join(_sentences(file_name, error))) from error
    if found.id != Path(file_name).stem:
        raise RegistryError(
            f"{file_name}: id: expected {Path(file_name).stem!r} as the file is named, "
            f"got {found.id!r}"
        )
    return found


def _sentences(file_name: str, error: ValidationError) -> Iterable[str]:
    for one in error.errors():
        field = ".".join(str(part) for part in one["loc"])
        problem = one["msg"].removeprefix("Value error, ")
        got = "" if one["type"] in ("value_error", "missing") else f", got {one['input']!r}"
        yield f"{file_name}: " + (f"{field}: " if field else "") + problem + got
