"""Bytes of samples: in place, by range requests, by blocks; and what becomes of failures."""

from itertools import islice

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tests.benchmarks.range_server import range_server
from tests.train_entry.datasets import content_of, make_dataset
from train_entry.config import LoaderConfig
from train_entry.dataset import Dataset
from train_entry.remote import open_source
from train_entry.source import LocalSource
from train_entry.steps import ReaderOptions, Steps

SIZES = (30, 50, 20)
IMAGES = [
    [content_of(100 * shard + n, 2000) for n in range(size)] for shard, size in enumerate(SIZES)
]
FLAT = [image for images in IMAGES for image in images]


@pytest.fixture(scope="module", params=["tar", "arrow"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    make_dataset(folder, IMAGES, request.param)
    return folder


@pytest.fixture
def memory(folder):
    """The dataset in a store of fsspec, and the URI of it."""
    yield upload(folder)
    MemoryFileSystem.store.clear()


def upload(folder):
    MemoryFileSystem.store.clear()
    for file in folder.rglob("*"):
        if file.is_file():
            MemoryFileSystem().pipe_file(f"/dataset/{file.relative_to(folder)}", file.read_bytes())
    return "memory://dataset"


def opened(uri, cache, order="samples", **loader):
    """Dataset, steps and source of one reader with small blocks."""
    dataset = Dataset.open(uri, str(cache))
    dataset.store.patience_s = 0
    options = ReaderOptions(dataset=uri, batch=8, order=order, block_mib=1, window_blocks=2, seed=1)
    config = LoaderConfig(cache=str(cache), connections=4, cache_mib=64, **loader)
    steps = Steps(dataset, options)
    return dataset, steps, open_source(dataset, steps, options, config)


def read(steps, source, num_steps=25):
    """Sample and bytes of so many steps, and all failures."""
    stream = source.stream(steps.walk(steps.begin()))
    found, failures = [], {}
    for step, contents in islice(stream, num_steps):
        samples = step.places.sample.tolist()
        found += zip(samples, contents.content, strict=True)
        failures |= {samples[slot]: message for slot, message in contents.failures.items()}
    stream.close()
    return found, failures


def check(found, failures=()):
    assert len(found) == 200
    for sample, content in found:
        assert content == (b"" if sample in failures else FLAT[sample])


@pytest.mark.parametrize("order", ["samples", "blocks"])
def test_local_shards_give_the_bytes_that_were_packed(folder, tmp_path, order):
    _, steps, source = opened(str(folder), tmp_path, order)
    assert isinstance(source, LocalSource)
    check(read(steps, source)[0])


@pytest.mark.parametrize("order", ["samples", "blocks"])
def test_remote_shards_give_the_bytes_that_were_packed(memory, tmp_path, order):
    _, steps, source = opened(memory, tmp_path, order)
    found, failures = read(steps, source)
    check(found)
    assert failures == {}


@pytest.mark.parametrize("order", ["samples", "blocks"])
def test_shards_over_http_give_the_bytes_that_were_packed(folder, tmp_path, order):
    with range_server(folder, 1) as uri:
        _, steps, source = opened(uri, tmp_path, order)
        check(read(steps, source)[0])


@pytest.mark.parametrize("order", ["samples", "blocks"])
def test_shards_in_googles_store_give_the_bytes_that_were_packed(
    folder, tmp_path, object_store, order
):
    from ingest import storage

    store = object_store("gs")
    for file in folder.rglob("*"):
        if file.is_file():
            uri = f"{store.bucket}/{folder.name}/{file.relative_to(folder)}"
            storage.write_bytes(uri, file.read_bytes())
    _, steps, source = opened(f"{store.bucket}/{folder.name}", tmp_path, order)
    # 4 connections of a process, and of few samples no more than are wanted soon.
    check(read(steps, source)[0])


@pytest.mark.parametrize("order", ["samples", "blocks"])
@pytest.mark.parametrize("limit", [1, 10_000, 1 << 20])
def test_little_room_for_reading_ahead_stops_nothing(memory, tmp_path, order, limit):
    _, steps, source = opened(memory, tmp_path, order)
    source._limits = source._limits._replace(num_bytes=limit, steps=3)
    check(read(steps, source)[0])


def test_blocks_are_requested_once_while_they_are_kept(memory, tmp_path, monkeypatch):
    requests = []
    cat_file = MemoryFileSystem.cat_file

    def seen(self, path, start=None, end=None, **options):
        requests.append((path, start, end))
        return cat_file(self, path, start=start, end=end, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", seen)
    for _ in range(2):
        _, steps, source = opened(memory, tmp_path, "blocks")
        check(read(steps, source)[0])
    ranges = [request for request in requests if request[1] is not None]
    assert len(ranges) == len(set(ranges)) == steps.layout.num_blocks


def test_blocks_evicted_too_soon_are_fetched_again(memory, tmp_path):
    _, steps, source = opened(memory, tmp_path, "blocks")
    fetcher = source._fetcher
    fetcher._cache._max_bytes = 1
    found = []
    stream = source.stream(steps.walk(steps.begin()))
    for step, contents in islice(stream, 25):
        found += zip(step.places.sample.tolist(), contents.content, strict=True)
        # As if more blocks were open than a process may have.
        fetcher._open.clear()
    stream.close()
    check(found)


@pytest.fixture(params=["local", "memory"])
def damaged(request, folder, tmp_path):
    """A copy of the dataset, and a function that changes a shard of it."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)

    def damage(change):
        shard = sorted((copy / "shards").iterdir())[1]
        change(shard)
        if request.param == "local":
            return str(copy)
        return upload(copy)

    yield damage
    MemoryFileSystem.store.clear()


@pytest.mark.parametrize("order", ["samples", "blocks"])
@pytest.mark.parametrize("damage", ["missing", "longer", "shorter"])
def test_a_bad_shard_is_put_aside_and_the_others_are_read(damaged, tmp_path, order, damage):
    def change(shard):
        content = shard.read_bytes()
        if damage == "missing":
            shard.unlink()
        else:
            shard.write_bytes(content + b"!" if damage == "longer" else content[:1000])

    dataset, steps, source = opened(damaged(change), tmp_path / "cache", order)
    found, failures = read(steps, source)
    bad = set(range(30, 80))
    check(found, bad)
    assert set(failures) <= bad
    assert set(dataset.bad_shards) == {1}
    message = "expected the shard, got" if damage == "missing" else "expected a shard of"
    assert message in dataset.bad_shards[1]
    assert set(failures.values()) == {dataset.bad_shards[1]}


def test_a_shard_that_shrinks_while_it_is_read_is_put_aside(folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    dataset, _, source = opened(str(copy), tmp_path / "cache")
    places = dataset.locate(np.array([0, 29]))
    assert source.read(places).failures == {}
    with (copy / dataset.shards[0].file).open("r+b") as shard:
        shard.truncate(int(places.offset[1]) + 10)
    contents = source.read(places)
    assert contents.content[0] == FLAT[0]
    assert "the shard is short" in contents.failures[1]
    assert set(dataset.bad_shards) == {0}


@pytest.mark.parametrize("order", ["samples", "blocks"])
def test_requests_that_fail_for_a_while_lose_nothing(memory, tmp_path, monkeypatch, order):
    failed = set()
    cat_file = MemoryFileSystem.cat_file

    def flaky(self, path, start=None, end=None, **options):
        if (path, start) not in failed:
            failed.add((path, start))
            raise TimeoutError("no answer")
        return cat_file(self, path, start=start, end=end, **options)

    # Pauses are drawn below a limit; these are none.
    monkeypatch.setattr("train_entry.store.random.random", lambda: 0.0)
    dataset, steps, source = opened(memory, tmp_path, order)
    dataset.store.patience_s = 60
    monkeypatch.setattr(MemoryFileSystem, "cat_file", flaky)
    found, failures = read(steps, source)
    check(found)
    assert failures == {}
    assert failed


def test_many_shards_share_few_descriptors(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("train_entry.source._OPEN_FILES", 1)
    _, steps, source = opened(str(folder), tmp_path)
    check(read(steps, source)[0])
    assert len(source._files) == 1


def test_a_failure_of_planning_reaches_the_consumer(memory, tmp_path):
    _, _, source = opened(memory, tmp_path)

    def steps():
        raise RuntimeError("no plan")
        yield

    with pytest.raises(RuntimeError, match="no plan"):
        next(source.stream(steps()))


def test_a_cache_too_small_for_two_windows_is_told(memory, tmp_path, caplog):
    dataset = Dataset.open(memory, str(tmp_path))
    options = ReaderOptions(dataset=memory, batch=8, order="blocks", block_mib=1)
    config = LoaderConfig(cache=str(tmp_path), cache_mib=1)
    open_source(dataset, Steps(dataset, options), options, config)
    assert "cache_mib: expected room for two windows" in caplog.text
