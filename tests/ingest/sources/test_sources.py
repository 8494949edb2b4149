import pytest

from ingest import storage
from ingest.errors import SetupError
from ingest.sources import expand_inputs
from schemas.options import PlanOptions
from tests.reading import read_input


def expand(*inputs):
    return expand_inputs(PlanOptions(input=tuple(map(str, inputs))))


def test_inputs_are_globs_folders_and_uris(tmp_path):
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_text("url\n")
    storage.write_bytes("memory://tables/c.csv", b"url\nhttp://a.example/1\n")
    assert expand(f"{tmp_path}/*.csv", "memory://tables/c.csv") == [
        f"{tmp_path}/a.csv",
        f"{tmp_path}/b.csv",
        "memory://tables/c.csv",
    ]
    assert [one.url for one in read_input("memory://tables/c.csv")] == ["http://a.example/1"]


def test_one_place_spelled_in_several_ways_is_one_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("url\n")
    (tmp_path / "images").mkdir()
    assert expand("a.csv", "./a.csv", tmp_path / "a.csv", "*.csv", f"file://{tmp_path}/a.csv") == [
        "a.csv"
    ]
    assert expand("images/", f"{tmp_path}/images", "images") == ["images"]


def test_a_name_that_looks_like_a_glob_is_found(tmp_path):
    (tmp_path / "urls [1].csv").write_text("url\n")
    assert expand(tmp_path / "urls [1].csv") == [f"{tmp_path}/urls [1].csv"]


@pytest.mark.parametrize("name", ["missing.csv", "*.nothing"])
def test_an_input_that_names_nothing_is_refused(tmp_path, name):
    with pytest.raises(SetupError, match="got nothing at"):
        expand(tmp_path / name)


def test_a_file_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "t.xls").write_text("")
    with pytest.raises(SetupError, match=r"ending in parquet, csv, .*, got .*t\.xls"):
        expand(tmp_path / "t.xls")


def test_an_unknown_protocol_is_refused():
    with pytest.raises(SetupError, match=r"got foo://a\.csv: Protocol not known"):
        expand("foo://a.csv")
