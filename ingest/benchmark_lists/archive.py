"""The folder of a benchmark as its official archives extract to it."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ingest import storage
from ingest.errors import SetupError
from schemas.benchmarks.model import Benchmark

# By the name that the annotations have for an image: the columns of its row, the same of each.
Rows = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Archive:
    """What a reader of annotations is given. images: of this split, paths below `folder`.

    All methods raise SetupError that names what was expected and what is there; OSError if a file
    cannot be read.
    """

    benchmark: Benchmark
    split: str
    folder: str
    images: Sequence[str]

    def find(self, *places: str) -> str:
        """The URI of the first of these files or folders that is there."""
        for place in places:
            uri = storage.join(self.folder, place)
            if storage.exists(uri):
                return uri
        expected = places[0] if len(places) == 1 else f"one of {', '.join(places)}"
        raise SetupError(
            f"{self.benchmark.id}/{self.split}: expected the annotations {expected} below "
            f"{self.folder}, got none"
        )

    def read(self, *places: str) -> tuple[str, bytes]:
        """The first of these files that is there, and its content."""
        uri = self.find(*places)
        return uri, storage.read_bytes(uri)

    def read_text(self, *places: str) -> tuple[str, str]:
        """As `read`, of a text in UTF-8."""
        uri, content = self.read(*places)
        try:
            return uri, content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SetupError(f"{uri}: expected text in UTF-8, got {error}") from error

    def read_json(self, *places: str) -> tuple[str, Any]:
        """As `read`, of a JSON document."""
        uri, content = self.read(*places)
        try:
            return uri, orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise SetupError(f"{uri}: expected JSON, got {error}") from error

    def read_table(self, *places: str) -> tuple[str, list[dict[str, str]]]:
        """As `read`, of CSV: a row for each line after the first, which names the columns."""
        uri, text = self.read_text(*places)
        try:
            found = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        except csv.Error as error:
            raise broken(uri, "CSV", error) from error
        if not found or any(None in one or None in one.values() for one in found):
            raise SetupError(f"{uri}: expected rows as long as the first line, got others, or none")
        return uri, found


Reader = Callable[[Archive], Rows]


def broken(uri: str, expected: str, error: Exception) -> SetupError:
    """The error of a file that is not what it must be."""
    return SetupError(f"{uri}: expected {expected}, got {type(error).__name__}: {error}")
