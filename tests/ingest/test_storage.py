import multiprocessing
import threading
from pathlib import Path

import pytest

from ingest import storage


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    return str(tmp_path / "data") if request.param == "local" else f"memory://{tmp_path.name}"


def test_what_is_written_is_read(root):
    uri = storage.join(root, "a", "b.bin")
    storage.write_bytes(uri, b"0123456789")
    assert storage.read_bytes(uri) == b"0123456789"
    assert storage.read_range(uri, 3, 4) == b"3456"
    assert storage.size(uri) == 10
    assert storage.exists(uri)
    with storage.open_input(uri) as file:
        assert file.read(2) == b"01"
    storage.write_bytes(uri, b"new")
    assert storage.read_bytes(uri) == b"new"
    storage.remove(uri)
    storage.remove(uri)
    assert not storage.exists(uri)


def test_create_only_writes_the_first_time_alone(root):
    uri = storage.join(root, "commit.json")
    assert storage.create_bytes(uri, b"first")
    assert not storage.create_bytes(uri, b"second")
    assert storage.read_bytes(uri) == b"first"


def test_files_are_listed_relative_to_their_folder(root):
    for name in ("b", "a", "sub/c"):
        storage.write_bytes(storage.join(root, *name.split("/")), b"")
    assert storage.list_files(root) == ["a", "b", "sub/c"]
    assert storage.list_files(storage.join(root, "none")) == []
    assert storage.is_folder(root)


def test_the_names_in_a_folder_are_listed_without_what_lies_deeper(root):
    for name in ("b", "a", "sub/c", "sub/deep/d"):
        storage.write_bytes(storage.join(root, *name.split("/")), b"")
    assert storage.list_names(root) == ["a", "b", "sub"]
    assert storage.list_names(storage.join(root, "sub")) == ["c", "deep"]
    assert storage.list_names(storage.join(root, "a")) == []
    assert storage.list_names(storage.join(root, "nothing")) == []


def test_globs_are_expanded_in_order(root):
    for name in ("2.csv", "1.csv", "x.txt"):
        storage.write_bytes(storage.join(root, name), b"")
    found = storage.expand(storage.join(root, "*.csv"))
    assert [Path(uri).name for uri in found] == ["1.csv", "2.csv"]
    assert [storage.read_bytes(uri) for uri in found] == [b"", b""]
    assert storage.expand("no/wildcard.csv") == ["no/wildcard.csv"]


def test_a_staged_file_is_published_whole(root, tmp_path):
    with storage.staged(root, str(tmp_path)) as local:
        local.write_bytes(b"x" * 100_000)
        storage.publish(local, storage.join(root, "up.bin"))
    assert storage.read_bytes(storage.join(root, "up.bin")) == b"x" * 100_000
    assert storage.list_files(root) == ["up.bin"]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(path):
        raise OSError("disk full")

    monkeypatch.setattr(storage, "_sync", fail)
    with pytest.raises(OSError, match="disk full"):
        storage.write_bytes(str(tmp_path / "x"), b"content")
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_create_at_once_one_wins(tmp_path):
    uri, barrier, won = str(tmp_path / "commit"), threading.Barrier(8), []

    def create(number):
        barrier.wait()
        if storage.create_bytes(uri, str(number).encode()):
            won.append(number)

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [str(one).encode() for one in won] == [storage.read_bytes(uri)]
    assert [path.name for path in tmp_path.iterdir()] == ["commit"]


def test_storage_works_in_a_spawned_process(tmp_path):
    uri = str(tmp_path / "x")
    process = multiprocessing.get_context("spawn").Process(
        target=storage.write_bytes, args=(uri, b"child")
    )
    process.start()
    process.join(60)
    assert storage.read_bytes(uri) == b"child"


def test_sizes_of_the_files_in_a_folder_come_by_one_listing(root):
    for name, length in (("b", 3), ("a", 0), ("sub/c", 7)):
        storage.write_bytes(storage.join(root, *name.split("/")), bytes(length))
    assert storage.list_sizes(root) == {"a": 0, "b": 3}
    assert storage.list_sizes(storage.join(root, "sub")) == {"c": 7}
    assert storage.list_sizes(storage.join(root, "nothing")) == {}
    assert storage.list_sizes(storage.join(root, "a")) == {}


def test_many_files_are_read_in_the_order_asked_for(root):
    names = ["b", "a", "sub/c[1]*"]
    for name in names:
        storage.write_bytes(storage.join(root, *name.split("/")), name.encode())
    assert storage.read_many(root, names) == [name.encode() for name in names]
    assert storage.read_many(root, []) == []
    with pytest.raises(FileNotFoundError):
        storage.read_many(root, ["a", "none"])
