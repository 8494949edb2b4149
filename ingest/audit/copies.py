"""The removed copies of a dataset, and all that came near, out of its ledgers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.pack.seal import read_manifest
from schemas.outcome import Outcome

_COLUMNS = [
    *("id", "url", "outcome", "nearest_eval", "nearest_eval_variant", "nearest_eval_view"),
    *("nearest_eval_distance", "nearest_eval_correlation", "thumbnail", "preview"),
]
_READERS = 8


@dataclass(frozen=True)
class NearImage:
    """A crawled image near an evaluation image; `outcome` tells whether it was removed for that."""

    id: str
    url: str
    outcome: Outcome
    name: str
    variant: str
    view: str
    distance: int
    correlation: float | None
    thumbnail: bytes | None
    preview: bytes | None

    @property
    def is_copy(self) -> bool:
        """Whether it was removed as a copy."""
        return self.outcome in (Outcome.DUPLICATE_EXACT, Outcome.DUPLICATE_NEAR)


def read_near_images(dataset: str) -> Iterator[NearImage]:
    """All images of a finished dataset that an evaluation image was near, in ledger order.

    Raises SetupError if a ledger part is missing.
    """
    paths = [commit.ledger_file for commit in read_manifest(dataset)]
    with ThreadPoolExecutor(_READERS) as pool:
        for rows in pool.map(lambda path: _read_part(dataset, path), paths):
            yield from rows


def _read_part(dataset: str, path: str) -> list[NearImage]:
    try:
        with storage.open_input(storage.join(dataset, path)) as file:
            # Threads of Arrow that hold a Python file may abort the interpreter's exit.
            table = pq.read_table(file, columns=_COLUMNS, use_threads=False, pre_buffer=False)
    except FileNotFoundError as error:
        raise SetupError(f"expected {path} in {dataset}, got no such file") from error
    near = table.filter(pc.is_valid(table["nearest_eval"]))
    columns = [near[name].to_pylist() for name in _COLUMNS]
    return [
        NearImage(sample_id, url, Outcome(outcome), *rest)
        for sample_id, url, outcome, *rest in zip(*columns, strict=True)
    ]
