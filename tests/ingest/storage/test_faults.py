import base64
import hashlib
import random
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import storage
from ingest.errors import StorageError
from ingest.storage import objects, retry
from tests.faulty_proxy import PASSING, Fault

PART_BYTES = 5 << 20
# In the URL of the request that makes one object of parts, on either store.
LAST_STEP = re.compile("/compose|uploadId=")


@pytest.fixture(params=["gs", "s3"])
def store(request, object_store):
    return object_store(request.param)


@pytest.fixture
def root(store, tmp_path):
    return f"{store.bucket}/{tmp_path.name}"


@pytest.fixture(autouse=True)
def _hurried(monkeypatch):
    """Pauses as between a store and its neighbours."""
    patience = retry.Patience(first_s=0.005)
    monkeypatch.setattr(objects, "persist", partial(retry.persist, patience=patience))


@pytest.fixture
def small_parts(monkeypatch):
    # The smallest that S3 takes.
    monkeypatch.setattr(objects, "PART_BYTES", PART_BYTES)


@pytest.fixture
def impatient(monkeypatch):
    """A store that fails for good is given up at once."""
    patience = retry.Patience(deadline_s=0.2)
    monkeypatch.setattr(objects, "persist", partial(retry.persist, patience=patience))


def large_file(folder, num_parts):
    content = random.Random(5).randbytes(num_parts * PART_BYTES - 12_345)
    path = folder / "staged"
    path.write_bytes(content)
    return path, content


@pytest.mark.parametrize("fault", PASSING)
def test_each_operation_outlives_each_fault(store, root, fault):
    uri = storage.join(root, "x")

    def failing(*methods):
        store.proxy.once(fault, methods)
        return uri

    storage.write_bytes(failing("POST", "PUT"), b"0123456789")
    assert storage.read_bytes(failing("GET")) == b"0123456789"
    assert storage.read_range(failing("GET"), 2, 3) == b"234"
    assert storage.size(failing("GET", "HEAD")) == 10
    assert storage.exists(failing("GET", "HEAD"))
    failing("GET")
    assert storage.list_files(root) == ["x"]
    failing("GET")
    assert storage.list_names(root) == ["x"]
    failing("GET")
    assert storage.is_folder(root)
    failing("GET")
    assert storage.expand(f"{root}/*") == [uri]
    storage.remove(failing("DELETE"))
    assert not storage.exists(uri)
    assert store.proxy.injected[fault] == 10


@pytest.mark.parametrize("fault", PASSING)
def test_a_stream_outlives_faults_midway(store, root, fault, monkeypatch):
    monkeypatch.setattr(objects, "READ_BYTES", 1000)
    table = pa.table({"number": range(10_000)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=1_000)
    uri = storage.join(root, "table.parquet")
    storage.write_bytes(uri, sink.getvalue().to_pybytes())
    with storage.open_input(uri) as file:
        store.proxy.inject(0.3, [fault])
        assert pq.read_table(file) == table
    assert store.proxy.injected[fault] > 0


def test_a_listing_of_many_pages_is_whole_under_faults(store, root, monkeypatch):
    monkeypatch.setattr(objects, "PAGE_NAMES", 3)
    names = [f"{number:02d}" for number in range(8)]
    for name in names:
        storage.write_bytes(f"{root}/{name}", b"")
        storage.write_bytes(f"{root}/sub-{name}/x", b"")
    store.proxy.inject(0.3, seed=2)
    assert storage.list_names(root) == names + [f"sub-{name}" for name in names]
    assert len(storage.list_files(root)) == 16
    assert storage.expand(f"{root}/0*") == [f"{root}/{name}" for name in names]
    assert storage.expand(f"{root}/s*/x") == [f"{root}/sub-{name}/x" for name in names]


def test_a_lost_acknowledgement_is_no_rival(store, root):
    store.proxy.once(Fault.LOST_ACKNOWLEDGEMENT)
    assert storage.create_bytes(f"{root}/commit", b"ours")
    assert store.proxy.injected[Fault.LOST_ACKNOWLEDGEMENT] == 1
    assert storage.read_bytes(f"{root}/commit") == b"ours"


def test_a_rival_is_no_lost_acknowledgement(store, root):
    assert storage.create_bytes(f"{root}/commit", b"content")
    store.proxy.once(Fault.LOST_ACKNOWLEDGEMENT)
    assert not storage.create_bytes(f"{root}/commit", b"content")


def test_a_creation_tells_the_store_its_condition(store, root, small_parts):
    storage.create_bytes(f"{root}/small", b"x")
    storage.create_bytes(f"{root}/large", bytes(3 * PART_BYTES))
    conditions = [
        "ifGenerationMatch=0" in seen.target or seen.headers.get("If-None-Match") == "*"
        for seen in store.proxy.seen
        if seen.method in ("POST", "PUT")
    ]
    assert conditions == [True, True]


def test_a_corrupted_upload_is_noticed_and_sent_again(store, root, small_parts, tmp_path):
    content = random.Random(3).randbytes(100_000)
    store.proxy.once(Fault.FLIPPED)
    storage.write_bytes(f"{root}/written", content)
    store.proxy.once(Fault.FLIPPED)
    assert storage.create_bytes(f"{root}/created", content)
    store.proxy.once(Fault.FLIPPED)
    small = tmp_path / "small"
    small.write_bytes(content)
    storage.publish(small, f"{root}/published")
    for name in ("written", "created", "published"):
        assert storage.read_bytes(f"{root}/{name}") == content
    assert store.proxy.injected[Fault.FLIPPED] == 3


def test_an_upload_that_is_corrupted_each_time_fails_with_both_digests(store, root, impatient):
    store.proxy.inject(1.0, [Fault.FLIPPED])
    content = bytes(1_000)
    with pytest.raises(StorageError) as caught:
        storage.write_bytes(f"{root}/x", content)
    message = str(caught.value)
    crc32c = base64.b64encode(google_crc32c.Checksum(content).digest()).decode()
    ours = {"gs": crc32c, "s3": hashlib.md5(content).hexdigest()}[root[:2]]
    assert f"{root}/x" in message
    assert ours in message


def test_a_store_that_stays_away_is_given_up(store, root, impatient):
    store.proxy.inject(1.0, [Fault.UNAVAILABLE])
    with pytest.raises(StorageError, match=rf"write {root}/x: .* failures; .*503"):
        storage.write_bytes(f"{root}/x", b"x")
    for ask in (storage.exists, storage.is_folder, storage.list_names, storage.list_files):
        with pytest.raises(StorageError, match="503"):
            ask(f"{root}/x")
    with pytest.raises(StorageError, match="503"):
        storage.expand(f"{root}/*")


def test_requests_are_not_multiplied_by_the_client(store, root, monkeypatch):
    monkeypatch.setattr(
        objects, "persist", partial(retry.persist, patience=retry.Patience(deadline_s=-1))
    )
    store.proxy.inject(1.0, [Fault.UNAVAILABLE])
    with pytest.raises(StorageError, match="got 1 failures"):
        storage.read_bytes(f"{root}/x")
    assert len(store.proxy.seen) == 1


def test_who_may_not_is_told_where(store, root):
    store.proxy.inject(1.0, [Fault.FORBIDDEN])
    with pytest.raises(StorageError, match=f"expected to write {root}/x, got"):
        storage.write_bytes(f"{root}/x", b"x")
    with pytest.raises(StorageError, match=f"expected to read {root}/x, got"):
        storage.read_bytes(f"{root}/x")
    with pytest.raises(StorageError, match=f"expected to look at {root}/x, got"):
        storage.exists(f"{root}/x")


def test_a_missing_bucket_is_named(store):
    uri = f"{store.bucket[:5]}no-such-bucket/x"
    with pytest.raises(StorageError, match=f"expected the bucket of {uri}, got none"):
        storage.write_bytes(uri, b"x")
    with pytest.raises(StorageError, match=f"expected the bucket of {uri}, got none"):
        storage.create_bytes(uri, b"x")
    with pytest.raises(FileNotFoundError, match=f"expected {uri}, got none"):
        storage.read_bytes(uri)


def test_a_large_file_goes_up_in_parts(store, root, small_parts, tmp_path):
    path, content = large_file(tmp_path, 3)
    storage.publish(path, f"{root}/shards/up.tar")
    assert storage.read_bytes(f"{root}/shards/up.tar") == content
    assert storage.list_files(root) == ["shards/up.tar"]
    sent = [int(seen.headers.get("Content-Length", 0)) for seen in store.proxy.seen]
    assert sum(num_bytes > PART_BYTES // 2 for num_bytes in sent) == 3


def test_a_large_file_outlives_faults_and_leaves_no_parts(store, root, small_parts, tmp_path):
    path, content = large_file(tmp_path, 3)
    store.proxy.inject(0.2, seed=1)
    storage.publish(path, f"{root}/shards/up.tar")
    num_faults = store.proxy.injected.total()
    store.proxy.calm()
    assert num_faults > 0
    assert storage.read_bytes(f"{root}/shards/up.tar") == content
    assert storage.list_files(root) == ["shards/up.tar"]


def test_the_answer_to_the_last_step_of_a_large_file_may_be_lost(
    store, root, small_parts, tmp_path
):
    path, content = large_file(tmp_path, 2)
    store.proxy.once(Fault.LOST_ACKNOWLEDGEMENT, ["POST"], LAST_STEP)
    storage.publish(path, f"{root}/up.tar")
    assert store.proxy.injected[Fault.LOST_ACKNOWLEDGEMENT] == 1
    assert storage.read_bytes(f"{root}/up.tar") == content


def test_a_large_file_that_cannot_be_finished_leaves_nothing(store, root, small_parts, tmp_path):
    path, _ = large_file(tmp_path, 2)
    store.proxy.once(Fault.FORBIDDEN, ["POST"], LAST_STEP)
    with pytest.raises(StorageError, match=f"expected to (compose|complete) {root}/up.tar, got"):
        storage.publish(path, f"{root}/up.tar")
    assert storage.list_files(root) == []
    assert store.proxy.seen[-1].method == "GET"
    assert "DELETE" in {seen.method for seen in store.proxy.seen[-5:]}


def test_parts_that_stay_are_in_a_folder_of_their_own(object_store, small_parts, tmp_path, caplog):
    store = object_store("gs")
    root = f"{store.bucket}/{tmp_path.name}"
    path, content = large_file(tmp_path, 2)
    for _ in range(2):
        store.proxy.once(Fault.FORBIDDEN, ["DELETE"])
    storage.publish(path, f"{root}/shards/up.tar")
    assert storage.read_bytes(f"{root}/shards/up.tar") == content
    assert storage.list_names(f"{root}/shards") == [".parts", "up.tar"]
    assert storage.expand(f"{root}/shards/*.tar") == [f"{root}/shards/up.tar"]
    assert "left over" in caplog.text


def test_hundreds_of_operations_under_faults_leave_what_was_asked_for(store, root):
    store.proxy.inject(0.15, seed=11)

    def work(number):
        uri, content = f"{root}/{number % 10}/{number}", str(number).encode() * 100
        assert storage.create_bytes(uri, content)
        assert not storage.create_bytes(uri, b"rival")
        assert storage.read_bytes(uri) == content
        assert storage.size(uri) == len(content)
        storage.write_bytes(f"{uri}.copy", content)
        if number % 3 == 0:
            storage.remove(f"{uri}.copy")
        return uri, content

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(work, range(60)))
    names = storage.list_files(root)
    num_faults = store.proxy.injected.total()
    store.proxy.calm()
    assert num_faults > 30
    assert len(names) == 60 + 40
    assert all(storage.read_bytes(uri) == content for uri, content in done)
