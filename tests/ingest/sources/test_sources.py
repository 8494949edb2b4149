import pytest

from ingest import storage
from ingest.errors import SetupError
from ingest.sources import expand_inputs, kind_of
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


@pytest.mark.parametrize("kind", ["table", "tar", "images", "warc", "wat", "sitemap"])
def test_a_folder_is_refused_where_a_file_is_told(tmp_path, kind):
    with pytest.raises(
        SetupError, match=f"expected a file for --input-format {kind}, got a folder"
    ):
        read_input(tmp_path, input_format=kind)


@pytest.mark.parametrize("kind", ["folder", "dataset"])
def test_a_file_is_refused_where_a_folder_is_told(tmp_path, kind):
    (tmp_path / "t.csv").write_text("url\n")
    with pytest.raises(
        SetupError, match=f"expected a folder for --input-format {kind}, got a file"
    ):
        read_input(tmp_path / "t.csv", input_format=kind)


def test_a_folder_without_tables_is_none_of_img2dataset(tmp_path):
    (tmp_path / "00000.tar").write_bytes(b"")
    with pytest.raises(SetupError, match=r"expected img2dataset's tables .*, got 00000\.tar"):
        read_input(tmp_path, input_format="img2dataset")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.csv.gz", "table"),
        ("A.TAR", "tar"),
        ("CC-MAIN-1.warc.gz", "warc"),
        ("CC-MAIN-1.warc.wat.gz", "wat"),
        ("sitemap.xml.gz", "sitemap"),
    ],
)
def test_the_kind_of_a_file_is_told_by_its_name(tmp_path, name, kind):
    (tmp_path / name).write_bytes(b"")
    assert kind_of(str(tmp_path / name), PlanOptions(input=("x",))) == kind


def test_the_kind_of_a_folder_is_told_by_what_it_holds(tmp_path):
    options = PlanOptions(input=("x",))
    assert kind_of(str(tmp_path), options) == "folder"
    (tmp_path / "00000_stats.json").write_text("{}")
    assert kind_of(str(tmp_path), options) == "img2dataset"
    (tmp_path / "dataset.json").write_text("{}")
    assert kind_of(str(tmp_path), options) == "dataset"
