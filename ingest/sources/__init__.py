"""Where candidates come from, one file for each kind: `url_table`, `folder`."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from ingest import storage
from ingest.errors import SetupError
from ingest.sources import folder, url_table
from schemas.candidate import Candidate
from schemas.options import PlanOptions

_LOCAL = "file://"


def expand_inputs(options: PlanOptions) -> list[str]:
    """The sorted URIs of all inputs; raises SetupError for nothing, or no known kind, at one."""
    by_place: dict[str, str] = {}
    for pattern in options.input:
        uris = _expand(pattern)
        if not uris:
            raise SetupError(f"--input: expected a file, folder or glob, got nothing at {pattern}")
        for uri in uris:
            # Two spellings of one place would plan its rows twice.
            place = _place(uri)
            by_place[place] = min(uri, by_place.get(place, uri), key=lambda one: (len(one), one))
    for uri in by_place.values():
        if not storage.is_folder(uri):
            url_table.table_kind(uri)
    return sorted(by_place.values())


def count_rows(uri: str, options: PlanOptions) -> int:
    """The number of candidates of one input, without making them; for parquet from its footer."""
    if storage.is_folder(uri):
        return sum(len(batch) for batch in folder.read_folder(uri))
    return url_table.count_table(uri, options.url_column)


def read_ids(uri: str, options: PlanOptions) -> Iterator[str]:
    """The ids of the candidates of one input, in row order, without making them."""
    if storage.is_folder(uri):
        return (one.id for batch in folder.read_folder(uri) for one in batch)
    return url_table.read_ids(uri, options.url_column)


def read_urls(uri: str, options: PlanOptions) -> Iterator[pa.Array]:
    """The URLs of one input in row order, as string arrays; none for a folder of images."""
    return iter(()) if storage.is_folder(uri) else url_table.read_urls(uri, options.url_column)


def read_candidates(uri: str, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The candidates of one input in row order, in batches; nothing is loaded whole."""
    if storage.is_folder(uri):
        return folder.read_folder(uri)
    return url_table.read_table(uri, options.url_column)


def _expand(pattern: str) -> list[str]:
    """What an input names; a name with `[` in it may be a glob or the very name of a file."""
    try:
        found = [pattern] if storage.exists(pattern) else storage.expand(pattern)
        return [_trimmed(uri) for uri in found if storage.exists(uri)]
    except (ValueError, ImportError) as error:
        raise SetupError(
            f"--input: expected a URI that fsspec opens, got {pattern}: {error}"
        ) from (error)


def _trimmed(uri: str) -> str:
    """The URI without slashes at its end: ids must not depend on them."""
    trimmed = uri.rstrip("/")
    return uri if trimmed in ("", uri.partition("//")[0]) else trimmed


def _place(uri: str) -> str:
    path = uri.removeprefix(_LOCAL)
    return path if "://" in path else str(Path(path).absolute())
