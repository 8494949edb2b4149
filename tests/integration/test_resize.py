"""`uncurated resize`: smaller copies of a sealed dataset, each with the digest of its original."""

import io
from collections import Counter

import pytest
from PIL import Image

from tests.building import build, ledger_of, pictures, record_of, shards_of, uncurated

NUM_PICTURES = 30


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("original")
    (folder / "images").mkdir()
    for number, picture in enumerate(pictures(NUM_PICTURES)):
        (folder / "images" / f"{number}.jpg").write_bytes(picture.content)
    build(folder / "d", f"--input={folder / 'images'}", "--shard-candidates=10")
    return folder / "d"


def resize(dataset, output, *arguments):
    finished = uncurated("resize", dataset, f"--output={output}", *arguments)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    audit = uncurated("audit", output)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    return record_of(output)


def pictures_of(dataset):
    """Each kept image by its id, from the shard, by the ledger's offset."""
    files = shards_of(dataset)
    by_shard = {int(name[7:].partition("-")[0]): content for name, content in files.items()}
    return {
        row["id"]: by_shard[row["shard"]][row["offset_bytes"] :][: row["length_bytes"]]
        for row in ledger_of(dataset)
        if row["outcome"] == "kept"
    }


def test_a_smaller_copy_names_its_originals_and_its_lineage(original, tmp_path):
    record = resize(original, tmp_path / "small", "--size=64", "--shard-candidates=15")
    root = record_of(original).merkle_root
    assert record.lineage == (f"{original} {root}",)
    assert record.decontamination == f"not decontaminated anew; out of {original} {root}"
    assert record.num_kept == record_of(original).num_kept == NUM_PICTURES
    before = {row["id"]: row for row in ledger_of(original)}
    for row in ledger_of(tmp_path / "small"):
        assert row["original_sha256"] == before[row["id"]]["sha256"] != row["sha256"]
        assert (row["url"], row["columns"]) == (
            before[row["id"]]["url"],
            before[row["id"]]["columns"],
        )
        assert (row["format"], min(row["width_px"], row["height_px"])) == ("jpeg", 64)
    for content in pictures_of(tmp_path / "small").values():
        assert min(Image.open(io.BytesIO(content)).size) == 64


def test_the_same_copy_comes_out_again_in_either_format(original, tmp_path):
    arguments = ("--size=48", "--resize-mode=center_crop", "--encode-format=webp")
    tar = resize(original, tmp_path / "tar", *arguments)
    arrow = resize(original, tmp_path / "arrow", *arguments, "--format=arrow")
    assert tar.merkle_root == arrow.merkle_root
    assert pictures_of(tmp_path / "tar") == pictures_of(tmp_path / "arrow")
    sizes = Counter(
        Image.open(io.BytesIO(one)).size for one in pictures_of(tmp_path / "tar").values()
    )
    assert sizes == {(48, 48): NUM_PICTURES}


def test_a_second_resize_of_other_size_is_refused_and_of_the_same_changes_nothing(
    original, tmp_path
):
    first = resize(original, tmp_path / "d", "--size=32")
    files = shards_of(tmp_path / "d")
    assert resize(original, tmp_path / "d", "--size=32") == first
    assert shards_of(tmp_path / "d") == files
    finished = uncurated("resize", original, f"--output={tmp_path / 'd'}", "--size=33")
    assert finished.returncode == 2
    assert "expected size 32 as recorded, got 33" in " ".join(finished.stderr.split())


def test_only_a_finished_dataset_can_be_resized(tmp_path):
    (tmp_path / "images").mkdir()
    finished = uncurated("resize", tmp_path / "images", f"--output={tmp_path / 'd'}")
    assert finished.returncode == 2
    assert "expected a finished dataset, got none" in " ".join(finished.stderr.split())
