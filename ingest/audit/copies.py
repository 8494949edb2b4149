"""The removed copies of a dataset, and all that came near, out of its ledgers."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from ingest.pack.ledger_parts import read_parts
from ingest.pack.seal import read_manifest
from schemas.outcome import Outcome

_COLUMNS = [
    *("id", "url", "outcome", "nearest_eval", "nearest_eval_variant", "nearest_eval_view"),
    *("nearest_eval_distance", "nearest_eval_correlation", "thumbnail", "preview"),
]


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
    paths = (commit.ledger_file for commit in read_manifest(dataset))
    for _, table in read_parts(dataset, paths, _COLUMNS):
        near = table.filter(pc.is_valid(table["nearest_eval"]))
        columns = [near[name].to_pylist() for name in _COLUMNS]
        for sample_id, url, outcome, *rest in zip(*columns, strict=True):
            yield NearImage(sample_id, url, Outcome(outcome), *rest)
