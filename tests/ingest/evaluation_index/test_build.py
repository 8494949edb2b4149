import io
import json
import tarfile
from hashlib import sha256

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ingest.errors import SetupError
from ingest.evaluation_index.layout import ARRAYS, FILES
from ingest.evaluation_index.search import EvaluationIndex
from ingest.evaluation_index.variants import MIN_TEXTURE, VARIANTS
from schemas.outcome import Outcome


def sets_of(folder):
    return json.loads((folder / "manifest.json").read_text())["sets"]


def content_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def mixed(bench, tmp_path):
    """A picture, one that is flat, one whose crops are flat, and one that cannot be read."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "cat.png").write_bytes(bench.encode(bench.picture("chelsea.png")))
    (folder / "flat.png").write_bytes(bench.encode(Image.new("RGB", (300, 200), (9, 99, 9))))
    framed = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    framed[30:-30, 30:-30] = 128
    (folder / "framed.png").write_bytes(bench.encode(Image.fromarray(framed)))
    (folder / "cut.jpg").write_bytes(bench.real["china.jpg"].read_bytes()[:9000])
    return folder


def test_flat_and_unreadable_images_are_found_by_their_bytes_alone(bench, mixed, tmp_path, caplog):
    index = bench.build(tmp_path / "index", f"m={mixed}")
    counts = sets_of(tmp_path / "index")["m"]
    assert (counts["num_images"], counts["num_unreadable"], counts["num_exact_only"]) == (4, 1, 1)
    assert index.record.sets == {"m": 4}
    assert "m/cut.jpg: only its digest is indexed" in caplog.text
    codes, textures = np.zeros((1, 32), np.uint8), np.zeros(1, np.uint16)
    for path in mixed.iterdir():
        digest = sha256(path.read_bytes()).hexdigest()
        (match,) = index.match([digest], codes, textures, 31)
        assert (match.name, match.outcome) == (f"m/{path.name}", Outcome.DUPLICATE_EXACT)
    recoded = bench.encode(Image.new("RGB", (300, 200), (9, 99, 9)), "BMP")
    assert bench.look_up(index, recoded) is None


def test_only_variants_with_texture_are_stored_and_the_others_counted(bench, mixed, tmp_path):
    bench.build(tmp_path / "index", f"m={mixed}")
    counts = sets_of(tmp_path / "index")["m"]
    texture = np.load(tmp_path / "index" / "texture.npy")
    variant = np.load(tmp_path / "index" / "variant.npy")
    assert texture.min() >= MIN_TEXTURE
    assert counts["num_codes"] == len(texture)
    # 5 of the flat one, and the narrowest crop of the framed one.
    assert counts["num_flat_variants"] == 6
    assert counts["num_codes"] + counts["num_flat_variants"] == 3 * len(VARIANTS)
    assert np.bincount(variant).tolist() == [2, 2, 2, 2, 1]


def test_an_index_without_any_code_finds_bytes(bench, tmp_path):
    (tmp_path / "set").mkdir()
    content = bench.encode(Image.new("L", (50, 50)))
    (tmp_path / "set" / "black").write_bytes(content)
    index = bench.build(tmp_path / "index", f"s={tmp_path / 'set'}")
    assert bench.look_up(index, content).outcome is Outcome.DUPLICATE_EXACT
    assert bench.look_up(index, bench.real["china.jpg"].read_bytes()) is None


def test_folder_tar_and_parquet_of_real_pictures_have_the_same_codes(
    bench, pictures_folder, index_folder, tmp_path
):
    paths = sorted(path for path in pictures_folder.rglob("*") if path.is_file())
    names = [str(path.relative_to(pictures_folder)) for path in paths]
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        for name, path in sorted(zip(names, paths, strict=True), reverse=True):
            member = tarfile.TarInfo(name)
            member.size = path.stat().st_size
            tar.addfile(member, io.BytesIO(path.read_bytes()))
    cells = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    pq.write_table(pa.table({"image": cells}), tmp_path / "set.parquet")
    bench.build(tmp_path / "tar", f"real={tmp_path / 'set.tar'}")
    bench.build(tmp_path / "parquet", f"real={tmp_path / 'set.parquet'}")
    assert content_of(tmp_path / "tar") == content_of(index_folder)
    for name in ARRAYS:
        expected = (index_folder / f"{name}.npy").read_bytes()
        assert (tmp_path / "parquet" / f"{name}.npy").read_bytes() == expected


def test_sets_in_any_order_give_the_same_files_sorted_by_set(bench, mixed, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "z.png").write_bytes(bench.encode(bench.picture("coffee.png")))
    sets = (f"a={mixed}", f"a-b={other}", f"B={other}")
    bench.build(tmp_path / "one", *sets)
    index = bench.build(tmp_path / "two", *reversed(sets))
    assert content_of(tmp_path / "one") == content_of(tmp_path / "two")
    assert sorted(content_of(tmp_path / "one")) == sorted([*FILES, "manifest.json"])
    with pa.ipc.open_file(tmp_path / "one" / "names.arrow") as file:
        names = file.read_all().column("name").to_pylist()
    assert names[0] == "B/z.png"
    assert names[-1] == "a-b/z.png"
    owner = np.load(tmp_path / "one" / "owner.npy")
    assert (np.diff(owner.astype(int)) >= 0).all()
    # The same bytes in two sets belong to the first.
    assert bench.look_up(index, (other / "z.png").read_bytes()).name == "B/z.png"


def test_names_that_are_no_unicode_are_escaped(bench, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    content = bench.encode(Image.new("L", (5, 5)))
    (folder / "caf\udce9\n.png").write_bytes(content)
    index = bench.build(tmp_path / "index", f"s={folder}")
    assert bench.look_up(index, content).name == "s/caf\\udce9\n.png"


def test_each_image_is_told_as_it_is_read(bench, mixed, tmp_path):
    told = []
    bench.build(tmp_path / "index", f"m={mixed}", on_image=told.append)
    assert told == ["m/cat.png", "m/cut.jpg", "m/flat.png", "m/framed.png"]


def test_the_same_index_is_accepted_again_and_another_refused(bench, mixed, tmp_path):
    first = bench.build(tmp_path / "index", f"m={mixed}").record
    assert bench.build(tmp_path / "index", f"m={mixed}").record == first
    before = content_of(tmp_path / "index")
    with pytest.raises(SetupError, match=f"got another in .*index: {first.sha256} .* not [0-9a-f]"):
        bench.build(tmp_path / "index", f"other={mixed}")
    assert content_of(tmp_path / "index") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index", "mixed"]


def test_a_folder_that_is_no_index_is_refused_before_any_work(bench, mixed, tmp_path):
    told = []
    for output in (str(mixed), str(mixed / "cat.png"), "memory://index"):
        with pytest.raises(SetupError, match=r"--output: expected a (new folder|local folder)"):
            bench.build(output, f"m={mixed}", on_image=told.append)
    assert told == []


def test_an_empty_output_folder_is_used(bench, mixed, tmp_path):
    (tmp_path / "index").mkdir()
    assert bench.build(tmp_path / "index", f"m={mixed}").record.sets == {"m": 4}


def test_a_damaged_index_is_not_accepted_as_the_same(bench, mixed, tmp_path):
    bench.build(tmp_path / "index", f"m={mixed}")
    (tmp_path / "index" / "owner.npy").unlink()
    with pytest.raises(SetupError, match=r"owner\.npy: expected .* got no such file"):
        bench.build(tmp_path / "index", f"m={mixed}")


def test_a_set_named_twice_or_wrongly_is_refused(bench, mixed, tmp_path):
    for sets, message in (
        ((f"m={mixed}", f"m={tmp_path}"), "expected each name once, got 'm' twice"),
        (("nameless",), "expected NAME=PATH, .* got 'nameless'"),
        ((f"a/b={mixed}",), "NAME without '/'"),
    ):
        with pytest.raises(SetupError, match=message):
            bench.build(tmp_path / "index", *sets)
    assert not (tmp_path / "index").exists()


def test_the_arrays_are_mapped_and_cannot_be_written(index_folder):
    index = EvaluationIndex.open(str(index_folder))
    with pytest.raises(ValueError, match="read-only"):
        index._codes[0, 0] = 1
