"""Samples to take out -> tombstones, which every reader obeys at once, and a record of why."""

import re
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import orjson
import pyarrow.compute as pc

from ingest import storage
from ingest.errors import SetupError
from ingest.pack.commit import read_commit
from ingest.pack.ledger_parts import read_parts
from ingest.removal.criteria import COLUMNS, Criteria
from ingest.sources.dataset import read_tombstones
from schemas.arrow import parquet_bytes
from schemas.audit_options import RemoveOptions
from schemas.manifest import DatasetRecord, decode, digest, encode
from schemas.outcome import Outcome
from schemas.removal import (
    CROISSANT_FILE,
    REMOVALS,
    REPORT,
    Criterion,
    Removal,
    removal_path,
    removal_tombstone_path,
    removal_tombstones,
)
from schemas.tombstone import TOMBSTONES, Tombstone

_RECORD = re.compile(r"(\d{4,})\.json", re.ASCII)


@dataclass(frozen=True)
class Finder:
    """Finds the samples of one shard that are to be taken out; it may be sent to workers."""

    dataset: str
    criteria: Criteria
    removed: frozenset[str] = field(repr=False)

    def __call__(self, shard: int) -> bytes:
        """JSON: ids of new finds with the kinds that found them, how many each found, and again."""
        commit = read_commit(self.dataset, shard)
        if commit is None:
            raise SetupError(f"expected a finished dataset, shard {shard} of {self.dataset} is not")
        ((_, ledger),) = read_parts(self.dataset, [commit.ledger_file], COLUMNS)
        kept = ledger.filter(pc.equal(ledger["outcome"], Outcome.KEPT.value))
        found = self.criteria.find(kept)
        ids = kept["id"].to_pylist()
        kinds: dict[str, list[str]] = {}
        for kind, flags in found.items():
            for place in np.flatnonzero(flags):
                kinds.setdefault(ids[place], []).append(kind)
        return orjson.dumps(
            {
                "new": {one: why for one, why in kinds.items() if one not in self.removed},
                "again": sum(one in self.removed for one in kinds),
                "found": {kind: int(flags.sum()) for kind, flags in found.items()},
            }
        )


def record_removal(
    options: RemoveOptions,
    seal: DatasetRecord,
    criteria: Criteria,
    found: Iterable[tuple[int, bytes]],
    now: datetime,
) -> Removal:
    """Write the tombstones of what was found in each shard, then the record; the record.

    Writes nothing if only asked to count. Raises SetupError if another removal was recorded
    meanwhile.
    """
    number = _next_number(options.dataset)
    counts: Counter[str] = Counter()
    files: dict[str, bytes] = {}
    salt = secrets.token_hex(16)
    num_new = num_again = 0
    for shard, content in found:
        one = orjson.loads(content)
        counts.update(one["found"])
        num_new, num_again = num_new + len(one["new"]), num_again + one["again"]
        if one["new"]:
            path = removal_tombstone_path(number, salt, shard)
            files[path] = _tombstones(options, number, shard, one["new"])
    record = Removal(
        removal=number,
        merkle_root=seal.merkle_root,
        reason=options.reason,
        authority=options.authority,
        recorded_at=now.isoformat(timespec="seconds"),
        criteria={
            kind: Criterion(
                num_values=len(values),
                values_sha256=criteria.digest(kind, salt),
                num_found=counts[kind],
            )
            for kind, values in criteria.values.items()
        },
        phash_radius=criteria.phash_radius if "phash" in criteria.values else None,
        salt=salt,
        num_removed=num_new,
        num_before=num_again,
        tombstone_files={path: digest(content) for path, content in files.items()},
    )
    if not options.dry_run:
        _write(options.dataset, record, files)
    return record


def removed_ids(dataset: str) -> frozenset[str]:
    """Ids that have a tombstone already; raises SetupError for a file that holds none.

    Not those of an attempt that was cut off: what it has left goes with the next record.
    """
    return frozenset(read_tombstones(dataset, removal_tombstones(_next_number(dataset))))


def _next_number(dataset: str) -> int:
    return 1 + max(list_removals(dataset), default=0)


def list_removals(dataset: str) -> list[int]:
    """The numbers of all recorded removals."""
    names = map(_RECORD.fullmatch, storage.list_names(storage.join(dataset, REMOVALS)))
    return sorted(int(name[1]) for name in names if name)


def read_removals(dataset: str) -> list[Removal]:
    """The records of all requests, in order."""
    paths = [removal_path(number) for number in list_removals(dataset)]
    return [decode(Removal, storage.read_bytes(storage.join(dataset, one))) for one in paths]


def forget_report(dataset: str) -> None:
    """Delete page and papers of a dataset: they may show what is removed; `report` makes others."""
    folder = storage.join(dataset, REPORT)
    for path in storage.list_files(folder):
        storage.remove(storage.join(folder, path))
    storage.remove(storage.join(dataset, CROISSANT_FILE))


def _write(dataset: str, record: Removal, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        storage.write_bytes(storage.join(dataset, path), content)
    if not storage.create_bytes(
        storage.join(dataset, removal_path(record.removal)), encode(record)
    ):
        for path in files:
            storage.remove(storage.join(dataset, path))
        raise SetupError(
            f"expected to record removal {record.removal} of {dataset}, got another one of that "
            "number meanwhile: run the command again"
        )
    if record.num_removed:
        forget_report(dataset)
    # What an attempt that was cut off has left under our number is named by no record.
    for name in storage.list_names(storage.join(dataset, TOMBSTONES)):
        path = f"{TOMBSTONES}/{name}"
        if path.startswith(removal_tombstones(record.removal)) and path not in files:
            storage.remove(storage.join(dataset, path))


def _tombstones(
    options: RemoveOptions, number: int, shard: int, found: dict[str, list[str]]
) -> bytes:
    blank = dict.fromkeys(name for name in Tombstone.model_fields if name.startswith("nearest"))
    rows = [
        Tombstone(
            id=sample_id,
            shard=shard,
            outcome=Outcome.REMOVED,
            detail=f"removal {number}, by {', '.join(kinds)}: {options.reason}",
            **blank,
        )
        for sample_id, kinds in found.items()
    ]
    return parquet_bytes(Tombstone.to_table(rows))
