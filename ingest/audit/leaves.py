"""The Merkle leaves of a shard out of its ledger part alone: no byte of the shard is read."""

import re
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.pack.provenance import COLUMNS, SAMPLE_FIELDS, provenance_json
from schemas.merkle import sample_leaf
from schemas.outcome import Outcome

# What a ledger part must have for that.
LEAF_COLUMNS = (*SAMPLE_FIELDS, COLUMNS, "outcome", "offset_bytes", "length_bytes")
# Rows that are plain values at once: those of a whole shard take tens of MB.
_ROWS_AT_ONCE = 1000
_DIGITS = {"id": 32, "sha256": 64}
_FORMS = {name: re.compile(f"[0-9a-f]{{{count}}}") for name, count in _DIGITS.items()}


def kept_rows(ledger: pa.Table) -> pa.Table:
    """The rows of the kept samples of a ledger part, in the order of their bytes in the shard."""
    kept = ledger.filter(pc.equal(ledger["outcome"], Outcome.KEPT.value))
    return kept.take(pc.sort_indices(kept["offset_bytes"]))


def ledger_leaves(ledger: pa.Table) -> list[bytes]:
    """The 32-byte leaves of a shard's samples in shard order, so its Merkle tree.

    ledger: a whole ledger part, with `LEAF_COLUMNS` at least. Raises ValueError for a kept row
    whose id or SHA-256 is none.
    """
    kept = kept_rows(ledger.select(list(LEAF_COLUMNS)))
    return [leaf_of_row(row) for row in rows_of(kept)]


def rows_of(kept: pa.Table, names: Sequence[str] = LEAF_COLUMNS) -> Iterator[dict[str, Any]]:
    """These columns of the rows of a table as plain values, a piece at a time."""
    for batch in kept.select(list(names)).to_batches(max_chunksize=_ROWS_AT_ONCE):
        columns = [batch[name].to_pylist() for name in names]
        yield from (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))


def leaf_of_row(row: dict[str, Any]) -> bytes:
    """The 32-byte leaf of a kept sample; raises ValueError if its id or SHA-256 is none."""
    for name, form in _FORMS.items():
        if not form.fullmatch(row[name] or ""):
            raise ValueError(
                f"sample {row['id']!r}: {name}: expected {_DIGITS[name]} hex digits, "
                f"got {row[name]!r}"
            )
    json_sha256 = sha256(provenance_json(row)).digest()
    return sample_leaf(row["id"], bytes.fromhex(row["sha256"]), json_sha256)
