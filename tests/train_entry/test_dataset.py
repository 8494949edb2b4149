import pickle
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from schemas.manifest import Commit, DatasetRecord, decode, former_manifest_path
from tests.train_entry.datasets import (
    add_retry,
    add_tombstones,
    content_of,
    make_dataset,
    seal,
    spread,
)
from train_entry.dataset import Dataset
from train_entry.errors import DataError

SIZES = (5, 0, 3)
IMAGES = [[content_of(10 * shard + n) for n in range(size)] for shard, size in enumerate(SIZES)]
FLAT = [image for images in IMAGES for image in images]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "dataset"


@pytest.fixture
def cache(tmp_path):
    return str(tmp_path / "cache")


def hexed(places):
    return [bytes(one).hex() for one in places.id]


def bytes_at(dataset, folder, places):
    rows = zip(places.shard, places.offset, places.length, strict=True)
    return [
        (folder / dataset.shards[shard].file).read_bytes()[offset : offset + length]
        for shard, offset, length in rows
    ]


@pytest.mark.parametrize("kind", ["tar", "arrow"])
def test_every_sample_is_found_at_its_bytes(folder, cache, kind):
    ids = make_dataset(folder, IMAGES, kind)
    dataset = Dataset.open(str(folder), cache)
    places = dataset.locate(np.arange(8))
    assert dataset.num_samples == 8
    assert hexed(places) == ids
    assert places.shard.tolist() == [0] * 5 + [2] * 3
    assert bytes_at(dataset, folder, places) == FLAT


def test_shards_of_a_retry_come_after_the_others(folder, cache):
    ids = make_dataset(folder, IMAGES)
    ids += add_retry(folder, [[b"later"], [b"much", b"later"]])
    dataset = Dataset.open(str(folder), cache)
    assert hexed(dataset.locate(np.arange(11))) == ids


def test_a_ledger_is_read_once_for_all_processes(folder, cache):
    ids = make_dataset(folder, IMAGES)
    Dataset.open(str(folder), cache).locate(np.arange(8))
    for ledger in (folder / "ledger").iterdir():
        ledger.unlink()
    dataset = pickle.loads(pickle.dumps(Dataset.open(str(folder), cache)))
    assert hexed(dataset.locate(np.array([7, 0]))) == [ids[7], ids[0]]


def test_both_formats_of_one_root_are_told_apart(tmp_path, cache):
    for kind in ("tar", "arrow"):
        make_dataset(tmp_path / kind, IMAGES, kind)
    tar, arrow = (Dataset.open(str(tmp_path / kind), cache) for kind in ("tar", "arrow"))
    assert tar.root == arrow.root
    for dataset, folder in ((tar, tmp_path / "tar"), (arrow, tmp_path / "arrow")):
        assert bytes_at(dataset, folder, dataset.locate(np.arange(8))) == FLAT


@pytest.mark.parametrize("damage", ["missing", "changed", "other rows"])
def test_a_shard_with_a_bad_ledger_is_bad_and_the_others_are_not(folder, cache, damage):
    make_dataset(folder, IMAGES)
    ledger = min((folder / "ledger").iterdir())
    if damage == "missing":
        ledger.unlink()
    else:
        ledger.write_bytes(ledger.read_bytes() + b"!")
    dataset = Dataset.open(str(folder), cache)
    places = dataset.locate(np.arange(8))
    assert (places.length >= 0).tolist() == [False] * 5 + [True] * 3
    assert set(dataset.bad_shards) == {0}
    assert "expected the ledger of the shard, got" in dataset.bad_shards[0]


def test_tombstones_are_known_by_their_sample(folder, cache):
    ids = make_dataset(folder, IMAGES)
    shard_of = dict(zip(ids, [0] * 5 + [2] * 3, strict=True))
    before = Dataset.open(str(folder), cache)
    add_tombstones(folder, [ids[6], ids[1]], shard_of)
    add_tombstones(folder, [ids[1], ids[2]], shard_of, name="f" * 64)
    after = Dataset.open(str(folder), cache)
    assert before.removed.tolist() == []
    assert after.removed.tolist() == [1, 2, 6]
    assert before.removed_digest != after.removed_digest
    # A worker that starts later reads the same order as the others.
    add_tombstones(folder, [ids[0]], shard_of, name="e" * 64)
    assert pickle.loads(pickle.dumps(after)).removed.tolist() == [1, 2, 6]


def test_a_tombstone_of_no_sample_is_refused(folder, cache):
    make_dataset(folder, IMAGES)
    stranger = f"{spread('stranger'):032x}"
    add_tombstones(folder, [stranger], {stranger: 2})
    with pytest.raises(DataError, match=r"expected 1 samples that have a tombstone, got 0"):
        Dataset.open(str(folder), cache)


def test_a_tombstone_of_no_shard_is_refused(folder, cache):
    ids = make_dataset(folder, IMAGES)
    add_tombstones(folder, [ids[0]], {ids[0]: 3})
    with pytest.raises(
        DataError, match="expected tombstones of shards below 3, got one of shard 3"
    ):
        Dataset.open(str(folder), cache)


def test_tombstones_of_a_shard_whose_ledger_is_bad_end_the_run(folder, cache):
    ids = make_dataset(folder, IMAGES)
    add_tombstones(folder, [ids[0]], {ids[0]: 0})
    min((folder / "ledger").iterdir()).unlink()
    with pytest.raises(DataError, match="expected to know which samples were removed"):
        Dataset.open(str(folder), cache)


def test_an_unreadable_table_of_tombstones_ends_the_run(folder, cache):
    make_dataset(folder, IMAGES)
    (folder / "tombstones").mkdir()
    (folder / "tombstones" / "0.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match="expected a table of tombstones"):
        Dataset.open(str(folder), cache)


def test_another_root_is_refused_with_both(folder, cache):
    make_dataset(folder, IMAGES)
    root = Dataset.open(str(folder), cache).root
    other = "ab" * 32
    assert Dataset.open(str(folder), cache, root=root).root == root
    with pytest.raises(DataError, match=f"expected Merkle root {other}, got {root}"):
        Dataset.open(str(folder), cache, root=other)


def test_an_unfinished_dataset_is_refused(folder, cache):
    with pytest.raises(DataError, match="expected a finished dataset, got none"):
        Dataset.open(str(folder), cache)


def test_a_changed_manifest_is_refused_with_both_digests(folder, cache):
    make_dataset(folder, IMAGES)
    (folder / "manifest.parquet").write_bytes(b"something else")
    with pytest.raises(DataError, match=r"expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}"):
        Dataset.open(str(folder), cache)


def test_a_changed_seal_is_refused(folder, cache):
    make_dataset(folder, IMAGES)
    seal_file = folder / "dataset.json"
    seal_file.write_text(re.sub(r'"image_bytes": \d+', '"image_bytes": 1', seal_file.read_text()))
    with pytest.raises(DataError, match="expected record_sha256"):
        Dataset.open(str(folder), cache)


def test_a_root_that_is_not_that_of_the_shards_is_refused_with_both(folder, cache):
    make_dataset(folder, IMAGES)
    record = decode(DatasetRecord, (folder / "dataset.json").read_bytes())
    forged = record.model_copy(update={"merkle_root": "ab" * 32}).sealed()
    (folder / "dataset.json").write_text(forged.model_dump_json())
    with pytest.raises(
        DataError, match=f"expected Merkle root {'ab' * 32}, got {record.merkle_root}"
    ):
        Dataset.open(str(folder), cache)


def test_while_a_retry_is_sealed_the_former_manifest_counts(folder, cache):
    ids = make_dataset(folder, IMAGES)
    former = (folder / "manifest.parquet").read_bytes()
    former_seal = (folder / "dataset.json").read_bytes()
    add_retry(folder, [[b"later"]])
    (folder / "dataset.json").write_bytes(former_seal)
    (folder / "generations").mkdir()
    (folder / former_manifest_path(0)).write_bytes(former)
    dataset = Dataset.open(str(folder), cache)
    assert hexed(dataset.locate(np.arange(dataset.num_samples))) == ids


def test_shards_that_are_not_in_order_are_refused(folder, cache):
    make_dataset(folder, IMAGES)
    commits = Commit.from_table(pq.read_table(folder / "manifest.parquet"))
    seal(folder, [commits[0], commits[2]])
    with pytest.raises(DataError, match=r"expected shards 0 to 1, got \[0, 2\]"):
        Dataset.open(str(folder), cache)


def test_a_dataset_of_no_samples_can_be_opened(folder, cache):
    make_dataset(folder, [[]])
    assert Dataset.open(str(folder), cache).num_samples == 0
