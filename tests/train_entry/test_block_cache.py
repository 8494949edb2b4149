import multiprocessing
import os
import threading

import pytest

from train_entry.block_cache import BlockCache


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "blocks"


def content_of(descriptor):
    try:
        return os.pread(descriptor, 100, 0)
    finally:
        os.close(descriptor)


def never():
    raise AssertionError("expected no request")


def test_a_block_is_fetched_once(folder):
    assert content_of(BlockCache(folder, 100).open("one", 5, lambda: b"bytes")) == b"bytes"
    assert content_of(BlockCache(folder, 100).open("one", 5, never)) == b"bytes"
    assert [path.name for path in folder.iterdir()] == ["one"]


def test_the_block_that_was_not_opened_for_longest_makes_room(folder):
    cache = BlockCache(folder, 10)
    for moment, name in enumerate(["a", "b", "c"]):
        if moment == 2:
            os.utime(folder / "b", (1, 1))
        os.close(cache.open(name, 5, lambda: b"bytes"))
    assert sorted(path.name for path in folder.iterdir()) == ["a", "c"]


def test_an_open_block_outlives_its_eviction(folder):
    cache = BlockCache(folder, 5)
    first = cache.open("a", 5, lambda: b"first")
    os.close(cache.open("b", 5, lambda: b"other"))
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert content_of(first) == b"first"


def test_a_failed_fetch_leaves_nothing_behind(folder):
    def fail():
        raise OSError("gone")

    cache = BlockCache(folder, 100)
    with pytest.raises(OSError, match="gone"):
        cache.open("a", 5, fail)
    assert list(folder.iterdir()) == []
    assert content_of(cache.open("a", 5, lambda: b"bytes")) == b"bytes"


def test_a_block_of_another_size_is_fetched_again(folder):
    cache = BlockCache(folder, 100)
    folder.joinpath("a").write_bytes(b"byt")
    assert content_of(cache.open("a", 5, lambda: b"bytes")) == b"bytes"


def test_two_who_want_a_block_make_one_request(folder):
    cache, requests, found = BlockCache(folder, 100), [], []
    entered, proceed = threading.Event(), threading.Event()

    def fetch():
        requests.append(1)
        entered.set()
        proceed.wait()
        return b"bytes"

    def want():
        found.append(cache.open("a", 5, fetch))

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    entered.wait()
    proceed.set()
    for thread in threads:
        thread.join()
    # While all of them have it open: a lock must not live on in a descriptor.
    assert ([content_of(one) for one in found], requests) == ([b"bytes"] * 4, [1])


def _die_while_fetching(folder):
    def fetch():
        os._exit(9)

    BlockCache(folder, 100).open("a", 5, fetch)


def test_a_process_that_dies_while_it_fetches_blocks_no_other(folder):
    process = multiprocessing.get_context("fork").Process(
        target=_die_while_fetching, args=(folder,)
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    assert [path.name for path in folder.iterdir()] == ["a.part"]
    assert content_of(BlockCache(folder, 100).open("a", 5, lambda: b"bytes")) == b"bytes"
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_what_a_dead_process_left_is_deleted_in_the_end(folder):
    cache = BlockCache(folder, 5)
    (folder / "dead.part").write_bytes(b"byt")
    os.utime(folder / "dead.part", (1, 1))
    os.close(cache.open("a", 5, lambda: b"bytes"))
    assert [path.name for path in folder.iterdir()] == ["a"]
