import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train_entry.errors import DataError
from train_entry.evaluation.feature_cache import FeatureCache, PartRecord, RowDigest, parts_of

NAMES = [f"{number}.jpg" for number in range(10)]
ROWS = {
    "pool": np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32),
    "regions": np.random.default_rng(1).normal(size=(10, 2, 3)).astype(np.float32),
}
PARTS = parts_of(10, 4)


def digest(rows):
    found = RowDigest()
    found.add(rows)
    return found.hexdigest()


def fill(cache, taps=("pool", "regions"), bad=()):
    cache.prepare({tap: ROWS[tap].shape[1:] for tap in taps}, NAMES)
    for part in PARTS:
        some = {tap: ROWS[tap][part.begin : part.end] for tap in taps}
        for tap, rows in some.items():
            cache.write(tap, part.begin, rows)
        own = {place: "why" for place in bad if part.begin <= place < part.end}
        cache.finish(part, PartRecord({tap: digest(rows) for tap, rows in some.items()}, own))


@pytest.fixture
def cache(tmp_path):
    cache = FeatureCache(tmp_path, "key")
    fill(cache)
    return cache


@given(st.integers(1, 30_000), st.integers(1, 300))
def test_parts_are_whole_batches_that_cover_all_images_once(num_images, batch):
    parts = parts_of(num_images, batch)
    assert [part.number for part in parts] == list(range(len(parts)))
    assert [one for part in parts for one in part.batches] == list(range(-(-num_images // batch)))
    assert parts[0].begin == 0
    assert parts[-1].end == num_images
    for part, following in pairwise(parts):
        assert part.end == following.begin == following.batches[0] * batch
    assert all(len(part.batches) <= 16 for part in parts)
    assert len(parts) >= min(64, -(-num_images // batch))


def test_what_was_written_is_read(cache):
    assert cache.lacking(PARTS, ["pool", "regions"]) == []
    for tap, rows in ROWS.items():
        assert np.array_equal(cache.open(tap).numpy(), rows)


def test_any_numpy_reads_it(cache):
    assert np.array_equal(np.load(cache.folder / "pool.npy"), ROWS["pool"])


def test_one_flipped_bit_makes_its_part_lacking(cache):
    content = bytearray((cache.folder / "regions.npy").read_bytes())
    content[-1] ^= 1
    (cache.folder / "regions.npy").write_bytes(content)
    assert cache.lacking(PARTS, ["regions"]) == [PARTS[-1]]
    assert cache.lacking(PARTS, ["pool"]) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digests": {}}', '{"digests": [], "bad": []}'])
def test_a_part_whose_record_cannot_be_read_is_lacking(cache, text):
    (cache.folder / "part-00001.json").write_text(text)
    assert cache.lacking(PARTS, ["pool"]) == [PARTS[1]]


def test_without_a_record_rows_count_for_nothing(cache):
    (cache.folder / "part-00000.json").unlink()
    assert cache.lacking(PARTS, ["pool"]) == [PARTS[0]]


def test_a_file_that_is_cut_off_lacks_all(cache):
    path = cache.folder / "pool.npy"
    path.write_bytes(path.read_bytes()[:-4])
    assert cache.lacking(PARTS, ["pool"]) == PARTS


def test_another_tap_joins_without_touching_the_first(tmp_path):
    cache = FeatureCache(tmp_path, "key")
    fill(cache, ["pool"])
    before = (cache.folder / "pool.npy").stat()
    assert cache.lacking(PARTS, ["pool", "regions"]) == PARTS
    fill(cache, ["regions"])
    assert cache.lacking(PARTS, ["pool", "regions"]) == []
    assert (cache.folder / "pool.npy").stat().st_mtime_ns == before.st_mtime_ns


def test_room_that_is_there_is_not_made_again(cache):
    cache.prepare({"pool": (3,)}, NAMES)
    assert cache.lacking(PARTS, ["pool"]) == []


def test_bad_images_are_told_and_can_be_left_out(tmp_path):
    cache = FeatureCache(tmp_path, "key")
    fill(cache, bad=(2, 9))
    assert cache.bad(PARTS) == {2: "why", 9: "why"}
    cache.leave_out(ROWS, [9, 2])
    for tap, rows in ROWS.items():
        assert np.array_equal(cache.open(tap, [2, 9]).numpy(), np.delete(rows, [2, 9], axis=0))


def test_the_cache_says_whose_features_it_holds(cache):
    told = json.loads((cache.folder / "names.json").read_text())
    assert told["num_images"] == 10
    assert len(told["names_sha256"]) == 64


def test_rows_of_another_shape_are_refused(cache):
    with pytest.raises(DataError, match=r"expected rows \(3,\), got \(4,\)"):
        cache.write("pool", 0, np.zeros((2, 4), np.float32))


def test_nothing_else_is_left_in_the_folder(cache):
    names = {path.name for path in cache.folder.iterdir()}
    assert names == {"names.json", "pool.npy", "regions.npy"} | {
        f"part-0000{number}.json" for number in range(3)
    }
