"""webdataset, Hugging Face datasets, DuckDB, tar and pyarrow read a dataset without our code."""

import io
import json
import subprocess
from hashlib import sha256

import pyarrow.dataset
import pyarrow.ipc
import pytest
from PIL import Image

from tests.building import HOST, build, columns_of, commits_of, ledger_of, picture_site, write_urls

NUM_PICTURES = 60


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from ingest.miniweb.server import MiniWeb

    folder = tmp_path_factory.mktemp("outsiders")
    with MiniWeb(picture_site(NUM_PICTURES)) as web:
        urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES)]
        urls.append(web.url(HOST, "/missing"))
        table = write_urls(folder / "urls.csv", urls)
        for kind in ("tar", "arrow"):
            arguments = (f"--input={table}", "--shard-candidates=25", f"--format={kind}")
            build(folder / kind, *arguments)
    return folder


@pytest.fixture(scope="module")
def built(world):
    """A dataset of tar shards."""
    return world / "tar"


@pytest.fixture(scope="module")
def arrow_files(world):
    """The shards of a dataset of the same samples in Arrow's format."""
    return shard_files(world / "arrow")


@pytest.fixture(scope="module")
def kept(built):
    return {row["id"]: row for row in ledger_of(built) if row["outcome"] == "kept"}


def shard_files(built):
    return [str(built / commit.shard_file) for commit in commits_of(built)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_webdataset_reads_the_shards(built, kept):
    import webdataset

    samples = list(webdataset.WebDataset(shard_files(built), shardshuffle=False))
    assert {sample["__key__"] for sample in samples} == set(kept)
    for sample in samples:
        provenance = json.loads(sample["json"])
        row = kept[sample["__key__"]]
        (content,) = (
            value for name, value in sample.items() if not name.startswith("__") and name != "json"
        )
        assert sha256(content).hexdigest() == provenance["sha256"] == row["sha256"]
        assert provenance["columns"] == columns_of(row)
        assert provenance["columns"]["caption"].startswith("caption of ")


@pytest.mark.filterwarnings("ignore")
def test_hugging_face_datasets_reads_the_shards_and_the_ledger(built, kept, tmp_path):
    import datasets

    # Shards mix formats, so the columns are named: each sample has one of the images.
    extensions = ["jpg", "png", "webp", "gif", "avif", "tiff", "bmp"]
    features = datasets.Features(
        {"__key__": datasets.Value("string"), **{name: datasets.Image() for name in extensions}}
    )
    streamed = datasets.load_dataset(
        "webdataset",
        data_files=shard_files(built),
        split="train",
        streaming=True,
        features=features,
    )
    sizes = {
        sample["__key__"]: next(sample[name] for name in extensions if sample[name]).size
        for sample in streamed
    }
    assert sizes == {key: size_of(row) for key, row in kept.items()}
    ledger = datasets.load_dataset(
        "parquet",
        data_files=str(built / "ledger" / "*.parquet"),
        split="train",
        cache_dir=str(tmp_path),
    )
    assert len(ledger) == NUM_PICTURES + 1


def size_of(row):
    """Width and height of the upright picture, by its ledger row."""
    stored = (row["width_px"], row["height_px"])
    return stored[::-1] if row["exif_orientation"] in {5, 6, 7, 8} else stored


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("streaming", [False, True], ids=["mapped", "streamed"])
def test_hugging_face_datasets_decodes_arrow_shards(arrow_files, kept, tmp_path, streaming):
    import datasets

    loaded = datasets.load_dataset(
        "arrow",
        data_files=arrow_files,
        split="train",
        streaming=streaming,
        cache_dir=str(tmp_path),
    )
    pictures = loaded.cast_column("image", datasets.Image())
    sizes = {one["id"]: one["image"].size for one in pictures}
    assert sizes == {key: size_of(row) for key, row in kept.items()}


def test_pyarrow_maps_arrow_shards(arrow_files, kept):
    found = {}
    for path in arrow_files:
        with pyarrow.memory_map(path) as mapped:
            table = pyarrow.ipc.open_file(mapped).read_all()
            for row in table.to_pylist():
                found[row["id"]] = sha256(row["image"]).hexdigest()
                assert row["sha256"] == found[row["id"]]
            del table
    assert found == {key: row["sha256"] for key, row in kept.items()}


def test_duckdb_asks_arrow_shards_through_pyarrow(arrow_files, kept):
    import duckdb

    with duckdb.connect() as connection:
        connection.register("shards", pyarrow.dataset.dataset(arrow_files, format="arrow"))
        (found,) = connection.sql(
            "SELECT count(*), sum(octet_length(image)), sum(width_px) FROM shards "
            "WHERE json_extract_string(provenance, '$.columns.caption') LIKE 'caption of %'"
        ).fetchall()
    rows = kept.values()
    expected = (sum(row[name] for row in rows) for name in ("num_bytes", "width_px"))
    assert found == (NUM_PICTURES, *expected)


def test_duckdb_reads_ledger_manifest_and_plan(built):
    import duckdb

    counts = duckdb.sql(
        f"SELECT outcome, count(*) FROM '{built}/ledger/*.parquet' GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert counts == [("http_404", 1), ("kept", NUM_PICTURES)]
    captions = duckdb.sql(
        f"SELECT count(*) FROM '{built}/ledger/*.parquet' "
        "WHERE json_extract_string(columns, '$.caption') LIKE 'caption of %'"
    ).fetchall()[0]
    assert captions == (NUM_PICTURES + 1,)
    (planned,) = duckdb.sql(f"SELECT count(*) FROM '{built}/plan/*.parquet'").fetchall()[0]
    (committed,) = duckdb.sql(
        f"SELECT sum(num_candidates) FROM '{built}/manifest.parquet'"
    ).fetchall()[0]
    assert planned == committed == NUM_PICTURES + 1


def test_tar_extracts_the_original_bytes_under_their_true_extension(built, kept, tmp_path):
    for shard in shard_files(built):
        subprocess.run(["tar", "xf", shard, "-C", tmp_path], check=True)
    images = [path for path in tmp_path.iterdir() if path.suffix != ".json"]
    assert {path.stem for path in images} == set(kept)
    for path in images:
        content = path.read_bytes()
        assert sha256(content).hexdigest() == kept[path.stem]["sha256"]
        decoded = Image.open(io.BytesIO(content)).format.lower()
        assert {"jpg": "jpeg", "tiff": "tiff"}.get(path.suffix[1:], path.suffix[1:]) == decoded


def test_pyarrow_reads_the_ledger_as_one_dataset(built):
    table = pyarrow.dataset.dataset(built / "ledger", format="parquet").to_table()
    assert table.num_rows == NUM_PICTURES + 1


def test_one_range_of_a_shard_is_one_image(built, kept):
    by_shard = {commit.shard: commit.shard_file for commit in commits_of(built)}
    for row in kept.values():
        with (built / by_shard[row["shard"]]).open("rb") as file:
            file.seek(row["offset_bytes"])
            assert sha256(file.read(row["length_bytes"])).hexdigest() == row["sha256"]
