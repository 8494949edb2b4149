import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest import storage
from ingest.benchmark_files import check, find_split, locate
from ingest.errors import SetupError
from schemas.benchmarks import benchmark, load_benchmarks, read_benchmark
from schemas.benchmarks.places import expected_places

# Files are told by their names here: what is in them is read later.
PICTURE = b"a picture"
TINY = """
id = "tiny"
name = "Tiny"
home = "https://example.org"
licence = "unknown"
category = "object"
year = 2020
metric = "top1"
protocols = ["linear_probe"]
shares_images_with = ["big"]
splits = [
    {name = "train", clean = false},
    {name = "val", num_images = 2, clean = true},
]
"""


def tiny(*layouts, text=TINY):
    return read_benchmark("tiny.toml", text + "\n".join(f"[[layouts]]\n{one}" for one in layouts))


def layout(kind, *patterns, listed_in=None):
    lines = ['split = "val"', f'kind = "{kind}"', f"patterns = {json.dumps(patterns)}"]
    return "\n".join([*lines, f'listed_in = "{listed_in}"'] if listed_in else lines)


def put(root, *names, content=PICTURE):
    for name in names:
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def tar_bytes(*names):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(PICTURE)
            tar.addfile(member, io.BytesIO(PICTURE))
    return buffer.getvalue()


def parquet_bytes(rows):
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": [PICTURE] * rows}), buffer)
    return buffer.getvalue()


def arrow_bytes(images):
    buffer, table = io.BytesIO(), pa.table({"image": images})
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def relative(root, found):
    return {
        split: [str(Path(path).relative_to(root)) for path in paths]
        for split, paths in found.items()
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["val/a/1.jpg", "val/b/2.JPEG"], ["val"]),
        (["validation/1.jpg"], ["validation"]),
        (["data/validation-00000-of-00002.parquet"], ["data/validation-00000-of-00002.parquet"]),
        (["default/val/0000.parquet"], ["default/val/0000.parquet"]),
        (["val-1.parquet", "val-0.parquet"], ["val-0.parquet", "val-1.parquet"]),
        (["val/1.tar", "val/0.tar"], ["val/0.tar", "val/1.tar"]),
        (["val.tar"], ["val.tar"]),
        (["val/data-0.arrow"], ["val/data-0.arrow"]),
        (["val/shards/00000.arrow", "val/dataset.json"], ["val/shards/00000.arrow"]),
    ],
)
def test_a_split_is_found_in_each_general_layout(names, expected, tmp_path):
    put(tmp_path / "tiny", *names)
    assert relative(tmp_path / "tiny", locate(tiny(), str(tmp_path))) == {"val": expected}


def test_the_layout_of_the_original_archive_comes_first(tmp_path):
    put(tmp_path / "tiny", "val/1.jpg", "Archive/images/1.jpg", "Archive/more/2.jpg")
    one = tiny(layout("folder", "Archive/images", "Archive/more"))
    found = locate(one, str(tmp_path))
    assert relative(tmp_path / "tiny", found) == {"val": ["Archive/images", "Archive/more"]}


def test_a_layout_is_there_only_if_all_of_its_patterns_match(tmp_path):
    put(tmp_path / "tiny", "val/1.jpg", "Archive/images/1.jpg")
    one = tiny(layout("folder", "Archive/images", "Archive/more"))
    assert relative(tmp_path / "tiny", locate(one, str(tmp_path))) == {"val": ["val"]}


def test_a_glob_of_a_folder_layout_gives_image_files_and_folders_alone(tmp_path):
    put(tmp_path / "tiny", "n1/1.jpg", "n2.png", "n3.txt", "n4.tgz")
    one = tiny(layout("folder", "n*"))
    assert relative(tmp_path / "tiny", locate(one, str(tmp_path))) == {"val": ["n1", "n2.png"]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lists/val.txt", "b/2 7\n\nb/1 8\ngone 9\n"),
        ("lists/val.json", '{"images": [{"file_name": "b/2"}, {"file_name": "b/1"}]}'),
        ("lists/val.json", '[{"path": "b/2", "label": 1}, {"path": "b/1"}]'),
    ],
)
def test_a_list_divides_what_lies_in_one_folder(name, content, tmp_path):
    put(tmp_path / "tiny", "images/b/1.jpg", "images/b/2.jpg", "images/b/3.jpg")
    put(tmp_path / "tiny", name, content=content.encode())
    one = tiny(layout("folder", "images/{}.jpg", listed_in=name))
    found = relative(tmp_path / "tiny", locate(one, str(tmp_path)))
    assert found == {"val": ["images/b/1.jpg", "images/b/2.jpg"]}
    assert [split.problem for split in check(one, str(tmp_path))] == [None, None]


def test_images_of_a_list_that_are_not_there_are_told(tmp_path):
    put(tmp_path / "tiny", "images/1.jpg")
    put(tmp_path / "tiny", "val.txt", content=b"1 cat\n2 dog\n3 cat\n")
    unknown = tiny(
        layout("folder", "images/{}.jpg", listed_in="val.txt"),
        text=TINY.replace("num_images = 2, ", ""),
    )
    _, val = check(unknown, str(tmp_path))
    where = "folder: images/{}.jpg, named by val.txt"
    assert val.problem == f"tiny/val: expected 3 images, got 1 in {where}"


def test_facts_that_a_protocol_needs_are_looked_for(tmp_path):
    places = benchmark("im2gps")
    put(tmp_path / "im2gps", *(f"test/{number}.jpg" for number in range(237)))
    (test,) = check(places, str(tmp_path))
    assert test.problem is None
    assert test.remark.startswith("im2gps/test: expected the field latitude of each image in")
    rows = "".join(f"{number}.jpg,47.5,8.5\n" for number in range(237))
    content = f"path,latitude,longitude\n{rows}".encode()
    put(tmp_path / "im2gps", "test.csv", content=content)
    (test,) = check(places, str(tmp_path))
    assert (test.problem, test.remark) == (None, None)


def test_a_broken_list_is_told_with_both_sides(tmp_path):
    put(tmp_path / "tiny", "val.json", content=b'[{"title": "x"}]')
    one = tiny(layout("folder", "{}", listed_in="val.json"))
    with pytest.raises(
        SetupError, match=r"val.json: expected a list with one of path, .* got title"
    ):
        locate(one, str(tmp_path))


def test_only_the_clean_splits_are_located_unless_others_are_named(tmp_path):
    put(tmp_path / "tiny", "val/1.jpg", "train/1.jpg")
    assert set(locate(tiny(), str(tmp_path))) == {"val"}
    assert set(locate(tiny(), str(tmp_path), ["train", "val"])) == {"train", "val"}
    assert locate(tiny(), str(tmp_path / "elsewhere")) == {}


def test_shared_images_are_found_in_the_folder_of_the_other_benchmark(tmp_path):
    put(tmp_path / "big", "val/1.jpg")
    assert relative(tmp_path, locate(tiny(), str(tmp_path))) == {"val": ["big/val"]}
    put(tmp_path / "tiny", "val/1.jpg")
    assert relative(tmp_path, locate(tiny(), str(tmp_path))) == {"val": ["tiny/val"]}


def test_an_undivided_benchmark_is_its_folder(tmp_path):
    one = tiny(text=TINY.replace('"val"', '"all"'))
    put(tmp_path / "tiny", "x/1.jpg", "2.jpg", "readme.txt")
    assert locate(one, str(tmp_path)) == {"all": [str(tmp_path / "tiny")]}
    assert [split.num_images for split in check(one, str(tmp_path))] == [None, 2]


def test_signs_of_globs_in_the_root_are_no_globs(tmp_path):
    root = tmp_path / "a[b]*"
    put(root / "tiny", "val-0.parquet")
    assert relative(root, locate(tiny(), str(root))) == {"val": ["tiny/val-0.parquet"]}


def test_hidden_folders_are_not_looked_into(tmp_path):
    put(tmp_path / "tiny", ".cache/val-0.parquet", "data/val-1.parquet")
    found = relative(tmp_path, locate(tiny(), str(tmp_path)))
    assert found == {"val": ["tiny/data/val-1.parquet"]}


def test_a_million_training_images_are_not_listed_to_find_the_others(tmp_path, monkeypatch):
    put(tmp_path / "tiny", *(f"train/n{number}/1.jpg" for number in range(5)), "val/1.jpg")
    listed = []

    def list_names(folder):
        listed.append(str(Path(folder).relative_to(tmp_path)))
        return real(folder)

    real = storage.list_names
    monkeypatch.setattr(storage, "list_names", list_names)
    monkeypatch.setattr(storage, "list_files", None)
    assert set(locate(tiny(), str(tmp_path))) == {"val"}
    assert len(listed) == len(set(listed))
    assert not any("train/n" in folder for folder in listed)


def test_a_root_may_be_any_store():
    root = "memory://benchmark-files"
    storage.write_bytes(f"{root}/tiny/data/val-0.parquet", parquet_bytes(2))
    found = locate(tiny(), root)
    assert found == {"val": [f"{root}/tiny/data/val-0.parquet"]}
    assert check(tiny(), root)[1].problem is None


def test_image_files_and_parquet_rows_are_counted_and_tar_members_if_asked(tmp_path):
    put(tmp_path / "folder/tiny", "val/1.jpg", "val/x/2.PNG", "val/labels.csv", "val/.3.jpg")
    put(tmp_path / "parquet/tiny", "val-0.parquet", "val-1.parquet", content=parquet_bytes(1))
    put(tmp_path / "tar/tiny", "val.tar", content=tar_bytes("1.jpg", "1.json", "2.jpg"))
    for kind in ("folder", "parquet"):
        assert check(tiny(), str(tmp_path / kind))[1].num_images == 2
    assert check(tiny(), str(tmp_path / "tar"))[1].num_images is None
    assert check(tiny(), str(tmp_path / "tar"), count_tars=True)[1].num_images == 2


def test_rows_of_arrow_files_are_counted_if_asked(tmp_path):
    put(tmp_path / "tiny", "val.arrow", content=arrow_bytes([PICTURE] * 2))
    assert check(tiny(), str(tmp_path))[1].num_images is None
    assert check(tiny(), str(tmp_path), count_tars=True)[1].num_images == 2
    put(tmp_path / "tiny", "val.arrow", content=b"no such thing " * 100)
    with pytest.raises(SetupError, match=r"val.arrow: expected a whole Arrow file, got"):
        check(tiny(), str(tmp_path), count_tars=True)


def test_another_number_of_images_is_told_with_both_sides(tmp_path):
    put(tmp_path / "tiny", "val/1.jpg")
    problems = [split.problem for split in check(tiny(), str(tmp_path))]
    assert problems == [None, "tiny/val: expected 2 images, got 1 in folder: val"]


def test_an_empty_split_of_unknown_size_is_a_problem(tmp_path):
    (tmp_path / "tiny" / "val").mkdir(parents=True)
    one = tiny(text=TINY.replace("num_images = 2, ", ""))
    assert check(one, str(tmp_path))[1].problem == (
        "tiny/val: expected images, got 0 in folder: val"
    )


def test_a_missing_split_is_a_problem_only_if_it_must_be_cleaned(tmp_path):
    train, val = check(tiny(), str(tmp_path))
    assert train.problem is None
    assert train.place is None
    assert val.problem == (
        "tiny/val: expected one of folder tiny/val; tar tiny/val-*.tar; "
        "parquet tiny/val-*.parquet; arrow tiny/val-*.arrow "
        f"below {tmp_path}; got nothing"
    )


@pytest.mark.parametrize("name", ["val-0.parquet", "val-0.tar"])
def test_a_broken_file_is_told_by_name(name, tmp_path):
    put(tmp_path / "tiny", name, content=b"no such thing " * 100)
    with pytest.raises(SetupError, match=f"{name}: expected a whole {name[6:]} file, got"):
        check(tiny(), str(tmp_path), count_tars=True)


@pytest.mark.parametrize("one", load_benchmarks().values(), ids=lambda one: one.id)
def test_each_own_layout_of_the_registry_is_found_where_it_says(one, tmp_path):
    for number, own in enumerate(one.layouts):
        root = tmp_path / str(number)
        for pattern in own.patterns:
            put(root / one.id, pattern.replace("*", "1").replace("[0-9]", "0") + "/x.jpg")
        if own.listed_in:
            put(root / one.id, *(pattern.replace("{}", "x.jpg") for pattern in own.patterns))
            names = [{"path": "x.jpg"}] if own.listed_in.endswith(".json") else None
            text = json.dumps(names) if names else "x.jpg 1"
            put(root / one.id, own.listed_in, content=text.encode())
        split = next(split for split in one.splits if split.name == own.split)
        place = find_split(one, split, str(root))
        assert place is not None
        assert place.layout == own


def test_what_is_expected_names_the_original_layout_and_one_of_each_kind():
    one = benchmark("pascal-voc-2007")
    places = expected_places(one, one.splits[1])
    assert places[0] == (
        "folder pascal-voc-2007/VOCdevkit/VOC2007/JPEGImages/{}.jpg "
        "for each {} in pascal-voc-2007/VOCdevkit/VOC2007/ImageSets/Main/test.txt"
    )
    assert "parquet pascal-voc-2007/test-*.parquet" in places
    assert "folder pascal-voc-2007/test" in places


CLASSED = TINY.replace('metric = "top1"', 'metric = "top1"\nclasses = 2')


def classes_told(root, *, count_tars=False):
    train, val = check(tiny(text=CLASSED), str(root), count_tars=count_tars)
    return (train.num_classes, train.problem), (val.num_classes, val.problem, val.remark)


def test_classes_are_counted_where_that_is_cheap(tmp_path):
    put(tmp_path / "tiny", "train/a/1.jpg", "train/b/2.jpg", "val-0.tar", "val.csv")
    put(tmp_path / "tiny", "val-0.tar", content=tar_bytes("a/1.jpg", "b/2.jpg"))
    (tmp_path / "tiny" / "val.csv").unlink()
    assert classes_told(tmp_path) == ((2, None), (None, None, None))
    assert classes_told(tmp_path, count_tars=True) == ((2, None), (2, None, None))


def test_another_number_of_classes_is_told_with_both_sides(tmp_path):
    put(tmp_path / "tiny", "train/a/1.jpg", "val/a/1.jpg", "val/a/2.jpg")
    train, val = classes_told(tmp_path)
    assert train == (1, "tiny/train: expected 2 classes, got 1 in folder: train")
    # Images to test on may be of few classes.
    assert val == (1, None, None)


def test_images_without_classes_can_be_cleaned_against_all_the_same(tmp_path):
    put(tmp_path / "tiny", "val/1.jpg", "val/2.jpg")
    _, (num_classes, problem, remark) = classes_told(tmp_path)
    assert (num_classes, problem) == (None, None)
    assert remark.startswith("tiny/val: expected the field label of each image in column label")


def test_a_list_alone_says_where_images_lie(tmp_path):
    put(tmp_path / "tiny", "pictures/1.jpg", "pictures/2.jpg", "pictures/3.jpg")
    put(tmp_path / "tiny", "val.csv", content=b"path,label\npictures/3.jpg,x\npictures/1.jpg,y\n")
    found = relative(tmp_path / "tiny", locate(tiny(), str(tmp_path)))
    assert found == {"val": ["pictures/1.jpg", "pictures/3.jpg"]}
    assert classes_told(tmp_path)[1] == (2, None, None)
