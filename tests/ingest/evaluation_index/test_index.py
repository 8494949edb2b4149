import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingest import storage
from ingest.errors import SetupError
from ingest.evaluation_index.build import VARIANTS, build_index
from ingest.evaluation_index.search import EvaluationIndex
from ingest.inspect.decode import inspect_image
from ingest.miniweb.pictures import evaluation_tiles
from schemas.manifest import decode
from schemas.options import IndexOptions
from schemas.outcome import Outcome
from tests.building import uncurated


def png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def tiles():
    return evaluation_tiles(4, 12)


@pytest.fixture(scope="module")
def folder(tiles, tmp_path_factory):
    """A folder of evaluation images, with a flat one, a text and a broken file among them."""
    path = tmp_path_factory.mktemp("evaluation")
    for number, tile in enumerate(tiles):
        (path / f"{number:02d}.png").write_bytes(png(tile))
    (path / "flat.png").write_bytes(png(Image.new("RGB", (100, 100), (9, 9, 9))))
    (path / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    (path / "labels.txt").write_text("no image")
    return path


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("built") / "index"
    build_index(IndexOptions(eval_set=(f"demo={folder}",), output=str(output)))
    return output


def look_up(index, content, radius=31):
    found = inspect_image(content, 10**9)
    codes = np.frombuffer(bytes.fromhex(found.phash), np.uint8)[None]
    (match,) = index.match([found.sha256], codes, np.array([found.texture], np.uint16), radius)
    return match


def jpeg(image, quality=70):
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def test_the_record_counts_images_and_names_the_version(built):
    record = EvaluationIndex.open(str(built)).record
    assert record.sets == {"demo": 14}
    manifest = (built / "manifest.json").read_text()
    assert '"num_exact_only": 1' in manifest
    assert '"num_unreadable": 1' in manifest
    assert tuple(VARIANTS) == ("identity", "mirrored", "centre_0.925", "centre_0.85", "centre_0.7")


def test_the_same_bytes_are_found_even_of_flat_and_broken_files(built, folder):
    index = EvaluationIndex.open(str(built))
    for name in ("00.png", "flat.png"):
        match = look_up(index, (folder / name).read_bytes())
        assert (match.name, match.distance, match.outcome) == (
            f"demo/{name}",
            0,
            Outcome.DUPLICATE_EXACT,
        )


@pytest.mark.parametrize(
    ("edit", "variant"),
    [
        (lambda tile: tile.convert("L"), "identity"),
        (lambda tile: tile.resize((tile.width // 2, tile.height // 2)), "identity"),
        (lambda tile: tile.resize((300, 200)), "identity"),
        (lambda tile: tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "mirrored"),
        (
            lambda tile: tile.crop(
                (
                    round(tile.width * 0.075),
                    round(tile.height * 0.075),
                    round(tile.width * 0.925),
                    round(tile.height * 0.925),
                )
            ),
            "centre_0.85",
        ),
    ],
    ids=["grey", "half", "squeezed", "mirrored", "cropped"],
)
def test_copies_are_found_under_their_name_and_variant(built, tiles, edit, variant):
    index = EvaluationIndex.open(str(built))
    for number, tile in enumerate(tiles):
        match = look_up(index, jpeg(edit(tile)))
        assert match.name == f"demo/{number:02d}.png"
        assert match.variant == variant
        assert match.outcome is Outcome.DUPLICATE_NEAR
        assert match.distance <= 31


def test_strangers_and_flat_pictures_are_no_copies(built):
    index = EvaluationIndex.open(str(built))
    for tile in evaluation_tiles(99, 200)[60:]:
        match = look_up(index, jpeg(tile.crop((0, 0, tile.width // 2, tile.height // 2))))
        assert match is None or match.outcome is None
    assert look_up(index, jpeg(Image.new("RGB", (100, 100), (9, 9, 10)))) is None


def test_beyond_the_radius_the_nearest_is_told_but_is_no_copy(built, tiles):
    index = EvaluationIndex.open(str(built))
    near = look_up(index, jpeg(tiles[0], quality=15))
    assert near.distance > 0
    told = look_up(index, jpeg(tiles[0], quality=15), radius=near.distance - 1)
    assert (told.name, told.distance, told.outcome) == (near.name, near.distance, None)


codes_of_index = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40)


def plain_nearest(queries, codes):
    """The definition: smallest Hamming distance, first place among equals."""
    return [
        min(
            ((int.from_bytes(query) ^ int.from_bytes(code)).bit_count(), place)
            for place, code in enumerate(codes)
        )
        for query in queries
    ]


@settings(deadline=None)
@given(codes_of_index, st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=9))
def test_search_is_exact(codes, queries):
    index = object.__new__(EvaluationIndex)
    index._codes = np.frombuffer(b"".join(codes), np.uint64).reshape(-1, 4).T.copy()
    found = index._nearest(np.frombuffer(b"".join(queries), np.uint64).reshape(-1, 4))
    assert [(distance, place) for place, distance in found] == plain_nearest(queries, codes)


def test_folder_tar_and_parquet_give_the_same_codes(built, folder, tmp_path):
    names = sorted(path.name for path in folder.iterdir())
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for name in names:
            tar.add(folder / name, arcname=name)
    rows = [
        {"image": {"bytes": (folder / name).read_bytes(), "path": name}}
        for name in names
        if not name.endswith(".txt")
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "set.parquet")
    for source in ("set.tar", "set.parquet"):
        output = tmp_path / f"{source}.index"
        build_index(IndexOptions(eval_set=(f"demo={tmp_path / source}",), output=str(output)))
        for array in ("codes", "sha256", "owner", "variant"):
            expected = (built / f"{array}.npy").read_bytes()
            assert (output / f"{array}.npy").read_bytes() == expected


def test_the_order_of_the_sets_does_not_matter(folder, tmp_path):
    sets = (f"b={folder}", f"a={folder}")
    one = build_index(IndexOptions(eval_set=sets, output=str(tmp_path / "one")))
    two = build_index(IndexOptions(eval_set=sets[::-1], output=str(tmp_path / "two")))
    assert one.sha256 == two.sha256
    assert one.sets == {"a": 14, "b": 14}


def test_one_flipped_bit_in_any_file_is_refused_and_the_file_named(built, tmp_path):
    for name in sorted(path.name for path in built.iterdir()):
        copy = tmp_path / name / "index"
        shutil.copytree(built, copy)
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(bytes(content))
        with pytest.raises(
            SetupError, match=name.replace(".", r"\.") if name != "manifest.json" else "expected"
        ):
            EvaluationIndex.open(str(copy))


def test_an_index_is_read_from_any_store(built):
    for path in built.iterdir():
        storage.write_bytes(f"memory://indexes/demo/{path.name}", path.read_bytes())
    remote = EvaluationIndex.open("memory://indexes/demo")
    assert remote.record.sha256 == EvaluationIndex.open(str(built)).record.sha256
    assert remote.record.uri == "memory://indexes/demo"


def test_an_existing_output_is_accepted_only_if_it_is_the_same(built, folder, tmp_path):
    output = tmp_path / "index"
    shutil.copytree(built, output)
    build_index(IndexOptions(eval_set=(f"demo={folder}",), output=str(output)))
    with pytest.raises(SetupError, match="expected a new folder or the same index, got another"):
        build_index(IndexOptions(eval_set=(f"other={folder}",), output=str(output)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("nothing", "expected NAME=PATH"),
        ("a=/no/such/place", "got nothing at /no/such/place"),
        ("a={folder}/labels.txt", "expected a folder, .tar or .parquet"),
        ("a={empty}", "expected images, got none in"),
    ],
)
def test_wrong_evaluation_sets_are_told_in_one_sentence(folder, tmp_path, argument, message):
    (tmp_path / "empty").mkdir()
    argument = argument.format(folder=folder, empty=tmp_path / "empty")
    finished = uncurated("index", f"--eval-set={argument}", f"--output={tmp_path / 'index'}")
    assert finished.returncode == 2
    assert message in " ".join(finished.stderr.split())
    assert not (tmp_path / "index").exists()


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(SetupError, match=r"expected an evaluation index with manifest\.json"):
        EvaluationIndex.open(str(tmp_path))
    Path(tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(SetupError, match="expected uncurated-evaluation-index-1"):
        EvaluationIndex.open(str(tmp_path))


def test_another_fingerprint_version_is_refused_with_both_sides(built, tmp_path):
    from ingest.evaluation_index.layout import IndexManifest
    from schemas.manifest import encode

    copy = shutil.copytree(built, tmp_path / "copy")
    manifest = decode(IndexManifest, (copy / "manifest.json").read_bytes())
    changed = manifest.model_copy(update={"fingerprint": "other-v9"})
    (copy / "manifest.json").write_bytes(encode(changed))
    with pytest.raises(SetupError, match="expected fingerprint phash256-luma64-v1, got other-v9"):
        EvaluationIndex.open(str(copy))
