import pickle

import pytest

from tests.benchmarks.range_server import range_server
from train_entry.store import Store, StoreError, persist


class Flaky:
    """Fails so often, then answers."""

    def __init__(self, failures, error=TimeoutError):
        self.failures, self.error, self.attempts = failures, error, 0

    def __call__(self):
        self.attempts += 1
        if self.attempts <= self.failures:
            raise self.error(f"attempt {self.attempts}")
        return "answer"


def test_a_request_is_made_again_after_growing_pauses():
    pauses = []
    request = Flaky(12)
    assert persist("file", request, 1000, sleep=pauses.append) == "answer"
    assert request.attempts == 13
    assert all(pause <= min(15, 0.1 * 2**number) for number, pause in enumerate(pauses))
    assert max(pauses[6:]) > 0.2


def test_what_cannot_pass_is_told_at_once():
    request = Flaky(1, FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        persist("file", request, 1000)
    assert request.attempts == 1


def test_a_store_that_cannot_be_opened_is_told_at_once():
    store, pauses = Store("s3x://bucket", patience_s=1000), []
    with pytest.raises(StoreError, match="s3x://bucket: expected a store that fsspec can open"):
        persist("file", lambda: store._open(), 1000, sleep=pauses.append)
    assert pauses == []


def test_patience_has_an_end_that_names_the_last_failure():
    with pytest.raises(StoreError, match="file: expected an answer within 0 s of the first"):
        persist("file", Flaky(1), 0)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_local_files_are_read_in_place(tmp_path, prefix):
    (tmp_path / "a").write_bytes(b"0123456789")
    store = Store(f"{prefix}{tmp_path}")
    assert store.is_local
    assert store.read("a") == b"0123456789"
    assert store.read("a", 2, 5) == b"234"
    assert store.size("a") == 10
    assert store.names("") == ["a"]
    assert store.names("none") == []
    with pytest.raises(EOFError, match="expected 5 bytes from 8, got 2"):
        store.read("a", 8, 13)


def test_ranges_come_over_http(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    with range_server(tmp_path, 0) as uri:
        store = pickle.loads(pickle.dumps(Store(uri, patience_s=0)))
        assert not store.is_local
        assert store.read("a", 2, 5) == b"234"
        assert store.read("a") == b"0123456789"
        assert store.size("a") == 10
        assert store.names("tombstones") == []
        with pytest.raises(FileNotFoundError, match="status 404"):
            store.read("b", 0, 1)
        with pytest.raises(StoreError, match="expected 5 bytes from 8, got 2"):
            store.read("a", 8, 13)
        # The connection is as good as before.
        assert store.read("a", 0, 2) == b"01"


def test_ranges_come_from_googles_store(object_store):
    from ingest import storage

    place = object_store("gs")
    storage.write_bytes(f"{place.bucket}/store/folder/a", b"0123456789")
    store = Store(f"{place.bucket}/store", patience_s=0)
    assert store.read("folder/a", 2, 5) == b"234"
    assert store.read("folder/a") == b"0123456789"
    assert store.size("folder/a") == 10
    assert store.names("folder") == ["a"]
    assert store.names("none") == []
    with pytest.raises(FileNotFoundError):
        store.read("folder/b", 0, 1)


def test_ranges_come_from_amazons_store(object_store):
    from ingest import storage

    place = object_store("s3")
    storage.write_bytes(f"{place.bucket}/store/folder/a", b"0123456789")
    store = Store(f"{place.bucket}/store", patience_s=0)
    assert store.read("folder/a", 2, 5) == b"234"
    assert store.size("folder/a") == 10
    assert store.names("folder") == ["a"]


def test_files_below_a_folder_are_listed_with_their_sizes_wherever_it_lies(tmp_path):
    files = {"a/b/1.jpg": b"123", "a/2.jpg": b"", "c.txt": b"1"}
    stores = Store(str(tmp_path)), Store("memory://listed")
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
        stores[1]._open().pipe_file(f"memory://listed/{name}", content)
    for store in stores:
        assert store.sizes("a") == {"b/1.jpg": 3, "2.jpg": 0}
        assert store.sizes("") == {name: len(content) for name, content in files.items()}
        assert store.sizes("nothing") == store.sizes("c.txt") == {}
        assert [store.is_folder(name) for name in ("a", "c.txt", "d")] == [True, False, False]
        assert [store.exists(name) for name in ("a", "c.txt", "d")] == [True, True, False]
