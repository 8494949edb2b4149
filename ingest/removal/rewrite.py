"""One shard without its removed samples: new shard, ledger part and plan part beside the old ones.

A sample that was removed on request leaves no trace but its id, source, row and outcome: no URL, no
digest, no picture, in whatever generation it stands. A copy of an evaluation image keeps its
provenance, as those do that were found in the build.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingest import storage
from ingest.audit.leaves import kept_rows, rows_of
from ingest.errors import SetupError
from ingest.pack.commit import check_conservation, read_commit, write_shard
from ingest.pack.sample import Sample
from ingest.pack.tally import count_copies, count_outcomes
from schemas.arrow import Record, parquet_bytes, read_parquet_bytes
from schemas.candidate import Candidate
from schemas.ledger import LedgerRow
from schemas.manifest import Commit, content_path, digest
from schemas.merkle import merkle_root
from schemas.options import PackOptions
from schemas.outcome import Outcome
from schemas.removal import RemovedSample, salted
from schemas.tombstone import Tombstone

# What is left of a candidate that was removed on request; columns that may be null become so.
_LEFT = {"id", "source", "row", "carrier", "generation", "outcome", "detail", "shard", "attempts"}

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Rewriter:
    """Writes shards anew; it may be sent to workers, and may run twice for one.

    tombstones: of the samples of each shard. blanked: ids in each shard, of any generation, of what
    was removed on request. staging: what the names of the results begin with, by which an
    interrupted run goes on.
    """

    dataset: str
    salt: str
    staging: str
    options: PackOptions
    tombstones: Mapping[int, Mapping[str, Tombstone]] = field(repr=False)
    blanked: Mapping[int, frozenset[str]] = field(repr=False)

    def __call__(self, shard: int) -> bytes:
        """JSON: the new commit and what was taken out; empty if nothing of the shard changes.

        Raises SetupError if the shard is not what its commit says.
        """
        place = storage.join(self.dataset, staged_path(self.staging, shard))
        try:
            return storage.read_bytes(place)
        except FileNotFoundError:
            found = self._rewrite(shard)
        if found:
            storage.write_bytes(place, found)
        return found

    def _rewrite(self, shard: int) -> bytes:
        commit = read_commit(self.dataset, shard)
        if commit is None:
            raise SetupError(f"expected a finished dataset, shard {shard} of {self.dataset} is not")
        ledger = self._read(commit.ledger_file, commit.ledger_sha256)
        tombstones = self.tombstones.get(shard, {})
        blank = _places(ledger, self.blanked.get(shard, frozenset()))
        if not tombstones and not blank.any():
            return b""
        removed = _check_removed(commit, ledger, tombstones)
        changes: dict[str, Any] = {}
        if tombstones:
            ledger = take_out(ledger, tombstones)
            ledger, changes = self._write_shard(commit, ledger)
        if blank.any():
            plan = self._read(commit.plan_file, commit.plan_sha256)
            plan = blank_rows(plan, Candidate, _places(plan, self.blanked[shard]))
            changes |= self._write_table("plan", shard, plan)
        changes |= self._write_table("ledger", shard, blank_rows(ledger, LedgerRow, blank))
        new = commit.model_copy(update=changes)
        check_conservation(new)
        gone = [self._digests(shard, row, tombstones[row["id"]]) for row in removed]
        return orjson.dumps(
            {"commit": new.model_dump(mode="json"), "removed": [one.model_dump() for one in gone]}
        )

    def _read(self, path: str, sha256: str) -> pa.Table:
        content = storage.read_bytes(storage.join(self.dataset, path))
        if digest(content) != sha256:
            raise SetupError(
                f"{path}: expected sha256 {sha256}, got {digest(content)}: audit first"
            )
        return read_parquet_bytes(content)

    def _write_shard(self, commit: Commit, ledger: pa.Table) -> tuple[pa.Table, dict[str, Any]]:
        """The ledger with the new offsets, and what changes in the commit."""
        kept = kept_rows(ledger)
        with storage.open_input(storage.join(self.dataset, commit.shard_file)) as file:
            samples = read_samples(file, kept, commit.shard_file)
            path, written = write_shard(samples, commit.shard, self.dataset, self.options)
        offsets = dict(zip(kept["id"].to_pylist(), written.offsets, strict=True))
        ledger = _with_offsets(ledger, offsets)
        words = ledger["outcome"].to_pylist()
        ends = list(zip(words, ledger["nearest_eval"].to_pylist(), strict=True))
        return ledger, {
            "shard_file": path,
            "shard_bytes": written.num_bytes,
            "shard_sha256": written.sha256,
            "num_kept": kept.num_rows,
            "image_bytes": pc.sum(kept["length_bytes"]).as_py() or 0,
            "outcomes": count_outcomes(words),
            "exact_copies": count_copies(ends, Outcome.DUPLICATE_EXACT),
            "near_copies": count_copies(ends, Outcome.DUPLICATE_NEAR),
            "merkle_root": merkle_root(written.leaves).hex(),
        }

    def _write_table(self, kind: str, shard: int, table: pa.Table) -> dict[str, Any]:
        content = parquet_bytes(table)
        path = content_path(kind, shard, digest(content), "parquet")
        storage.write_bytes(storage.join(self.dataset, path), content)
        sizes = {"ledger_bytes": len(content)} if kind == "ledger" else {}
        return {f"{kind}_file": path, f"{kind}_sha256": digest(content), **sizes}

    def _digests(self, shard: int, row: dict[str, Any], tombstone: Tombstone) -> RemovedSample:
        return RemovedSample(
            shard=shard,
            outcome=tombstone.outcome,
            id_digest=salted(self.salt, row["id"].encode()),
            image_digest=salted(self.salt, bytes.fromhex(row["sha256"])),
            url_digest=salted(self.salt, row["url"].encode("utf-8", "surrogatepass")),
            offset_bytes=row["offset_bytes"],
            length_bytes=row["length_bytes"],
        )


def staged_path(staging: str, shard: int) -> str:
    """Path of the result of one shard in its dataset."""
    return f"{staging}-{shard:05d}.json"


def take_out(ledger: pa.Table, tombstones: Mapping[str, Tombstone]) -> pa.Table:
    """A ledger part whose samples with tombstones are kept no longer."""
    ids = ledger["id"].to_pylist()
    gone = pa.array([one in tombstones for one in ids])
    for name in ("offset_bytes", "length_bytes"):
        ledger = _replaced(ledger, name, pc.if_else(gone, None, ledger[name]))
    names = [name for name in Tombstone.model_fields if name not in ("id", "shard")]
    for name in names:
        told = [getattr(tombstones[one], name) if one in tombstones else None for one in ids]
        values = pa.array(told, ledger.schema.field(name).type)
        ledger = _replaced(ledger, name, pc.if_else(gone, values, ledger[name]))
    return ledger


def blank_rows(table: pa.Table, record: type[Record], blank: Flags) -> pa.Table:
    """A table of these records in which nothing but `_LEFT` is left of some rows."""
    if not blank.any():
        return table
    mask = pa.array(blank)
    for field_ in record.arrow_schema():
        if field_.name in _LEFT:
            continue
        nothing: Any = [] if pa.types.is_list(field_.type) else ""
        value = pa.scalar(None if field_.nullable else nothing, field_.type)
        column = table[field_.name].combine_chunks()
        table = _replaced(table, field_.name, pc.if_else(mask, value, column))
    return table


def read_samples(file: IO[bytes], kept: pa.Table, name: str) -> Iterator[Sample]:
    """The samples of a shard of any format, those of some ledger rows in the order of their bytes.

    Raises SetupError if the bytes are not those of the ledger.
    """
    for row in rows_of(kept):
        file.seek(row["offset_bytes"])
        image = file.read(row["length_bytes"])
        if digest(image) != row["sha256"]:
            raise SetupError(
                f"{name}, sample {row['id']}: expected sha256 {row['sha256']}, got "
                f"{digest(image)}: audit first"
            )
        yield Sample.of_row(row, image)


def _check_removed(
    commit: Commit, ledger: pa.Table, tombstones: Mapping[str, Tombstone]
) -> list[dict[str, Any]]:
    """The ledger rows of the samples with tombstones, all of which must be in the shard."""
    kept = [row for row in rows_of(kept_rows(ledger)) if row["id"] in tombstones]
    if len(kept) != len(tombstones):
        missing = sorted(tombstones.keys() - {row["id"] for row in kept})
        raise SetupError(
            f"{commit.shard_file}: expected {len(tombstones)} samples that have a tombstone, got "
            f"{len(kept)}; not there: {', '.join(missing[:5])}"
        )
    return kept


def _places(table: pa.Table, ids: frozenset[str]) -> Flags:
    return np.array([one in ids for one in table["id"].to_pylist()], np.bool_)


def _with_offsets(ledger: pa.Table, offsets: Mapping[str, int]) -> pa.Table:
    placed = [offsets.get(one) for one in ledger["id"].to_pylist()]
    values = pa.array(placed, ledger.schema.field("offset_bytes").type)
    return _replaced(ledger, "offset_bytes", values)


def _replaced(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
