import subprocess
import sys
from shutil import rmtree
from uuid import uuid4

import fsspec
import pytest
from hypothesis import given
from hypothesis.strategies import characters, dictionaries, text, tuples

from ingest.benchmark_lists.prepare import list_bytes, prepare
from ingest.errors import SetupError
from schemas.benchmarks import benchmark
from schemas.benchmarks.tables import read_table
from tests.ingest.benchmark_lists import annotated_archives as archives
from train_entry.evaluation.examples import read_part

CARS, KITTI = benchmark("stanford-cars"), benchmark("kitti-distance")
# No carriage return, as in no name of a file: CSV has its own lines.
CELLS = text(characters(codec="utf-8", exclude_characters="\r"), max_size=20)


@given(rows=dictionaries(CELLS, tuples(CELLS, CELLS), min_size=1))
def test_a_list_is_read_as_it_was_written(rows):
    columns = ("label", "box")
    written = list_bytes({path: dict(zip(columns, row, strict=True)) for path, row in rows.items()})
    table = read_table("all.csv", written)
    assert table.pop("path") == list(rows)
    assert list(zip(*table.values(), strict=True)) == list(rows.values())


def test_the_same_list_is_left_alone(tmp_path):
    archives.put_cars(tmp_path)
    assert [one.is_new for one in prepare(CARS, str(tmp_path))] == [True, True]
    path = tmp_path / "stanford-cars/train.csv"
    before = path.stat().st_mtime_ns
    assert [one.is_new for one in prepare(CARS, str(tmp_path))] == [False, False]
    assert path.stat().st_mtime_ns == before


def test_a_list_of_other_content_is_never_replaced(tmp_path):
    archives.put_kitti(tmp_path)
    path = tmp_path / "kitti-distance/train.csv"
    archives.put(path, "path,distance\n000000.png,7\n")
    with pytest.raises(SetupError, match=r"train.csv: expected the list of the anno.*: move it"):
        list(prepare(KITTI, str(tmp_path)))
    assert path.read_text() == "path,distance\n000000.png,7\n"


@pytest.mark.parametrize("suffix", [".tsv", ".json", ".jsonl"])
def test_no_other_list_is_put_in_the_shade(tmp_path, suffix):
    archives.put_kitti(tmp_path)
    archives.put(tmp_path / f"kitti-distance/train{suffix}", "{}")
    with pytest.raises(SetupError, match=rf"expected .*train.csv as the only list, got .*{suffix}"):
        list(prepare(KITTI, str(tmp_path)))


def test_no_list_is_written_that_another_would_put_in_the_shade(tmp_path):
    archives.put_clevr(tmp_path, "clevr-count")
    archives.put(tmp_path / "clevr-distance/train.csv", "path,distance\n")
    with pytest.raises(SetupError, match=r"as the only list, got .*clevr-distance/train.csv"):
        list(prepare(benchmark("clevr-distance"), str(tmp_path)))
    assert not (tmp_path / "clevr-count/train.csv").exists()


@pytest.mark.parametrize("name", ["training/label_2/000001.txt", "train.csv"])
def test_folders_in_the_place_of_files_are_told(tmp_path, name):
    archives.put_kitti(tmp_path)
    path = tmp_path / "kitti-distance" / name
    path.unlink(missing_ok=True)
    path.mkdir()
    with pytest.raises(SetupError, match=rf"distance/train: expected files that .*{path.name}"):
        list(prepare(KITTI, str(tmp_path)))


def test_annotations_of_images_that_are_not_there_are_an_error(tmp_path):
    archives.put_cars(tmp_path)
    (tmp_path / "stanford-cars/cars_train/00002.jpg").unlink()
    message = "for all 2 annotations, got none for 1, such as 00002.jpg"
    with pytest.raises(SetupError, match=message):
        list(prepare(CARS, str(tmp_path)))
    assert not (tmp_path / "stanford-cars/train.csv").exists()


def test_a_split_that_is_not_there_is_told(tmp_path):
    archives.put_cars(tmp_path)
    rmtree(tmp_path / "stanford-cars/cars_train")
    train, test = prepare(CARS, str(tmp_path))
    assert str(train) == "stanford-cars/train: not there"
    assert str(test) == (
        f"stanford-cars/test: 1 images of 1 classes written to {tmp_path}/stanford-cars/test.csv"
    )
    rmtree(tmp_path / "stanford-cars/cars_test")
    with pytest.raises(SetupError, match=r"test: expected one of folder stanford-cars/cars_test;"):
        list(prepare(CARS, str(tmp_path)))


def test_containers_get_no_lists(tmp_path):
    for split in ("train", "test"):
        archives.put(tmp_path / f"stanford-cars/{split}-0.parquet")
    assert [str(one) for one in prepare(CARS, str(tmp_path))] == [
        f"stanford-cars/{split}: in parquet: {split}-*.parquet; lists are written of folders alone"
        for split in ("train", "test")
    ]
    assert not list(tmp_path.glob("*/*.csv"))


def test_archives_without_a_reader_are_told(tmp_path):
    with pytest.raises(SetupError, match=r"expected one of camelyon17, .*, got 'cifar-10'"):
        list(prepare(benchmark("cifar-10"), str(tmp_path)))


def test_the_root_may_be_a_store(tmp_path):
    archives.put_kitti(tmp_path)
    root = f"memory://{uuid4()}"
    store, _ = fsspec.core.url_to_fs(root)
    store.put(str(tmp_path / "kitti-distance"), f"{root}/kitti-distance", recursive=True)
    (train,) = prepare(KITTI, root)
    assert train.uri == f"{root}/kitti-distance/train.csv"
    assert len(store.cat_file(train.uri).splitlines()) == 3
    assert not next(prepare(KITTI, root)).is_new


def test_nothing_is_prepared_without_scipy_but_told_what_to_install(tmp_path, monkeypatch):
    archives.put_cars(tmp_path)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(SetupError, match=r"expected pip install 'uncurated\[evaluate\]', got: "):
        list(prepare(CARS, str(tmp_path)))


def test_neither_torch_nor_beam_nor_scipy_is_imported_before_it_is_needed():
    code = (
        "import sys, ingest.benchmark_lists.prepare\n"
        "print(sorted({'torch', 'apache_beam', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_is_prepared_is_evaluated_on_and_checked(tmp_path):
    archives.put_cars(tmp_path)
    list(prepare(CARS, str(tmp_path)))
    train = read_part(CARS, "train", str(tmp_path))
    assert list(train.names) == ["cars_train/00001.jpg", "cars_train/00002.jpg"]
    assert train.fields["label"] == [14, 3]
