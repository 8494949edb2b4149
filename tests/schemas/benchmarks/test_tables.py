import pytest
from hypothesis import given
from hypothesis.strategies import lists, text

from schemas.benchmarks.storage import LayoutError
from schemas.benchmarks.tables import NameIndex, image_names, name_column, read_table


@pytest.mark.parametrize(
    ("uri", "content", "columns"),
    [
        ("a.csv", b'path,label\r\n"x,1.jpg",cat\r\n', {"path": ["x,1.jpg"], "label": ["cat"]}),
        ("a.csv", b"\xef\xbb\xbfImageId, y\na,1\n\n", {"ImageId": ["a"], "y": ["1"]}),
        ("a.csv", b"a/abbey/1.jpg 0\n", {"path": ["a/abbey/1.jpg"], "rest": ["0"]}),
        ("a.tsv", b"img\tn\n1.png\t\n", {"img": ["1.png"], "n": [""]}),
        (
            "a.txt",
            b"1 Boeing 737-700\n\n2\tB\n",
            {"path": ["1", "2"], "rest": ["Boeing 737-700", "B"]},
        ),
        (
            "a.json",
            b'[{"path": "x", "id": 3}, {"path": "y"}]',
            {"path": ["x", "y"], "id": [3, None]},
        ),
        ("a.json", b'{"images": [{"file_name": "x"}]}', {"file_name": ["x"]}),
        ("a.jsonl", b'{"img": "x"}\n\n{"img": "y"}\n', {"img": ["x", "y"]}),
    ],
)
def test_each_kind_of_list_becomes_columns(uri, content, columns):
    assert read_table(uri, content) == columns


@pytest.mark.parametrize(
    ("uri", "content", "message"),
    [
        ("a.csv", b"path,label\nx\n", "a.csv: expected 2 columns as in the first line, got 1: x"),
        ("a.json", b"{", "a.json: expected JSON, got"),
        ("a.json", b'{"x": 1}', "a.json: expected a JSON list of objects, by itself or as"),
        ("a.json", b"[1]", "a.json: expected a JSON list of objects"),
        ("a.jsonl", b"[1]", "a.jsonl: expected a JSON object a line, got list"),
        ("a.json", b'[{"title": "x"}]', "a.json: expected a list with one of path, .* got title"),
    ],
)
def test_a_broken_list_is_told_with_both_sides(uri, content, message):
    with pytest.raises(LayoutError, match=message):
        image_names(uri, content)


def test_the_column_that_names_images_is_the_most_telling_one():
    assert name_column(["id", "img", "label"]) == "img"
    assert name_column(["ID", "Path"]) == "Path"
    assert name_column(["label"]) is None


@pytest.mark.parametrize(
    ("listed", "path"),
    [
        ("train/1.jpg", "some/folder/train/1.jpg"),
        ("1", "train/1.jpg"),
        ("/train/1", "train/1.jpg"),
        ("./train/1.jpg", "train/1.jpg"),
        ("v.1", "v.1.jpg"),
    ],
)
def test_a_list_may_leave_out_folders_above_and_the_extension(listed, path):
    assert NameIndex([listed]).find(path) == (listed.removeprefix("./").strip("/"), [0])


@pytest.mark.parametrize("path", ["val/1.jpg", "1.jpg", "train/1/2.jpg", "train/11.jpg"])
def test_an_image_of_another_folder_is_not_meant(path):
    assert NameIndex(["train/1.jpg"]).find(path) is None


def test_the_longest_name_is_meant():
    index = NameIndex(["1.jpg", "a/1.jpg"])
    assert index.rows_of("list", ["x/a/1.jpg", "x/b/1.jpg"]) == [[1], [0]]


def test_one_name_of_two_images_is_told():
    with pytest.raises(LayoutError, match=r"list: expected a name for each image, got '1' for"):
        NameIndex(["1"]).rows_of("list", ["a/1.jpg", "b/1.jpg"])


PARTS = lists(text("ab1", min_size=1, max_size=2), min_size=1, max_size=4)


@given(lists(PARTS, max_size=8), PARTS)
def test_what_is_found_is_the_longest_end_of_the_path(listed, path):
    names = ["/".join(parts) for parts in listed]
    found = NameIndex(names).find("/".join(path))
    ends = ["/".join(path[begin:]) for begin in range(len(path))]
    longest = next((end for end in ends if end in names), None)
    if longest is None:
        assert found is None
    else:
        rows = [row for row, name in enumerate(names) if name == longest]
        assert found == (longest, rows)
