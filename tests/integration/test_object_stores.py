import pyarrow.parquet as pq
import pytest

from ingest import storage
from ingest.audit.verify import audit
from ingest.miniweb.server import MiniWeb
from schemas.manifest import DatasetRecord, decode
from tests.building import ALLOW, HOST, build, picture_site, uncurated, write_urls

NUM_PICTURES = 40
OPTIONS = ("--shard-candidates=4", "--decoder-processes=1", "--connections=4")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table of a served site's URLs, three of which lead nowhere."""
    with MiniWeb(picture_site(NUM_PICTURES)) as web:
        urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES + 3)]
        yield write_urls(tmp_path_factory.mktemp("table") / "urls.csv", urls)


@pytest.fixture(scope="module")
def local(table, tmp_path_factory):
    """The record of a dataset on local disk."""
    return build(tmp_path_factory.mktemp("local") / "dataset", f"--input={table}", *OPTIONS)


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
    assert audit(dataset).num_uncommitted == len(uncommitted(dataset))


@pytest.mark.parametrize("kind", ["gs", "s3"])
def test_what_a_crash_left_is_told_and_no_shard(kind, table, tmp_path, object_store):
    dataset = f"{object_store(kind).bucket}/{tmp_path.name}/dataset"
    build_at(dataset, table)
    left = ("shards/.parts/0123456789abcdef/00", "shards/00000-unnamed.tar", "ledger/x.parquet")
    for path in left:
        storage.write_bytes(storage.join(dataset, path), b"left over")
    assert uncommitted(dataset) == set(left)
    report = audit(dataset)
    assert report.num_uncommitted == len(left)
    assert report.findings == []
    audited = uncurated("audit", dataset)
    assert audited.returncode == 0
    assert "3" in audited.stdout


def test_a_bucket_that_is_not_there_is_one_sentence(table, object_store):
    dataset = object_store("s3").bucket[:5] + "no-such-bucket/dataset"
    refused = uncurated("build", f"--output={dataset}", f"--input={table}", *OPTIONS, *ALLOW)
    assert refused.returncode == 2
    assert f"expected the bucket of {dataset}/" in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
