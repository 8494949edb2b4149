"""What is on disk already becomes a dataset: img2dataset's output, tars, parquet, datasets."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from hashlib import sha256
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.miniweb.site import Site, image_page
from tests.building import build, columns_of, commits_of, ledger_of, pictures, uncurated

NUM_PICTURES = 40
LOOPBACK = "127.0.0.1"


def contents():
    return [picture.content for picture in pictures(NUM_PICTURES)]


def kept_digests(dataset):
    return Counter(row["sha256"] for row in ledger_of(dataset) if row["outcome"] == "kept")


def digests(found):
    return Counter(sha256(content).hexdigest() for content in found)


def audited(dataset):
    finished = uncurated("audit", dataset)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return dataset


@pytest.fixture(scope="module", params=["webdataset", "parquet", "files"])
def downloaded(request, tmp_path_factory):
    """Format, folder that img2dataset has made, and the URLs that it was given."""
    from ingest.miniweb.server import MiniWeb

    folder = tmp_path_factory.mktemp(request.param)
    site = Site()
    for number, picture in enumerate(pictures(NUM_PICTURES)):
        site.add(LOOPBACK, f"/{number}", image_page(picture.content, picture.media_type))
    with MiniWeb(site) as web:
        urls = [web.url(LOOPBACK, f"/{number}") for number in range(NUM_PICTURES)]
        urls += [web.url(LOOPBACK, "/missing"), "http://127.0.0.1:9/refused"]
        captions = [f"caption {number}" for number in range(len(urls))]
        pq.write_table(pa.table({"url": urls, "caption": captions}), folder / "urls.parquet")
        run_img2dataset(folder, request.param)
    return request.param, folder / "out", urls


def run_img2dataset(folder, output_format):
    arguments = {
        "url_list": folder / "urls.parquet",
        "input_format": "parquet",
        "url_col": "url",
        "caption_col": "caption",
        "output_folder": folder / "out",
        "output_format": output_format,
        "processes_count": 1,
        "thread_count": 4,
        "number_sample_per_shard": 16,
        "disable_all_reencoding": True,
        "enable_wandb": False,
        "retries": 0,
        "timeout": 10,
    }
    finished = subprocess.run(
        [sys.executable, "-c", "from img2dataset import main; main()"]
        + [f"--{name}={value}" for name, value in arguments.items()],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "PYTHONWARNINGS": "ignore"},
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_a_download_of_img2dataset_is_imported_with_every_row_accounted_for(downloaded, tmp_path):
    output_format, folder, urls = downloaded
    build(tmp_path / "d", f"--input={folder}", "--shard-candidates=20")
    rows = ledger_of(audited(tmp_path / "d"))
    assert sorted(row["url"] for row in rows) == sorted(urls)
    outcomes = Counter(row["outcome"] for row in rows)
    assert outcomes == {"kept": NUM_PICTURES, "not_stored": 2}
    assert kept_digests(tmp_path / "d") == digests(contents())
    for row in rows:
        columns = columns_of(row)
        assert columns["caption"] == f"caption {urls.index(row['url'])}"
        assert columns["status"] == (
            "success" if row["outcome"] == "kept" else "failed_to_download"
        )
        assert row["requests"] == []
    failed = next(row for row in rows if row["url"].endswith("/missing"))
    assert failed["detail"].startswith("failed_to_download: HTTP Error 404")
    carriers = {row["carrier"] for row in rows if row["outcome"] == "kept"}
    assert carriers == {"parquet" if output_format == "parquet" else "file"}


def test_rows_without_image_images_without_row_and_tars_without_table_are_told(
    downloaded, tmp_path
):
    output_format, folder, _ = downloaded
    if output_format != "webdataset":
        pytest.skip("a story of tars")
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    table = pq.read_table(broken / "00000.parquet")
    lost = table["key"][0].as_py()
    pq.write_table(table.slice(0, table.num_rows - 1), broken / "00000.parquet")
    unnamed = table["key"][-1].as_py()
    with tarfile.open(folder / "00000.tar") as tar:
        members = [
            (one, tar.extractfile(one).read()) for one in tar if not one.name.startswith(lost)
        ]
    with tarfile.open(broken / "00000.tar", "w") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    (broken / "00001.parquet").unlink()
    finished = uncurated("build", f"--output={tmp_path / 'd'}", f"--input={broken}")
    assert finished.returncode == 0, finished.stderr
    assert "00001.tar has no table" in " ".join(finished.stderr.split())
    rows = ledger_of(audited(tmp_path / "d"))
    (missing,) = (row for row in rows if columns_of(row).get("key") == lost)
    assert missing["outcome"] == "not_stored"
    assert f"expected an image of key {lost!r} beside the table, got none" in missing["detail"]
    assert any(columns_of(row).get("key") == unnamed for row in rows)
    assert sum(row["outcome"] == "kept" for row in rows) == NUM_PICTURES - 1


def test_the_same_images_from_a_tar_a_folder_and_parquet_are_the_same_samples(tmp_path):
    (tmp_path / "folder").mkdir()
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for number, content in enumerate(contents()):
            (tmp_path / "folder" / f"{number}.jpg").write_bytes(content)
            tar.add(tmp_path / "folder" / f"{number}.jpg", f"{number}.jpg")
    table = pa.table({"image": [{"bytes": one, "path": None} for one in contents()]})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=6)
    for name in ("folder", "t.tar", "t.parquet"):
        dataset = tmp_path / f"of-{name}"
        build(dataset, f"--input={tmp_path / name}", "--shard-candidates=15")
        assert kept_digests(audited(dataset)) == digests(contents())
    record = json.loads((tmp_path / "of-t.parquet" / "plan.json").read_text())
    assert [one["kind"] for one in record["inputs"]] == ["images"]
    of_group = {}
    for row in ledger_of(tmp_path / "of-t.parquet"):
        of_group.setdefault(row["stored_at"].partition(":")[0], set()).add(row["shard"])
    assert {len(shards) for shards in of_group.values()} == {1}, "a row group is read once"


def test_a_dataset_is_packed_anew_without_what_has_a_tombstone(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "evaluation").mkdir()
    for number, content in enumerate(contents()):
        (tmp_path / "folder" / f"{number}.jpg").write_bytes(content)
    for number, content in enumerate(contents()[:3]):
        (tmp_path / "evaluation" / f"{number}.jpg").write_bytes(content)
    first = tmp_path / "first"
    record = build(first, f"--input={tmp_path / 'folder'}", "--shard-candidates=15")
    index = tmp_path / "e.index"
    for arguments in (
        ("index", f"--eval-set=demo={tmp_path / 'evaluation'}", f"--output={index}"),
        ("decontaminate", first, f"--eval-index={index}"),
    ):
        finished = uncurated(*arguments)
        assert finished.returncode == 0, finished.stderr
    second = tmp_path / "second"
    again = build(second, f"--input={first}", "--shard-candidates=100")
    assert again.num_shards == 1
    assert again.num_kept == record.num_kept - 3
    assert kept_digests(audited(second)) == digests(contents()[3:])
    ids = {row["id"]: row["url"] for row in ledger_of(first)}
    assert all(ids[row["id"]] == row["url"] for row in ledger_of(second))
    (source,) = again.plan.inputs
    assert (source.kind, source.merkle_root) == ("dataset", record.merkle_root)
    assert again.lineage == (f"{first} {record.merkle_root}",)
    assert len(commits_of(second)) == 1
    assert Path(second, "dataset.json").exists()
