"""Sealed datasets for tests of the trainer, packed by `ingest` itself but never crawled."""

import io
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ingest.pack.arrow import write_arrow
from ingest.pack.conservation import totals
from ingest.pack.seal import manifest_bytes
from ingest.pack.tar import write_tar
from schemas.ledger import LedgerRow
from schemas.manifest import (
    BuildRecord,
    Commit,
    DatasetRecord,
    PlanRecord,
    RetryRecord,
    content_path,
    decode,
    digest,
    encode,
    plan_part_path,
)
from schemas.merkle import merkle_root
from schemas.tombstone import Tombstone, tombstone_path
from tests.samples import DIGEST, described, sample_of
from train_entry.dataset import Dataset, Places
from train_entry.store import Store

WRITERS = {"tar": write_tar, "arrow": write_arrow}
_PLAN = PlanRecord(
    options={}, inputs=(), num_rows=0, num_candidates=0, num_shards=0, parts_sha256=DIGEST
)
_BUILD = BuildRecord(options={}, plan_sha256=DIGEST, fingerprint="", eval_index=None, versions={})


class MadeUp(Dataset):
    """A dataset of so many samples a shard, of which there is nothing but the numbers."""

    def __init__(self, num_kept, cache, removed=(), sample_bytes=100):
        manifest = pa.table(
            {
                "shard_file": [f"shards/{shard}" for shard in range(len(num_kept))],
                "shard_bytes": [sample_bytes * kept + 1024 for kept in num_kept],
                "num_kept": num_kept,
                "ledger_file": [""] * len(num_kept),
                "ledger_sha256": [DIGEST] * len(num_kept),
            }
        )
        super().__init__(Store("/nowhere"), manifest, "ab" * 32, "made-up", cache)
        self.removed = np.array(sorted(removed), np.int64)

    def locate(self, indices):
        ids = np.frombuffer(b"".join(int(one).to_bytes(16, "big") for one in indices), "V16")
        return Places(indices, self.shard_of(indices), indices * 0, indices * 0 + 1, ids)


def content_of(number, num_bytes=100):
    """Bytes that no other sample has."""
    return (f"sample {number} ".encode() * (num_bytes // 8 + 1))[: num_bytes + number % 7]


def make_dataset(folder, images, kind="tar"):
    """Seal a dataset with one shard for each list of images; its ids in order of the images."""
    folder = Path(folder)
    for name in ("shards", "ledger"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    commits, ids, number = [], [], 0
    for shard, own in enumerate(images):
        rows = [described(spread(number + at), image) for at, image in enumerate(own)]
        number += len(own)
        ids += [row["id"] for row in rows]
        commits.append(_pack(folder, shard, rows, own, kind))
    seal(folder, commits)
    return ids


def spread(number):
    """A sample's id as a number; ids are hashes, so they do not count up."""
    return int.from_bytes(sha256(str(number).encode()).digest()[:16], "big")


def seal(folder, commits, retries=()):
    manifest = manifest_bytes(commits)
    (folder / "manifest.parquet").write_bytes(manifest)
    record = DatasetRecord(
        plan=_PLAN,
        build=_BUILD,
        plan_sha256=DIGEST,
        build_sha256=DIGEST,
        manifest_sha256=digest(manifest),
        decontamination="not decontaminated",
        retries=retries,
        num_shards=len(commits),
        **totals(commits, retries),
    ).sealed()
    (folder / "dataset.json").write_bytes(encode(record))
    return record


def add_retry(folder, images, kind="tar"):
    """One more generation of shards, as `uncurated retry` leaves it; ids of its samples."""
    folder = Path(folder)
    commits = Commit.from_table(pq.read_table(folder / "manifest.parquet"))
    first = len(commits)
    number, ids = sum(commit.num_kept for commit in commits), []
    for shard, own in enumerate(images, first):
        rows = [described(spread(number + at), image) for at, image in enumerate(own)]
        number += len(own)
        ids += [row["id"] for row in rows]
        commits.append(_pack(folder, shard, rows, own, kind))
    retry = RetryRecord(
        generation=1,
        outcomes=(),
        where="",
        first_shard=first,
        num_shards=len(images),
        num_candidates=len(ids),
        superseded={},
        parts_sha256=DIGEST,
        seal_sha256=DIGEST,
        merkle_root=DIGEST,
    )
    seal(folder, commits, (retry,))
    return ids


def replace_ledger(folder, shard, table):
    """Put another ledger part in the place of one, and seal the dataset anew."""
    folder = Path(folder)
    old = decode(DatasetRecord, (folder / "dataset.json").read_bytes())
    commits = Commit.from_table(pq.read_table(folder / "manifest.parquet"))
    path = folder / commits[shard].ledger_file
    pq.write_table(table, path)
    commits[shard] = commits[shard].model_copy(update={"ledger_bytes": path.stat().st_size})
    seal(folder, commits, old.retries)


def add_tombstones(folder, ids, shard_of, name=DIGEST):
    """Removals after the fact: `ids`, whose shards `shard_of` tells."""
    (Path(folder) / "tombstones").mkdir(exist_ok=True)
    for shard in {shard_of[one] for one in ids}:
        rows = [
            Tombstone(
                id=one,
                shard=shard,
                outcome="duplicate_near",
                detail="",
                nearest_eval=None,
                nearest_eval_variant=None,
                nearest_eval_view=None,
                nearest_eval_distance=None,
                nearest_eval_correlation=None,
            )
            for one in ids
            if shard_of[one] == shard
        ]
        pq.write_table(Tombstone.to_table(rows), Path(folder) / tombstone_path(name, shard))


def pictures(count, px=48):
    """Small JPEG files, each of its own colour."""
    found = []
    for number in range(count):
        pixels = np.full((px, px, 3), (number * 37 % 256, number * 91 % 256, 80), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG")
        found.append(buffer.getvalue())
    return found


def _pack(folder, shard, rows, images, kind):
    staged = folder / "staged"
    samples = [sample_of(row, image) for row, image in zip(rows, images, strict=True)]
    with staged.open("wb") as file:
        written = WRITERS[kind](samples, file)
    shard_file = content_path("shards", shard, written.sha256, kind)
    staged.rename(folder / shard_file)
    ledger = _ledger(shard, rows, images, written.offsets)
    ledger_file = content_path("ledger", shard, digest(ledger), "parquet")
    (folder / ledger_file).write_bytes(ledger)
    return Commit(
        shard=shard,
        build_sha256=DIGEST,
        plan_file=plan_part_path(shard),
        plan_sha256=DIGEST,
        shard_file=shard_file,
        shard_bytes=written.num_bytes,
        shard_sha256=written.sha256,
        ledger_file=ledger_file,
        ledger_bytes=len(ledger),
        ledger_sha256=digest(ledger),
        num_candidates=len(rows) + 1,
        num_kept=len(rows),
        image_bytes=sum(map(len, images)),
        outcomes={"kept": len(rows), "http_404": 1},
        merkle_root=merkle_root(written.leaves).hex(),
    )


def _ledger(shard, rows, images, offsets):
    """A ledger part as a build writes it, with one candidate that was not had in its midst."""
    lists = {"redirects", "opt_out_signals", "requests", "decoder_warnings"}
    blank = {name: [] if name in lists else None for name in LedgerRow.model_fields}
    full = [
        {**blank, **row, "outcome": "kept", "offset_bytes": offset, "length_bytes": len(image)}
        for row, image, offset in zip(rows, images, offsets, strict=True)
    ]
    missing = {**blank, **described(spread(f"missing {shard}"), b""), "outcome": "http_404"}
    full.insert(len(full) // 2, missing)
    for row in full:
        row.update(generation=0, carrier="url", attempts=1, shard=shard)
    columns = {name: [row[name] for row in full] for name in LedgerRow.model_fields}
    buffer = io.BytesIO()
    pq.write_table(LedgerRow.columns_to_table(columns), buffer, compression="zstd")
    return buffer.getvalue()
