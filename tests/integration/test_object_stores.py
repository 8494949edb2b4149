import pyarrow.parquet as pq
import pytest

from ingest import storage
from ingest.audit.selection import Selection
from ingest.audit.verify import audit
from ingest.miniweb.server import MiniWeb
from schemas.manifest import DatasetRecord, decode
from tests.building import ALLOW, HOST, build, picture_site, record_of, uncurated, write_urls

NUM_PICTURES = 40
OPTIONS = ("--shard-candidates=4", "--decoder-processes=1", "--connections=4")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of a served site's URLs, three of which lead nowhere."""
    with MiniWeb(picture_site(NUM_PICTURES)) as web:
        urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES + 3)]
        yield write_urls(tmp_path_factory.mktemp("table") / "urls.csv", urls)


@pytest.fixture(scope="module")
def local_dataset(table, tmp_path_factory):
    """A dataset on local disk."""
    dataset = tmp_path_factory.mktemp("local") / "dataset"
    build(dataset, f"--input={table}", *OPTIONS)
    return dataset


@pytest.fixture
def local(local_dataset):
    """Its record."""
    return record_of(local_dataset)


def build_at(dataset, table):
    """The record of a dataset that is built at a URI, with nothing but environment variables."""
    arguments = (f"--output={dataset}", f"--input={table}", *OPTIONS, *ALLOW)
    finished = uncurated("build", *arguments)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return decode(DatasetRecord, storage.read_bytes(f"{dataset}/dataset.json"))


def uncommitted(dataset):
    """The objects below shards/ and ledger/ that no commit names."""
    found = {
        f"{folder}/{path}"
        for folder in ("shards", "ledger")
        for path in storage.list_files(storage.join(dataset, folder))
    }
    return found - {
        path
        for commit in commits_at(dataset)
        for path in (commit["shard_file"], commit["ledger_file"])
    }


def upload(folder, dataset):
    for path in storage.list_files(str(folder)):
        storage.write_bytes(f"{dataset}/{path}", (folder / path).read_bytes())
    return dataset


def kept_ids(dataset):
    for commit in commits_at(dataset):
        with storage.open_input(storage.join(dataset, commit["ledger_file"])) as file:
            table = pq.read_table(file, columns=["id", "outcome"])
        rows = zip(table["id"].to_pylist(), table["outcome"].to_pylist(), strict=True)
        yield from (one for one, outcome in rows if outcome == "kept")


def commits_at(dataset):
    with storage.open_input(f"{dataset}/manifest.parquet") as file:
        return pq.read_table(file).to_pylist()


@pytest.mark.parametrize("kind", ["gs", "s3"])
def test_a_dataset_has_the_same_root_wherever_it_is_built(
    kind, table, local, tmp_path, object_store
):
    store = object_store(kind)
    dataset = f"{store.bucket}/{tmp_path.name}/dataset"
    record = build_at(dataset, table)
    assert record.merkle_root == local.merkle_root
    assert record.outcomes == local.outcomes
    assert uncommitted(dataset) == set()
    audited = uncurated("audit", dataset)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert build_at(dataset, table) == record, "a finished dataset is left as it is"


@pytest.mark.parametrize("kind", ["gs", "s3"])
def test_faults_of_a_store_change_nothing(kind, table, local, tmp_path, object_store):
    store = object_store(kind)
    dataset = f"{store.bucket}/{tmp_path.name}/dataset"
    store.proxy.inject(0.05, seed=3)
    record = build_at(dataset, table)
    audited = uncurated("audit", dataset)
    num_faults = store.proxy.injected.total()
    store.proxy.calm()
    assert num_faults > 5
    assert record.merkle_root == local.merkle_root
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert uncommitted(dataset) == set()


@pytest.mark.parametrize("kind", ["gs", "s3"])
def test_what_a_crash_left_is_told_and_swept_by_the_next_build(kind, table, tmp_path, object_store):
    dataset = f"{object_store(kind).bucket}/{tmp_path.name}/dataset"
    record = build_at(dataset, table)
    left = (
        *("shards/.parts/0123456789abcdef/00", "shards/00000-0123456789ab.tar"),
        "ledger/00000-0123456789ab.parquet",
    )
    for path in left:
        storage.write_bytes(storage.join(dataset, path), b"left over")
    assert uncommitted(dataset) == set(left)
    found = {str(one) for one in audit(dataset, quick=True).findings}
    assert found == {f"{path}: expected in no record, got a file" for path in left}
    assert build_at(dataset, table) == record
    assert uncommitted(dataset) == set()
    assert audit(dataset).findings == []


def test_some_samples_are_audited_by_range_requests(table, local_dataset, tmp_path, object_store):
    store = object_store("gs")
    build(tmp_path / "arrow", f"--input={table}", *OPTIONS, "--format=arrow")
    for kind, folder in (("tar", local_dataset), ("arrow", tmp_path / "arrow")):
        dataset = upload(folder, f"{store.bucket}/{tmp_path.name}/{kind}")
        finished = uncurated("audit", dataset, "--quick", "--samples=20%", "--seed=1")
        assert finished.returncode == 0, finished.stdout + finished.stderr
        expected = sum(Selection.parse("20%", 1).takes(one) for one in kept_ids(dataset))
        assert 0 < expected < NUM_PICTURES
        assert f"samples checked (20%): {expected}\n" in finished.stdout
        assert f"{expected} samples, other contents not" in finished.stdout


def test_a_bucket_that_is_not_there_is_one_sentence(table, object_store):
    dataset = object_store("s3").bucket[:5] + "no-such-bucket/dataset"
    refused = uncurated("build", f"--output={dataset}", f"--input={table}", *OPTIONS, *ALLOW)
    assert refused.returncode == 2
    assert f"expected the bucket of {dataset}/" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
