import io
import logging
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingest.errors import SetupError
from ingest.evaluation_index.sources import EvalSet, parse_eval_set, read_images


@pytest.fixture(scope="module")
def dots(bench):
    return [bench.encode(Image.new("RGB", (9, 9), (number, 0, 0))) for number in range(3)]


def images_of(path):
    return list(read_images(EvalSet("set", str(path))))


def write_tar(path, members, mode="w"):
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return str(path)


def write_parquet(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


def test_a_folder_gives_images_of_any_name_and_depth(dots, tmp_path, caplog):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "no extension").write_bytes(dots[0])
    (tmp_path / ".hidden").write_bytes(dots[1])
    (tmp_path / "notes.txt").write_bytes(dots[2])
    (tmp_path / "labels.csv").write_text("a,b")
    with caplog.at_level(logging.INFO):
        found = images_of(tmp_path)
    assert found == [(".hidden", dots[1]), ("a/b/no extension", dots[0]), ("notes.txt", dots[2])]
    assert "1 files or rows that are no images were left out" in caplog.text


def test_a_damaged_file_counts_as_an_image_by_its_name_alone(dots, tmp_path):
    (tmp_path / "damaged.JPEG").write_bytes(b"\0" * 99)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "._side.png").write_bytes(b"\0\5\x16\7")
    assert [name for name, _ in images_of(tmp_path)] == ["damaged.JPEG", "empty.png"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_gives_its_images_whatever_it_is_called(dots, tmp_path, mode):
    members = [("./x/1.jpg", dots[0]), ("x/1.json", b"{}"), ("plain", dots[1])]
    path = write_tar(tmp_path / "shard", members, mode)
    assert images_of(path) == [("x/1.jpg", dots[0]), ("plain", dots[1])]


def test_a_cut_tar_is_refused(dots, tmp_path):
    path = tmp_path / "cut.tar"
    write_tar(path, [("1.png", dots[0]), ("2.png", b"\x89PNG\r\n\x1a\n" + b"x" * 5000)])
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SetupError, match=r"cut\.tar.*unexpected end of data"):
        images_of(path)


@pytest.mark.parametrize(
    "column",
    ["image", "img", "jpg", "bytes"],
)
@pytest.mark.parametrize("dtype", [pa.binary(), pa.large_binary()])
def test_a_parquet_column_of_bytes_gives_its_rows_by_number(dots, tmp_path, column, dtype):
    path = write_parquet(
        tmp_path / "set", {"label": [1, 2, 3], column: pa.array(dots, dtype)}, row_group_size=2
    )
    assert images_of(path) == [(f"{row:09d}", dots[row]) for row in range(3)]


@pytest.mark.parametrize("column", ["image", "picture"])
def test_the_hugging_face_layout_gives_rows_by_number_and_path(dots, tmp_path, column):
    cells = [
        {"bytes": dots[0], "path": "a.png"},
        {"bytes": None, "path": "elsewhere.png"},
        None,
        {"bytes": dots[1], "path": None},
    ]
    path = write_parquet(tmp_path / "set.parquet", {column: cells, "label": [0, 1, 2, 3]})
    assert images_of(path) == [("000000000-a.png", dots[0]), ("000000003", dots[1])]


def test_a_file_written_by_datasets_is_read(dots, tmp_path):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"image": [{"bytes": dot, "path": None} for dot in dots], "label": [0, 1, 2]}
    path = tmp_path / "set.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    assert [content for _, content in images_of(path)] == dots


def test_a_column_of_paths_is_refused_naming_what_is_there(tmp_path):
    path = write_parquet(tmp_path / "set", {"image": ["a.png"]})
    with pytest.raises(SetupError, match=r"expected image bytes in image, .* got image: string"):
        images_of(path)


def test_a_broken_parquet_file_is_refused(dots, tmp_path):
    (tmp_path / "set").write_bytes(b"PAR1" + b"\0" * 99)
    with pytest.raises(SetupError, match="expected a parquet file"):
        images_of(tmp_path / "set")


def test_what_holds_no_image_is_refused_with_both_sides(dots, tmp_path):
    (tmp_path / "labels.csv").write_text("a,b")
    (tmp_path / "one").write_bytes(dots[0])
    for path, message in (
        (tmp_path / "missing", "expected a folder, .* got nothing at .*missing"),
        (tmp_path / "one", r"expected a folder, .* starts with b'\\x89PNG"),
        (write_tar(tmp_path / "t", [("a.txt", b"a")]), "expected images, got none in .*1 other"),
        (write_tar(tmp_path / "e", []), "expected images, got none in .*0 other"),
    ):
        with pytest.raises(SetupError, match=message):
            images_of(path)


def test_an_argument_names_a_set_and_where_it_is():
    assert parse_eval_set("imagenet=gs://b/a=b") == EvalSet("imagenet", "gs://b/a=b")


@pytest.mark.parametrize("text", ["nameless", "=path", "name=", "a/b=c", "a\nb=c", ""])
def test_another_argument_is_refused(text):
    with pytest.raises(SetupError, match=r"--eval-set: expected NAME=PATH, NAME without '/', got"):
        parse_eval_set(text)


@settings(deadline=None)
@given(num_images=st.integers(1, 60))
def test_the_parts_of_a_folder_give_what_the_whole_gives(many, num_images):
    whole = EvalSet("set", str(many), prefix="val/")
    parts = whole.split(num_images)
    assert len(parts) == -(-41 // num_images)
    found = [image for part in parts for image in read_images(part)]
    assert found == sorted(read_images(whole))
    assert len(found) == 40


@pytest.fixture(scope="module")
def many(dots, tmp_path_factory):
    """40 images, some deeper, and a file that is none."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(40):
        path = folder / str(number % 3) / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(dots[number % 3])
    (folder / "labels.csv").write_text("a,b")
    return folder


def test_a_part_without_images_is_no_error_but_a_whole_folder_without_is(many, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (part,) = EvalSet("set", str(tmp_path)).split(5)
    assert list(read_images(part)) == []
    with pytest.raises(SetupError, match=r"expected images, got none in .* but 1 other files"):
        images_of(tmp_path)


def test_an_empty_folder_is_one_part_without_images(tmp_path):
    (part,) = EvalSet("set", str(tmp_path)).split(5)
    assert part.files == ()


def test_a_tar_or_parquet_file_is_one_part(dots, tmp_path):
    tar = EvalSet("set", write_tar(tmp_path / "t", [(f"{n}.png", dots[0]) for n in range(9)]))
    parquet = EvalSet("set", write_parquet(tmp_path / "p", {"image": dots}))
    assert tar.split(2) == [tar]
    assert parquet.split(2) == [parquet]


def test_a_prefix_comes_before_every_name(dots, tmp_path):
    path = write_tar(tmp_path / "t", [("a.png", dots[0])])
    assert list(read_images(EvalSet("set", path, "test/"))) == [("test/a.png", dots[0])]


@pytest.mark.parametrize("new", [pa.ipc.new_file, pa.ipc.new_stream])
def test_rows_of_arrow_files_are_numbered_as_those_of_parquet_files(new, tmp_path):
    images = [{"bytes": b"one", "path": "a.jpg"}, {"bytes": b"two", "path": None}]
    table = pa.table({"label": [1, 2], "image": pa.array(images)})
    with new(str(tmp_path / "x.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    found = list(read_images(EvalSet("x", str(tmp_path / "x.arrow"))))
    assert found == [("000000000-a.jpg", b"one"), ("000000001", b"two")]
