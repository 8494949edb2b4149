"""A sealed dataset as input, to pack or resize it anew: its samples, less those with a tombstone.

Candidates keep id, source, row and URL, so that a sample can be followed from one to the next.
"""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.pack.commit import read_commits
from ingest.pack.ledger_parts import read_parts
from ingest.pack.seal import read_seal
from ingest.sources.candidates import stretch
from ingest.sources.parquet import opened_parquet
from ingest.sources.piece import Piece
from schemas.candidate import Candidate, Carrier, Reference
from schemas.options import PlanOptions
from schemas.outcome import Outcome
from schemas.tombstone import TOMBSTONES

KIND = "dataset"
_SHARDS = 64
_COLUMNS = [*Reference.model_fields, "outcome", "offset_bytes", "length_bytes"]


def split_dataset(uri: str, options: PlanOptions) -> Iterator[Piece]:
    """Some shards a piece; raises SetupError if the dataset is not finished."""
    seal = read_seal(uri)
    if seal is None:
        raise SetupError(f"{uri}: expected a finished dataset, got none: run `build` first")
    for begin in range(0, seal.num_shards, _SHARDS):
        yield Piece(uri, KIND, begin, min(begin + _SHARDS, seal.num_shards))


def read_dataset(piece: Piece, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The samples of some shards that have no tombstone."""
    removed = read_tombstones(piece.uri)
    try:
        commits = read_commits(piece.uri, range(piece.begin, piece.end))
    except FileNotFoundError as error:
        raise SetupError(f"{piece.uri}: expected a commit of each shard, got {error}") from error
    shard_of = {commit.ledger_file: commit.shard_file for commit in commits}
    for path, ledger in read_parts(piece.uri, shard_of, _COLUMNS):
        samples = _samples(storage.join(piece.uri, shard_of[path]), ledger)
        yield [one for one in samples if one.id not in removed]


def read_tombstones(dataset: str, without: str | None = None) -> set[str]:
    """The ids of all samples that were removed after the fact.

    without: what the paths of tombstones begin with that do not count. Raises SetupError for a
    file that holds none.
    """
    removed: set[str] = set()
    for name in storage.list_names(storage.join(dataset, TOMBSTONES)):
        path = f"{TOMBSTONES}/{name}"
        if without is not None and path.startswith(without):
            continue
        with opened_parquet(storage.join(dataset, path)) as file:
            removed.update(pq.read_table(file, columns=["id"], use_threads=False)["id"].to_pylist())
    return removed


def _samples(shard_uri: str, ledger: pa.Table) -> Iterator[Candidate]:
    for row in ledger.filter(pc.equal(ledger["outcome"], Outcome.KEPT.value)).to_pylist():
        yield Candidate.model_construct(
            id=row["id"],
            source=row["source"],
            row=row["row"],
            url=row["url"],
            carrier=Carrier.FILE,
            stored_in=shard_uri,
            stored_at=stretch(row["offset_bytes"], row["length_bytes"]),
            columns=row["columns"],
            problem=None,
            problem_detail=None,
        )
