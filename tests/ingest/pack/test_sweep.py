from pathlib import Path

import pytest

from ingest import storage
from ingest.audit.verify import audit
from ingest.miniweb.server import MiniWeb
from ingest.pack.sweep import is_leftover, sweep_leftovers, sweep_records
from tests.building import HOST, build, commits_of, picture_site, write_urls

LEFT = (
    "shards/00001-0123456789ab.tar",
    "shards/00001-0123456789ab.arrow",
    "shards/.staged.abcd_123.partial",
    "shards/.parts/0123456789abcdef/00",
    "ledger/00001-0123456789ab.parquet",
    "ledger/.00001-0123456789ab.parquet.abcd_123.partial",
)
FOREIGN = ("shards/00001.tar", "shards/mine.txt", "ledger/00001-0123456789ab.tar", "ledger/x")
OF_RECORDS = (
    "plan/00099.parquet",
    "plan/.00001.parquet.abcd_123.partial",
    "commits/.x.abcd_123.partial",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished dataset, and the arguments that it was built by."""
    folder = tmp_path_factory.mktemp("swept")
    with MiniWeb(picture_site(8)) as web:
        table = write_urls(folder / "urls.csv", [web.url(HOST, f"/{n}") for n in range(8)])
        arguments = (f"--input={table}", "--shard-candidates=4")
        build(folder / "d", *arguments)
        yield folder / "d", arguments


def put(dataset, *paths):
    for path in paths:
        storage.write_bytes(f"{dataset}/{path}", b"left over")


def files_of(dataset):
    return {str(path.relative_to(dataset)) for path in Path(dataset).rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", LEFT)
def test_what_attempts_leave_is_told_by_its_name(path):
    assert is_leftover(path)


@pytest.mark.parametrize("path", [*FOREIGN, *OF_RECORDS, "shards/a/00001-0123456789ab.tar"])
def test_other_names_are_none_of_ours(path):
    assert not is_leftover(path)


def test_only_what_no_commit_names_is_deleted(finished):
    dataset, _ = finished
    before = files_of(dataset)
    put(dataset, *LEFT, *FOREIGN)
    assert sweep_leftovers(str(dataset), commits_of(dataset)) == len(LEFT)
    assert files_of(dataset) == before | set(FOREIGN)
    for path in FOREIGN:
        (dataset / path).unlink()


def test_plan_parts_of_no_shard_and_partial_records_are_deleted(finished):
    dataset, _ = finished
    before = files_of(dataset)
    put(dataset, *OF_RECORDS)
    assert sweep_records(str(dataset), commits_of(dataset)) == len(OF_RECORDS)
    assert files_of(dataset) == before


def test_an_interrupted_build_passes_its_audit_once_finished_but_for_what_is_foreign(finished):
    dataset, arguments = finished
    put(dataset, *LEFT, *OF_RECORDS, "ledger/mine")
    # As it was before its seal.
    (dataset / "dataset.json").unlink()
    build(dataset, *arguments)
    found = [str(one) for one in audit(str(dataset)).findings]
    (dataset / "ledger" / "mine").unlink()
    assert found == ["ledger/mine: expected in no record, got a file"]


def test_building_a_finished_dataset_again_deletes_what_was_left(finished):
    dataset, arguments = finished
    put(dataset, *LEFT)
    assert len(audit(str(dataset), quick=True).findings) == len(LEFT)
    build(dataset, *arguments)
    assert audit(str(dataset), quick=True).findings == []
