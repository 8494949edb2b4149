import multiprocessing
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import storage
from ingest.errors import SetupError, StorageError
from ingest.storage import local


@pytest.fixture(params=["local", "memory", "gs", "s3"])
def root(request, tmp_path, object_store):
    if request.param == "local":
        return str(tmp_path / "data")
    if request.param == "memory":
        return f"memory://{tmp_path.name}"
    return f"{object_store(request.param).bucket}/{tmp_path.name}"


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


def test_a_range_that_begins_at_the_end_is_empty(root):
    uri = storage.join(root, "empty.csv")
    storage.write_bytes(uri, b"")
    assert storage.read_range(uri, 0, 16) == b""
    assert storage.read_bytes(uri) == b""
    assert storage.size(uri) == 0


def test_what_is_not_there_is_not_found(root):
    uri = storage.join(root, "nothing")
    for read in (storage.read_bytes, storage.open_input, storage.size):
        with pytest.raises(FileNotFoundError, match="nothing"):
            read(uri)
    assert not storage.exists(uri)
    assert not storage.is_folder(uri)


@pytest.mark.parametrize("kind", ["gs", "s3"])
def test_a_bucket_is_a_folder_and_no_file(kind, object_store):
    bucket = object_store(kind).bucket
    storage.write_bytes(f"{bucket}/x", b"x")
    assert storage.is_folder(bucket)
    assert storage.exists(bucket)
    assert "x" in storage.list_names(bucket)
    with pytest.raises(FileNotFoundError, match="got the bucket"):
        storage.size(bucket)
    with pytest.raises(SetupError, match=f"expected an object in a bucket, got {bucket}"):
        storage.write_bytes(bucket, b"x")
    with pytest.raises(SetupError, match="expected a bucket before the wildcard"):
        storage.expand(f"{bucket[:5]}*/x")


def test_a_folder_is_no_file(root):
    storage.write_bytes(storage.join(root, "folder", "x"), b"x")
    folder = storage.join(root, "folder")
    assert storage.is_folder(folder)
    assert storage.exists(folder)
    assert not storage.is_folder(storage.join(folder, "x"))


def test_a_stream_seeks_and_serves_arrow(root):
    table = pa.table({"number": range(100_000), "text": [str(n) for n in range(100_000)]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=10_000)
    content = sink.getvalue().to_pybytes()
    uri = storage.join(root, "table.parquet")
    storage.write_bytes(uri, content)
    with storage.open_input(uri) as file:
        assert pq.read_table(file) == table
    with storage.open_input(uri) as file:
        assert file.seek(-10, 2) == len(content) - 10
        assert file.read() == content[-10:]
        assert file.read(5) == b""
        assert file.seek(100) == file.tell() == 100
        assert file.read(50) == content[100:150]


@pytest.mark.parametrize("kind", ["gs", "s3"])
def test_a_stream_that_is_read_whole_is_one_request(kind, object_store, tmp_path):
    store = object_store(kind)
    uri = f"{store.bucket}/{tmp_path.name}"
    storage.write_bytes(uri, bytes(5_000_000))
    with storage.open_input(uri) as file:
        store.proxy.calm()
        assert file.read() == bytes(5_000_000)
    assert len(store.proxy.seen) == 1


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


def test_sizes_of_all_files_below_a_folder_come_by_one_listing(root):
    for name, length in (("b", 3), ("a", 0), ("sub/c", 7)):
        storage.write_bytes(storage.join(root, *name.split("/")), bytes(length))
    assert storage.list_sizes(root) == {"a": 0, "b": 3, "sub/c": 7}
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


def test_globs_are_expanded_in_order(root):
    for name in ("2.csv", "1.csv", "x.txt"):
        storage.write_bytes(storage.join(root, name), b"")
    found = storage.expand(storage.join(root, "*.csv"))
    assert [Path(uri).name for uri in found] == ["1.csv", "2.csv"]
    assert [storage.read_bytes(uri) for uri in found] == [b"", b""]
    assert storage.expand("no/wildcard.csv") == ["no/wildcard.csv"]


def test_globs_reach_below_folders(root):
    for name in ("x/1.csv", "x/deep/2.csv", "y/3.csv", "x.csv"):
        storage.write_bytes(storage.join(root, *name.split("/")), b"")
    found = storage.expand(storage.join(root, "*", "*.csv"))
    assert [uri.removeprefix(found[0][: -len("x/1.csv")]) for uri in found] == [
        "x/1.csv",
        "y/3.csv",
    ]
    assert len(storage.expand(storage.join(root, "**", "*.csv"))) == 4
    assert storage.expand(storage.join(root, "none*")) == []


def test_a_staged_file_is_published_whole(root, tmp_path):
    with storage.staged(root, str(tmp_path)) as local:
        local.write_bytes(b"x" * 100_000)
        storage.publish(local, storage.join(root, "up.bin"))
    assert storage.read_bytes(storage.join(root, "up.bin")) == b"x" * 100_000
    assert storage.list_files(root) == ["up.bin"]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(path):
        raise OSError("disk full")

    monkeypatch.setattr(local, "_sync", fail)
    with pytest.raises(StorageError, match=r"/x: expected to write it, got disk full"):
        storage.write_bytes(str(tmp_path / "x"), b"content")
    assert list(tmp_path.iterdir()) == []


def test_what_lies_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    told = pytest.raises(StorageError, match=r"file.*: expected to write it, got .*file")
    for folder in (tmp_path / "file", tmp_path / "file/deeper"):
        with told:
            storage.write_bytes(str(folder / "x"), b"content")
        # Nobody else has made it.
        with told:
            storage.create_bytes(str(folder / "x"), b"content")
        with told, storage.staged(str(folder), ""):
            pass


@pytest.mark.parametrize("kind", ["local", "gs", "s3"])
@pytest.mark.parametrize("same", [False, True])
def test_of_many_that_create_at_once_one_wins(kind, same, tmp_path, object_store):
    root = str(tmp_path) if kind == "local" else f"{object_store(kind).bucket}/{tmp_path.name}"
    uri, barrier = storage.join(root, "commit"), threading.Barrier(8)
    contents = [b"same" if same else str(number).encode() for number in range(8)]

    def create(content):
        barrier.wait()
        return storage.create_bytes(uri, content)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, contents))
    assert sum(won) == 1
    assert storage.read_bytes(uri) == contents[won.index(True)]
    assert storage.list_names(root) == ["commit"]


@pytest.mark.parametrize("kind", ["local", "gs", "s3"])
def test_storage_works_in_a_spawned_process(kind, tmp_path, object_store):
    root = str(tmp_path) if kind == "local" else f"{object_store(kind).bucket}/{tmp_path.name}"
    uri = storage.join(root, "x")
    storage.write_bytes(uri, b"parent")
    process = multiprocessing.get_context("spawn").Process(
        target=storage.write_bytes, args=(uri, b"child")
    )
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert storage.read_bytes(uri) == b"child"


@pytest.mark.parametrize(
    ("uri", "package", "extra"), [("gs://b/x", "gcsfs", "gcp"), ("s3://b/x", "s3fs", "s3")]
)
def test_a_missing_extra_is_named(uri, package, extra, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "ingest.storage.gcs", raising=False)
    monkeypatch.delitem(sys.modules, "ingest.storage.s3", raising=False)
    with pytest.raises(SetupError, match=rf"{uri}: .*pip install 'uncurated\[{extra}\]'"):
        storage.read_bytes(uri)
