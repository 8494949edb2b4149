import json
import pickle

import pyarrow as pa
import pytest

from schemas.benchmarks import benchmark
from tests.train_entry.evaluation.benchmark_data import (
    WHOLE,
    arrow_bytes,
    images_with_paths,
    parquet_bytes,
    put,
    tar_bytes,
    tiny,
)
from train_entry.errors import DataError
from train_entry.evaluation.examples import read_part, read_split
from train_entry.reader import BadSample
from train_entry.store import Store


def contents(examples):
    return [examples.content(place) for place in range(len(examples))]


def labels(examples):
    return dict(zip(examples.names, examples.fields["label"], strict=True))


def test_folders_name_classes_and_files_are_read_whole(tmp_path):
    root = put(tmp_path, "tiny/test/dog/b.jpg", "tiny/test/cat/x/a.PNG", "tiny/test/dog/.c.jpg")
    found = read_split(tiny(), "test", put(root, "tiny/test/dog/readme.txt"))
    assert found.names == ["test/cat/x/a.PNG", "test/dog/b.jpg"]
    assert labels(found) == {"test/cat/x/a.PNG": "x", "test/dog/b.jpg": "dog"}
    assert contents(found) == [b"tiny/test/cat/x/a.PNG", b"tiny/test/dog/b.jpg"]
    assert found.name == "tiny/test"


def test_the_folder_of_a_split_is_no_class(tmp_path):
    root = put(tmp_path, "tiny/test/a.jpg")
    with pytest.raises(DataError, match=r"tiny/test: expected the field label of each image in .*"):
        read_split(tiny(), "test", root)
    assert "label" not in read_split(tiny(), "test", root, ()).fields


def test_a_list_says_which_images_there_are_and_what_they_are(tmp_path):
    put(tmp_path, "tiny/test/a.jpg", "tiny/test/b.jpg", "tiny/test/c.jpg")
    put(tmp_path, "tiny/test.csv", content="path,label\nc.jpg,dog\ntest/a.jpg,cat\n")
    found = read_split(tiny(), "test", str(tmp_path))
    assert labels(found) == {"test/a.jpg": "cat", "test/c.jpg": "dog"}
    assert contents(found) == [b"tiny/test/a.jpg", b"tiny/test/c.jpg"]


def test_an_image_with_several_boxes_is_several_examples(tmp_path):
    one = tiny('[fields.gender]\ncolumn = ["gender"]')
    put(tmp_path, "tiny/test/a.jpg", "tiny/test/b.jpg")
    rows = "path,gender,left,top,right,bottom\na.jpg,f,1,2,3,4\nb.jpg,m,5,6,7,8\na.jpg,m,0,0,9,9.5"
    put(tmp_path, "tiny/test.csv", content=rows)
    found = read_split(one, "test", str(tmp_path), ("gender",))
    assert found.names == ["test/a.jpg#0", "test/a.jpg#1", "test/b.jpg"]
    assert found.fields["gender"] == ["f", "m", "m"]
    assert found.fields["box"] == [(1, 2, 3, 4), (0, 0, 9, 9.5), (5, 6, 7, 8)]
    assert contents(found)[1] == b"tiny/test/a.jpg"


def test_a_row_without_an_image_is_told(tmp_path):
    put(tmp_path, "tiny/test/a.jpg")
    put(tmp_path, "tiny/test.csv", content="path,label\na.jpg,1\ngone.jpg,2\n")
    with pytest.raises(DataError, match=r"all 2 rows, got none for 1, such as gone.jpg"):
        read_split(tiny(), "test", str(tmp_path))


def test_one_name_for_two_images_is_told(tmp_path):
    put(tmp_path, "tiny/test/x/a.jpg", "tiny/test/y/a.jpg")
    put(tmp_path, "tiny/test.csv", content="path,label\na.jpg,1\n")
    with pytest.raises(DataError, match=r"got 'a.jpg' for both test/x/a.jpg and test/y/a.jpg"):
        read_split(tiny(), "test", str(tmp_path))


def test_webdataset_members_go_with_their_image(tmp_path):
    members = {
        "0.jpg": b"first",
        "0.cls": b"7",
        "0.json": b'{"income": 3.5}',
        "d/1.x.png": b"second",
        "d/1.cls": b"11\n",
    }
    put(tmp_path, "tiny/test-0.tar", content=tar_bytes(members))
    put(tmp_path, "tiny/test-1.tar", content=tar_bytes({"0.jpg": b"third", "0.cls": b"7"}))
    found = read_split(tiny('[fields.income]\ncolumn = ["income"]'), "test", str(tmp_path))
    assert found.names == ["test-0.tar/0.jpg", "test-0.tar/d/1.x.png", "test-1.tar/0.jpg"]
    assert found.fields == {"label": [7, 11, 7], "income": [3.5, None, None]}
    assert contents(found) == [b"first", b"second", b"third"]


def test_a_tar_of_folders_is_read_as_the_folders_are(tmp_path):
    put(tmp_path, "tiny/test.tar", content=tar_bytes({"./test/dog/a.jpg": b"a"}))
    found = read_split(tiny(), "test", str(tmp_path))
    assert labels(found) == {"test.tar/test/dog/a.jpg": "dog"}


def test_parquet_rows_are_images_with_names_of_classes(tmp_path):
    columns = {"image": images_with_paths("a.jpg", "b.jpg"), "label": [1, 0]}
    names = {"label": ["cat", "dog"]}
    put(tmp_path, "tiny/data/test-0.parquet", content=parquet_bytes(columns, classes=names))
    columns = {"label": [1], "image": [b"bare bytes"]}
    put(tmp_path, "tiny/data/test-1.parquet", content=parquet_bytes(columns, classes=names))
    found = read_split(tiny(), "test", str(tmp_path))
    assert labels(found) == {
        "data/test-0.parquet#0": "dog",
        "data/test-0.parquet#1": "cat",
        "data/test-1.parquet#0": "dog",
    }
    assert contents(found) == [b"a.jpg", b"b.jpg", b"bare bytes"]


def test_classes_whose_names_are_not_in_order_stay_numbers(tmp_path):
    columns = {"image": [b"x", b"y"], "label": [1, 0]}
    content = parquet_bytes(columns, classes={"label": ["tench", "shark"]})
    put(tmp_path, "tiny/test.parquet", content=content)
    assert read_split(tiny(), "test", str(tmp_path)).fields["label"] == [1, 0]


ROWS = [f"row {number}".encode() for number in range(23)]
TABLE = {"image": ROWS, "label": [0] * 23}


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("parquet", parquet_bytes(TABLE, 4)),
        ("arrow", arrow_bytes(TABLE, 4)),
        ("arrow", arrow_bytes(TABLE, 4, stream=True)),
    ],
)
def test_any_order_of_reading_gives_the_same_rows(kind, content, tmp_path):
    put(tmp_path, f"tiny/test-0.{kind}", f"tiny/test-1.{kind}", content=content)
    found = read_split(tiny(), "test", str(tmp_path))
    order = [(place * 17) % 46 for place in range(46)]
    assert [found.content(place) for place in order] == [ROWS[place % 23] for place in order]


def test_shards_of_a_dataset_of_this_project_are_a_split(tmp_path):
    columns = {"id": ["ab", "cd"], "extension": ["jpg", "png"], "image": [b"x", b"y"]}
    put(tmp_path, "tiny/test/shards/00000.arrow", content=arrow_bytes(columns, 1))
    put(tmp_path, "tiny/test.csv", content="id,label\ncd,3\nab,4\n")
    found = read_split(tiny(), "test", str(tmp_path))
    names = ["test/shards/00000.arrow#0", "test/shards/00000.arrow#1"]
    assert labels(found) == dict(zip(names, [4, 3], strict=True))
    assert contents(found) == [b"x", b"y"]


def test_a_row_without_an_image_is_a_bad_sample(tmp_path):
    columns = {"image": pa.array([b"x", None]), "label": [0, 1]}
    put(tmp_path, "tiny/test.parquet", content=parquet_bytes(columns))
    found = read_split(tiny(), "test", str(tmp_path))
    with pytest.raises(BadSample, match="expected an image in row 1, got none"):
        found.content(1)


@pytest.mark.parametrize("kind", ["folder", "tar", "parquet"])
def test_examples_go_to_other_processes_and_keep_their_digest(kind, tmp_path):
    if kind == "folder":
        put(tmp_path, "tiny/test/x/a.jpg", content=b"an image")
    elif kind == "tar":
        members = {"x/a.jpg": b"an image"}
        put(tmp_path, "tiny/test.tar", content=tar_bytes(members))
    else:
        content = parquet_bytes({"image": [b"an image"], "label": ["x"]})
        put(tmp_path, "tiny/test.parquet", content=content)
    found = read_split(tiny(), "test", str(tmp_path))
    assert found.content(0) == b"an image"
    other = pickle.loads(pickle.dumps(found))
    assert (other.content(0), other.digest) == (b"an image", found.digest)


def test_the_digest_tells_names_sizes_and_fields_apart(tmp_path):
    roots = {
        "same": {"x/a.jpg": b"12"},
        "name": {"x/b.jpg": b"12"},
        "size": {"x/a.jpg": b"123"},
        "label": {"y/a.jpg": b"12"},
        "fewer": {"x/a.jpg": b"12", "x/b.jpg": b"12"},
    }
    for root, files in roots.items():
        for name, content in files.items():
            put(tmp_path / root, f"tiny/test/{name}", content=content)
    digests = {root: read_split(tiny(), "test", str(tmp_path / root)).digest for root in roots}
    assert len(set(digests.values())) == len(roots)
    assert read_split(tiny(), "test", str(tmp_path / "same")).digest == digests["same"]


def test_some_of_the_examples_are_taken_with_all_they_have(tmp_path):
    root = put(tmp_path, "tiny/test/x/a.jpg", "tiny/test/y/b.jpg", "tiny/test/z/c.jpg")
    found = read_split(tiny(), "test", root).take([2, 0])
    assert labels(found) == {"test/z/c.jpg": "z", "test/x/a.jpg": "x"}
    assert contents(found) == [b"tiny/test/z/c.jpg", b"tiny/test/x/a.jpg"]


def test_a_root_may_be_any_store():
    root = "memory://examples"
    fs = Store(root)._open()
    columns = {"image": [b"x", b"y"], "label": [3, 4]}
    fs.pipe_file(f"{root}/tiny/test-0.parquet", parquet_bytes(columns))
    fs.pipe_file(f"{root}/tiny/train.tar", tar_bytes({"a.jpg": b"a", "a.cls": b"3"}))
    assert contents(read_split(tiny(), "test", root)) == [b"x", b"y"]
    assert contents(read_split(tiny(), "train", root)) == [b"a"]


def test_arrow_files_of_other_stores_are_read_in_the_file_format_alone():
    fs = Store("memory://any")._open()
    for name, stream in (("arrow-file", False), ("arrow-stream", True)):
        fs.pipe_file(f"memory://{name}/tiny/test.arrow", arrow_bytes(TABLE, 4, stream=stream))
    found = read_split(tiny(), "test", "memory://arrow-file")
    assert found.content(21) == b"row 21"
    found = read_split(tiny(), "test", "memory://arrow-stream")
    with pytest.raises(DataError, match="expected Arrow's file format in a store of objects"):
        found.content(21)


def test_folders_in_another_store_are_read_as_local_ones():
    root = "memory://folders"
    fs = Store(root)._open()
    fs.pipe_file(f"{root}/tiny/test/n1/a.jpg", b"a")
    fs.pipe_file(f"{root}/tiny/test.csv", b"path,label\nn1/a.jpg,5\n")
    found = read_split(tiny(), "test", root)
    assert labels(found) == {"test/n1/a.jpg": 5}
    assert contents(found) == [b"a"]


def test_what_is_not_there_is_told_with_its_places(tmp_path):
    with pytest.raises(DataError, match=r"expected one of folder tiny/test; .*; got nothing"):
        read_split(tiny(), "test", str(tmp_path))
    with pytest.raises(DataError, match=r"tiny: expected one of train, test, got 'val'"):
        read_split(tiny(), "val", str(tmp_path))


@pytest.mark.parametrize("name", ["test.tar", "test.parquet", "test.arrow"])
def test_a_broken_container_is_told_by_name(name, tmp_path):
    root = put(tmp_path, f"tiny/{name}", content=b"no such thing " * 99)
    with pytest.raises(
        DataError, match=rf"(?i)tiny/{name}: expected a whole {name[5:]} file.*, got"
    ):
        read_split(tiny(), "test", root)


def test_a_missing_field_is_told_with_where_it_was_looked_for(tmp_path):
    put(tmp_path, "tiny/test/a.jpg")
    put(tmp_path, "tiny/test.csv", content="path,place\na.jpg,x\n")
    one = tiny('[fields.region]\ncolumn = ["region", "continent"]\nfile = ["more.csv"]')
    with pytest.raises(DataError) as caught:
        read_split(one, "test", str(tmp_path), ("region",))
    assert str(caught.value) == (
        "tiny/test: expected the field region of each image in column region or continent, file "
        "more.csv, got none for 1 of 1 images, the first of them test/a.jpg; columns beside the "
        "images and tiny/test.csv: path, place"
    )


def test_parts_of_a_division_are_disjoint_and_have_the_whole(tmp_path):
    one = tiny('[division]\nby = "share"\ntrain = 0.5\nrest = "test"', WHOLE)
    root = put(tmp_path, *(f"tiny/c{place % 3}/{place}.jpg" for place in range(18)))
    train, test = read_part(one, "train", root), read_part(one, "test", root)
    assert sorted([*train.names, *test.names]) == sorted(read_split(one, "all", root).names)
    assert sorted(train.fields["label"]) == sorted(test.fields["label"])
    assert (train.part, test.part) == ("train", "test")


def test_another_number_of_images_than_the_registrys_is_remarked(tmp_path):
    root = put(tmp_path, "tiny/all/a/1.png", "tiny/all/b/2.png")
    splits = '[[splits]]\nname = "all"\nnum_images = {}\nclean = true\n'
    division = '[division]\nsplit = "all"\nby = "share"\ntrain = 0.5\nrest = "test"\n'
    division += "per_class = false\n"
    part = read_part(tiny(division, splits.format(3)), "test", root)
    assert part.remark == "tiny/all: expected 3 images, got 2."
    assert read_part(tiny(division, splits.format(2)), "test", root).remark == ""


def test_a_column_divides_and_images_of_other_parts_need_no_facts(tmp_path):
    one = tiny('[division]\nby = "column"\n[fields.split]\ncolumn = ["split"]', WHOLE)
    put(tmp_path, "tiny/a.jpg", "tiny/b.jpg", "tiny/c.jpg")
    rows = "path,split,label\na.jpg,train,1\nb.jpg,test,2\nc.jpg,hidden,\n"
    put(tmp_path, "tiny/all.csv", content=rows)
    assert labels(read_part(one, "test", str(tmp_path))) == {"b.jpg": 2}
    assert read_part(one, "train", str(tmp_path), ("label", "split")).names == ["a.jpg"]
    with pytest.raises(DataError, match=r"tiny/train: expected age of each image by the rules of"):
        read_part(one, "train", str(tmp_path), ("age",))


def test_labels_of_real_are_in_the_order_of_imagenets_names(tmp_path):
    names = [f"imagenet-1k/val/n{9 - place}/ILSVRC2012_val_0{place}.JPEG" for place in range(3)]
    put(tmp_path, *names)
    put(tmp_path, "imagenet-real/real.json", content=json.dumps([[5], [], [7, 1]]))
    found = read_part(benchmark("imagenet-real"), "val", str(tmp_path))
    by_name = {name.rpartition("_")[2]: label for name, label in labels(found).items()}
    assert by_name == {"00.JPEG": (5,), "01.JPEG": (), "02.JPEG": (7, 1)}


def test_a_list_by_order_of_another_length_is_told(tmp_path):
    put(tmp_path, "imagenet-1k/val/n1/a.JPEG")
    put(tmp_path, "imagenet-real/real.json", content="[[5], []]")
    with pytest.raises(DataError, match="expected a JSON list of 1 values, got 2"):
        read_part(benchmark("imagenet-real"), "val", str(tmp_path))
