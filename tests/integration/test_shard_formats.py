"""The same plan built as tar and as Arrow: the same samples, proofs and guarantees."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pytest

from ingest import storage
from ingest.audit.verify import audit
from schemas.manifest import encode
from tests.building import (
    HOST,
    build,
    commits_of,
    ledger_of,
    picture_site,
    record_of,
    shards_of,
    uncurated,
    write_urls,
)

NUM_PICTURES = 60
OPTIONS = ("--shard-candidates=20", "--decoder-processes=1")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a dataset of each format, and how to build another like them."""
    from ingest.miniweb.server import MiniWeb

    folder = tmp_path_factory.mktemp("formats")
    with MiniWeb(picture_site(NUM_PICTURES)) as web:
        urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES)]
        table = write_urls(folder / "urls.csv", [*urls, web.url(HOST, "/missing")])
        arguments = (f"--input={table}", *OPTIONS)
        build(folder / "tar", *arguments)
        build(folder / "arrow", *arguments, "--format=arrow")
        yield folder, (*arguments, "--format=arrow")


@pytest.fixture
def copied(world, tmp_path):
    return Path(shutil.copytree(world[0] / "arrow", tmp_path / "copy"))


def kept_of(dataset):
    return [row for row in ledger_of(dataset) if row["outcome"] == "kept"]


def test_both_formats_list_the_same_samples_under_the_same_root(world):
    folder, _ = world
    names = ("id", "url", "sha256", "phash", "columns", "length_bytes", "shard")
    tar, arrow = (
        [tuple(row[name] for name in names) for row in kept_of(folder / kind)]
        for kind in ("tar", "arrow")
    )
    assert tar == arrow
    assert len(tar) == NUM_PICTURES
    for one, other in zip(commits_of(folder / "tar"), commits_of(folder / "arrow"), strict=True):
        assert one.merkle_root == other.merkle_root
        assert (one.shard_file[-4:], other.shard_file[-6:]) == (".tar", ".arrow")


def test_the_offsets_of_both_formats_lead_to_the_same_bytes(world):
    folder, _ = world
    images = []
    for kind in ("tar", "arrow"):
        files = {
            one.shard: str(folder / kind / one.shard_file) for one in commits_of(folder / kind)
        }
        images.append(
            [
                storage.read_range(files[row["shard"]], row["offset_bytes"], row["length_bytes"])
                for row in kept_of(folder / kind)
            ]
        )
    assert images[0] == images[1]


def test_the_provenance_column_is_the_json_of_the_tar(world):
    folder, _ = world
    tars = b"".join(shards_of(folder / "tar").values())
    for content in shards_of(folder / "arrow").values():
        for text in pa.ipc.open_file(content).read_all()["provenance"].to_pylist():
            assert text.encode() in tars
            assert json.loads(text)["columns"]["caption"].startswith("caption of ")


@pytest.mark.parametrize("kind", ["tar", "arrow"])
def test_the_audit_verifies_either(world, kind):
    assert audit(str(world[0] / kind)).findings == []


def test_arrow_shards_do_not_depend_on_the_number_of_workers(world, dataset):
    folder, arguments = world
    workers = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    build(dataset, *arguments, *workers)
    assert shards_of(dataset) == shards_of(folder / "arrow")


def test_a_build_goes_on_in_its_format_where_it_stopped(world, copied):
    folder, arguments = world
    for name in ("dataset.json", "manifest.parquet", "commits/00001.json"):
        (copied / name).unlink()
    build(copied, *arguments)
    assert shards_of(copied) == shards_of(folder / "arrow")
    assert audit(str(copied)).findings == []


def test_a_build_in_another_format_is_refused_with_both_names(world, copied):
    refused = uncurated("build", f"--output={copied}", "--format=tar")
    assert refused.returncode == 2
    assert "'arrow'" in refused.stderr
    assert "'tar'" in refused.stderr


def test_a_retry_keeps_the_format(world, copied):
    retried = uncurated("retry", copied, "--outcomes=http_404")
    assert retried.returncode == 0, retried.stderr
    assert {one.shard_file.rpartition(".")[2] for one in commits_of(copied)} == {"arrow"}
    assert audit(str(copied)).findings == []


def test_shards_in_a_format_that_the_build_does_not_name_are_found(copied):
    record = record_of(copied)
    record.build.options["pack"]["format"] = "tar"
    (copied / "dataset.json").write_bytes(encode(record.sealed()))
    found = [str(one) for one in audit(str(copied)).findings]
    assert "commits/00000.json: format: expected tar, got arrow" in found
