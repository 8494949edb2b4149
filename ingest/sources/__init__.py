"""Where candidates come from, one file for each kind: `url_table`, `folder`."""

from collections.abc import Iterator

from ingest import storage
from ingest.errors import SetupError
from ingest.sources import folder, url_table
from schemas.candidate import Candidate
from schemas.options import PlanOptions


def expand_inputs(options: PlanOptions) -> list[str]:
    """The sorted URIs of all inputs; raises SetupError for nothing, or no known kind, at one."""
    found: set[str] = set()
    for pattern in options.input:
        uris = [uri for uri in storage.expand(pattern) if storage.exists(uri)]
        if not uris:
            raise SetupError(f"--input: expected a file, folder or glob, got nothing at {pattern}")
        found.update(uris)
    for uri in found:
        if not storage.is_folder(uri):
            url_table.table_kind(uri)
    return sorted(found)


def read_candidates(uri: str, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The candidates of one input in row order, in batches; nothing is loaded whole."""
    if storage.is_folder(uri):
        return folder.read_folder(uri)
    return url_table.read_table(uri, options.url_column)
