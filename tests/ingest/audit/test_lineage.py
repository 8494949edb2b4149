from pathlib import Path

import pytest

from ingest.audit.lineage import trace
from tests.building import build_pictures, record_of, uncurated


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """A dataset, and one of smaller copies made from it."""
    folder = tmp_path_factory.mktemp("lineage")
    build_pictures(folder / "d", 4)
    finished = uncurated("resize", folder / "d", f"--output={folder / 'small'}", "--size=64")
    assert finished.returncode == 0, finished.stderr
    return folder


def lineage_of(dataset):
    return trace(str(dataset), record_of(dataset))


def test_the_way_back_ends_at_the_digests_of_the_inputs(datasets):
    lineage = lineage_of(datasets / "small")
    assert lineage.findings == []
    text = "\n".join(lineage.lines)
    for line in (
        f"dataset {datasets / 'small'}: version 1.0.0",
        "  resized: downscale_interpolation area",
        f"    input {datasets / 'd'} (dataset): 4 rows, Merkle root",
        f"      dataset {datasets / 'd'}: version 1.0.0",
        f"        input {datasets / 'urls.csv'} (table): 4 rows",
    ):
        assert line in text
    assert text.count("as recorded") == 2


def test_an_input_that_has_changed_is_told_with_both_digests(datasets):
    table = Path(datasets / "urls.csv")
    content = table.read_bytes()
    try:
        table.write_bytes(content.replace(b"caption of 1", b"caption of 7"))
        lineage = lineage_of(datasets / "d")
    finally:
        table.write_bytes(content)
    (finding,) = lineage.findings
    assert "sha256: expected" in str(finding)
    assert "NOT as recorded" in "\n".join(lineage.lines)
    finished = uncurated("audit", datasets / "d", "--quick", "--lineage")
    assert finished.returncode == 0, finished.stdout
    assert "as recorded" in finished.stdout


def test_an_input_that_cannot_be_reached_is_told_and_is_no_finding(datasets, tmp_path):
    table = Path(datasets / "urls.csv")
    table.rename(tmp_path / "away")
    try:
        lineage = lineage_of(datasets / "d")
    finally:
        (tmp_path / "away").rename(table)
    assert lineage.findings == []
    assert "not reached (FileNotFoundError)" in "\n".join(lineage.lines)
