"""What became of the sample: its ledger, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ingest import storage
from ingest.errors import UrlError
from ingest.fetch.url import canonical_url, host_of
from ingest.forecast.interval import Clusters
from schemas.candidate import Carrier
from schemas.manifest import Commit
from schemas.outcome import Outcome

_COLUMNS = ["url", "carrier", "outcome", "redirects", "attempts", "num_bytes", "length_bytes"]


@dataclass(frozen=True)
class Sample:
    """The candidates of a sample in the order of the ledger; all arrays are [N]."""

    hosts: list[str | None]
    outcomes: NDArray[np.str_]
    requests: NDArray[np.int64]
    received_bytes: NDArray[np.float64]
    stored_bytes: NDArray[np.float64]
    clusters: Clusters


@dataclass(frozen=True)
class Effort:
    """What building something took."""

    cpu_s: float
    wall_s: float


def read_sample(dataset: str, commits: Sequence[Commit]) -> Sample:
    """The sample that these commits hold; at least one candidate must be in it."""
    tables = []
    for commit in commits:
        with storage.open_input(storage.join(dataset, commit.ledger_file)) as file:
            tables.append(pq.read_table(file, columns=_COLUMNS, use_threads=False))
    table = pa.concat_tables(tables)
    rows = table.select(["url", "carrier", "redirects", "attempts"]).to_pylist()
    hosts = [url_host(row["url"]) if row["carrier"] == Carrier.URL else None for row in rows]
    return Sample(
        hosts=hosts,
        outcomes=np.array(table["outcome"].to_pylist(), dtype=np.str_),
        requests=np.array(
            [
                row["attempts"] + sum(url_host(url) == host for url in row["redirects"])
                for row, host in zip(rows, hosts, strict=True)
            ],
            dtype=np.int64,
        ),
        received_bytes=_numbers(table["num_bytes"]),
        stored_bytes=_stored_bytes(table, commits),
        clusters=Clusters.of(hosts),
    )


def url_host(url: str) -> str | None:
    """The host of a URL as given; None if it has none."""
    try:
        return host_of(canonical_url(url))
    except UrlError:
        return None


def _stored_bytes(table: pa.Table, commits: Sequence[Commit]) -> NDArray[np.float64]:
    """Bytes that each candidate takes: of a kept one its image, and its share of all around it."""
    kept_N = np.array(table["outcome"].to_pylist()) == Outcome.KEPT
    around = sum(one.shard_bytes - one.image_bytes for one in commits)
    ledgers = sum(one.ledger_bytes for one in commits)
    lengths_N = _numbers(table["length_bytes"])
    overheads_N: NDArray[np.float64] = np.where(kept_N, around / max(1, int(kept_N.sum())), 0.0)
    return lengths_N + overheads_N + ledgers / len(kept_N)


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """A column of numbers that may be null, as float64 [N] with 0 for null."""
    return np.array(column.fill_null(0).to_pylist(), dtype=np.float64)
