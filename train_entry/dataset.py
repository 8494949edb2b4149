"""A sealed dataset as the trainer knows it: shards, where each sample lies, what was removed.

The manifest is enough to begin with. Where the samples of a shard lie stands in its ledger, which
is read when a sample of it is first wanted, and kept in a local table (`sample_table`).
"""

import logging
import os
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from schemas.arrow import read_parquet_bytes
from schemas.manifest import (
    DATASET_FILE,
    MANIFEST_FILE,
    DatasetRecord,
    decode,
    digest,
    former_manifests,
)
from schemas.merkle import dataset_root
from schemas.outcome import Outcome
from schemas.tombstone import TOMBSTONES
from train_entry.errors import DataError
from train_entry.order import Integers
from train_entry.sample_table import Rows, SampleTable
from train_entry.store import Store, StoreError

_LEDGER_COLUMNS = ["id", "outcome", "offset_bytes", "length_bytes"]
_READERS = 16
_log = logging.getLogger(__name__)


class Shard(NamedTuple):
    """What the manifest says of a shard, as far as the trainer needs it."""

    file: str
    num_bytes: int
    num_kept: int
    ledger_file: str
    ledger_sha256: str


class Places(NamedTuple):
    """Of each sample [N]: index, shard, its bytes there, id (16 bytes); length -1: not known."""

    sample: Integers
    shard: Integers
    offset: Integers
    length: Integers
    id: NDArray[np.void]

    def at(self, chosen: slice) -> "Places":
        """Some of the places."""
        return Places(*(one[chosen] for one in self))  # type: ignore[arg-type]  # as they were


class Dataset:
    """A sealed dataset; a sample's index is its number over shards, within a shard by offset.

    It may be handed to other processes, which then see the same tombstones.
    """

    def __init__(self, store: Store, manifest: pa.Table, root: str, key: str, cache: Path) -> None:
        # Shards of both formats may have one root, so the manifest is part of the key.
        self.store, self.root, self.key = store, root, key
        self.shards = _shards(manifest)
        num_kept = np.array([one.num_kept for one in self.shards], np.int64)
        self.first: Integers = np.concatenate([[0], np.cumsum(num_kept)]).astype(np.int64)
        self.num_samples = int(self.first[-1])
        # Sorted indices of the samples that have a tombstone.
        self.removed: Integers = np.empty(0, np.int64)
        # The files that say so, with their SHA-256.
        self.tombstones: dict[str, str] = {}
        # Why a shard is left out by this process; found by whoever reads it.
        self.bad_shards: dict[int, str] = {}
        self._table = SampleTable(cache / f"{key}.samples", self.num_samples, len(self.shards))

    @classmethod
    def open(cls, uri: str, cache: str = "", root: str = "") -> "Dataset":
        """The dataset at a URI, with the tombstones that it has now.

        root: the Merkle root that it must have, unless empty. cache: a local folder.
        Raises DataError, which names both sides.
        """
        store = Store(uri)
        seal, manifest_bytes = _read_seal(store)
        manifest = read_parquet_bytes(manifest_bytes)
        _check_root(uri, seal, manifest, root)
        key = f"{seal.merkle_root[:16]}-{seal.manifest_sha256[:16]}"
        opened = cls(store, manifest, seal.merkle_root, key, cache_folder(cache))
        opened.removed = opened._read_tombstones()
        return opened

    @property
    def removed_digest(self) -> str:
        """Stands for the removed samples: ranks that differ in it would not read the same order."""
        return sha256(self.removed.astype("<i8").tobytes()).hexdigest()

    def shard_of(self, indices: Integers) -> Integers:
        """The shards of these samples."""
        return np.searchsorted(self.first, indices, side="right") - 1

    def locate(self, indices: Integers) -> Places:
        """Where these samples lie; reads the ledgers that are still unknown."""
        shards = self.shard_of(indices)
        unknown = self._table.unknown(np.unique(shards))
        if len(unknown):
            self._learn([int(shard) for shard in unknown if int(shard) not in self.bad_shards])
        rows = self._table.read(indices)
        length = rows.length
        if len(unknown):
            still = self._table.unknown(unknown)
            length = np.where(np.isin(shards, still), -1, length)
        return Places(indices, shards, rows.offset, length, rows.id)

    def _learn(self, shards: Iterable[int]) -> None:
        if self.store.is_local:
            for shard in shards:
                self._learn_one(shard)
            return
        with ThreadPoolExecutor(_READERS) as pool:
            list(pool.map(self._learn_one, shards))

    def _learn_one(self, shard: int) -> None:
        try:
            rows = _read_rows(self.store, self.shards[shard])
        except (OSError, EOFError, StoreError, pa.ArrowException, ValueError, KeyError) as error:
            self.bad_shards[shard] = (
                f"{self.shards[shard].ledger_file}: expected the ledger of the shard, "
                f"got {type(error).__name__}: {error}"
            )
            return
        self._table.write(shard, int(self.first[shard]), rows)

    def _read_tombstones(self) -> Integers:
        ids: dict[int, set[bytes]] = {}
        for path in self._tombstone_files():
            try:
                content = self.store.read(path)
                self.tombstones[path] = digest(content)
                table = read_parquet_bytes(content)
                rows = zip(table["id"].to_pylist(), table["shard"].to_pylist(), strict=True)
                for sample_id, shard in rows:
                    ids.setdefault(shard, set()).add(bytes.fromhex(sample_id))
            except (OSError, StoreError, pa.ArrowException, ValueError, KeyError) as error:
                uri = self.store.name(path)
                raise DataError(f"{uri}: expected a table of tombstones, got {error}") from error
        if ids and max(ids) >= len(self.shards):
            raise DataError(
                f"{self.store.uri}: expected tombstones of shards below {len(self.shards)}, "
                f"got one of shard {max(ids)}"
            )
        found = [self._find(shard, removed) for shard, removed in sorted(ids.items())]
        return np.concatenate([np.empty(0, np.int64), *found])

    def _tombstone_files(self) -> list[str]:
        try:
            names = self.store.names(TOMBSTONES)
        except (OSError, StoreError) as error:
            uri = self.store.name(TOMBSTONES)
            raise DataError(f"{uri}: expected a list of tombstones, got {error}") from error
        if not names and self.store.uri.startswith("http"):
            # Many web servers list no folder, and none says whether it would.
            _log.warning(
                "%s: got no list of tombstones: what was removed later is read, if there is any",
                self.store.uri,
            )
        return [f"{TOMBSTONES}/{name}" for name in names]

    def _find(self, shard: int, ids: set[bytes]) -> Integers:
        """The indices of the samples of a shard that have these ids, all of them."""
        indices = np.arange(self.first[shard], self.first[shard + 1])
        places = self.locate(indices)
        if shard in self.bad_shards:
            # Not to be put aside: another rank may know the shard, and read what was removed.
            raise DataError(
                f"{self.store.uri}: expected to know which samples were removed, "
                f"got {self.bad_shards[shard]}"
            )
        own = places.id.tobytes()
        chosen = [number for number in range(len(indices)) if own[16 * number :][:16] in ids]
        if len(chosen) != len(ids):
            raise DataError(
                f"{self.store.name(self.shards[shard].file)}: expected {len(ids)} samples that "
                f"have a tombstone, got {len(chosen)}: is a repack under way? Let it end first"
            )
        return indices[chosen]


def cache_folder(cache: str) -> Path:
    """Where local copies are kept: the folder named, or one of this user on this machine.

    Not below the home folder, which several machines may share.
    """
    return Path(cache or Path(tempfile.gettempdir()) / f"uncurated-{os.getuid()}")


def _read_seal(store: Store) -> tuple[DatasetRecord, bytes]:
    uri = store.name(DATASET_FILE)
    try:
        seal = decode(DatasetRecord, store.read(DATASET_FILE))
    except FileNotFoundError as error:
        raise DataError(f"{uri}: expected a finished dataset, got none") from error
    except (OSError, StoreError, ValidationError, UnicodeDecodeError) as error:
        raise DataError(f"{uri}: expected the seal of a dataset, got {error}") from error
    if seal.sealed().record_sha256 != seal.record_sha256:
        raise DataError(
            f"{uri}: expected record_sha256 {seal.sealed().record_sha256}, got {seal.record_sha256}"
        )
    # While a retry or repack is being sealed its manifest is there before its seal: the former
    # one counts.
    seen = []
    for path in (MANIFEST_FILE, *former_manifests(seal)):
        try:
            manifest = store.read(path)
        except FileNotFoundError:
            continue
        except (OSError, StoreError) as error:
            raise DataError(f"{store.name(path)}: expected a manifest, got {error}") from error
        if digest(manifest) == seal.manifest_sha256:
            return seal, manifest
        seen.append(digest(manifest))
    raise DataError(
        f"{store.name(MANIFEST_FILE)}: expected sha256 {seal.manifest_sha256}, "
        f"got {' and '.join(seen) or 'no file'}"
    )


def _check_root(uri: str, seal: DatasetRecord, manifest: pa.Table, root: str) -> None:
    if root and root != seal.merkle_root:
        raise DataError(f"{uri}: expected Merkle root {root}, got {seal.merkle_root}")
    numbers = manifest["shard"].to_pylist()
    if numbers != list(range(seal.num_shards)):
        raise DataError(f"{uri}: expected shards 0 to {seal.num_shards - 1}, got {numbers[:20]}")
    roots = [bytes.fromhex(one) for one in manifest["merkle_root"].to_pylist()]
    found = dataset_root(list(zip(numbers, roots, strict=True))).hex()
    if found != seal.merkle_root:
        raise DataError(
            f"{uri}: expected Merkle root {seal.merkle_root}, got {found} of its shards"
        )


def _shards(manifest: pa.Table) -> tuple[Shard, ...]:
    names = ("shard_file", "shard_bytes", "num_kept", "ledger_file", "ledger_sha256")
    columns = [manifest[name].to_pylist() for name in names]
    return tuple(Shard(*values) for values in zip(*columns, strict=True))


def _read_rows(store: Store, shard: Shard) -> Rows:
    """The rows of the kept samples by offset; raises ValueError if the ledger is not the sealed."""
    content = store.read(shard.ledger_file)
    if digest(content) != shard.ledger_sha256:
        raise ValueError(f"expected sha256 {shard.ledger_sha256}, got {digest(content)}")
    file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
    ledger = file.read(columns=_LEDGER_COLUMNS, use_threads=False)
    kept = ledger.filter(pc.equal(ledger["outcome"], Outcome.KEPT.value)).sort_by("offset_bytes")
    if kept.num_rows != shard.num_kept:
        raise ValueError(f"expected {shard.num_kept} kept samples, got {kept.num_rows}")
    ids = bytes.fromhex("".join(kept["id"].to_pylist()))
    return Rows(
        _integers(kept["offset_bytes"]), _integers(kept["length_bytes"]), np.frombuffer(ids, "V16")
    )


def _integers(column: Any) -> Integers:
    found: Integers = column.to_numpy().astype(np.int64)
    return found
