import io
import logging
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ingest.errors import SetupError
from ingest.evaluation_index.sources import read_images


@pytest.fixture(scope="module")
def dots(bench):
    return [bench.encode(Image.new("RGB", (9, 9), (number, 0, 0))) for number in range(3)]


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
        found = list(read_images(str(tmp_path)))
    assert found == [(".hidden", dots[1]), ("a/b/no extension", dots[0]), ("notes.txt", dots[2])]
    assert "1 files or rows that are no images were left out" in caplog.text


def test_a_damaged_file_counts_as_an_image_by_its_name_alone(dots, tmp_path):
    (tmp_path / "damaged.JPEG").write_bytes(b"\0" * 99)
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "._side.png").write_bytes(b"\0\5\x16\7")
    assert [name for name, _ in read_images(str(tmp_path))] == ["damaged.JPEG", "empty.png"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_gives_its_images_whatever_it_is_called(dots, tmp_path, mode):
    members = [("./x/1.jpg", dots[0]), ("x/1.json", b"{}"), ("plain", dots[1])]
    path = write_tar(tmp_path / "shard", members, mode)
    assert list(read_images(path)) == [("x/1.jpg", dots[0]), ("plain", dots[1])]


def test_a_cut_tar_is_refused(dots, tmp_path):
    path = tmp_path / "cut.tar"
    write_tar(path, [("1.png", dots[0]), ("2.png", b"\x89PNG\r\n\x1a\n" + b"x" * 5000)])
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SetupError, match=r"cut\.tar.*unexpected end of data"):
        list(read_images(str(path)))


@pytest.mark.parametrize(
    "column",
    ["image", "img", "jpg", "bytes"],
)
@pytest.mark.parametrize("dtype", [pa.binary(), pa.large_binary()])
def test_a_parquet_column_of_bytes_gives_its_rows_by_number(dots, tmp_path, column, dtype):
    path = write_parquet(
        tmp_path / "set", {"label": [1, 2, 3], column: pa.array(dots, dtype)}, row_group_size=2
    )
    assert list(read_images(path)) == [(f"{row:09d}", dots[row]) for row in range(3)]


@pytest.mark.parametrize("column", ["image", "picture"])
def test_the_hugging_face_layout_gives_rows_by_number_and_path(dots, tmp_path, column):
    cells = [
        {"bytes": dots[0], "path": "a.png"},
        {"bytes": None, "path": "elsewhere.png"},
        None,
        {"bytes": dots[1], "path": None},
    ]
    path = write_parquet(tmp_path / "set.parquet", {column: cells, "label": [0, 1, 2, 3]})
    assert list(read_images(path)) == [("000000000-a.png", dots[0]), ("000000003", dots[1])]


def test_a_file_written_by_datasets_is_read(dots, tmp_path):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"image": [{"bytes": dot, "path": None} for dot in dots], "label": [0, 1, 2]}
    path = tmp_path / "set.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    assert [content for _, content in read_images(str(path))] == dots


def test_a_column_of_paths_is_refused_naming_what_is_there(tmp_path):
    path = write_parquet(tmp_path / "set", {"image": ["a.png"]})
    with pytest.raises(SetupError, match=r"expected image bytes in image, .* got image: string"):
        list(read_images(path))


def test_a_broken_parquet_file_is_refused(dots, tmp_path):
    (tmp_path / "set").write_bytes(b"PAR1" + b"\0" * 99)
    with pytest.raises(SetupError, match="expected a parquet file"):
        list(read_images(str(tmp_path / "set")))


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
            list(read_images(str(path)))
