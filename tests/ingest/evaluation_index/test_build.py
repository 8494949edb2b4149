import io
import random
import tarfile
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingest.errors import SetupError
from ingest.evaluation_index.build import IndexContent, output_folder, publish_index
from ingest.evaluation_index.fingerprints import Fingerprints
from ingest.evaluation_index.layout import ARRAYS
from ingest.evaluation_index.match import Query
from ingest.evaluation_index.search import EvaluationIndex
from schemas.options import MatchOptions
from schemas.outcome import Outcome


@pytest.fixture(scope="module")
def mixed(bench, tmp_path_factory):
    """A picture, one that is flat, and one that cannot be read."""
    return bench.folder(
        tmp_path_factory.mktemp("sets") / "mixed",
        **{
            "cat.png": bench.picture("chelsea.png"),
            "flat.png": Image.new("RGB", (300, 200), (9, 99, 9)),
            "cut.jpg": bench.real["china.jpg"].read_bytes()[:9000],
        },
    )


def test_flat_and_unreadable_images_are_found_by_their_bytes_alone(bench, mixed, tmp_path, caplog):
    index = bench.build(tmp_path / "index", f"m={mixed}")
    counts = index.manifest.sets["m"]
    assert (counts.num_images, counts.num_unreadable, counts.num_exact_only) == (3, 1, 1)
    assert counts.num_codes + counts.num_flat_variants >= 20
    assert "m/cut.jpg: only its digest is indexed" in caplog.text
    for path in mixed.iterdir():
        asked = Query(sha256(path.read_bytes()).digest(), bytes(32), ())
        (match,) = index.match([asked], MatchOptions())
        assert (match.name, match.outcome) == (f"m/{path.name}", Outcome.DUPLICATE_EXACT)


def test_a_flat_picture_is_found_by_its_pixels_too(bench, mixed, tmp_path):
    index = bench.build(tmp_path / "index", f"m={mixed}")
    flat = Image.new("RGB", (300, 200), (9, 99, 9))
    match = bench.look_up(index, bench.encode(flat, "BMP"))
    assert (match.name, match.variant) == ("m/flat.png", "pixels")
    assert bench.look_up(index, bench.encode(flat.resize((299, 200)))) is None


def test_an_index_without_any_code_finds_bytes(bench, tmp_path):
    folder = bench.folder(tmp_path / "set", black=Image.new("L", (50, 50)))
    index = bench.build(tmp_path / "index", f"s={folder}")
    found = bench.look_up(index, (folder / "black").read_bytes())
    assert found.outcome is Outcome.DUPLICATE_EXACT
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
    assert bench.files_of(tmp_path / "tar") == bench.files_of(index_folder)
    for name in ARRAYS:
        expected = (index_folder / f"{name}.npy").read_bytes()
        assert (tmp_path / "parquet" / f"{name}.npy").read_bytes() == expected


def test_sets_in_any_order_give_the_same_files_sorted_by_set(bench, mixed, tmp_path):
    other = bench.folder(tmp_path / "other", **{"z.png": bench.picture("coffee.png")})
    sets = (f"a={mixed}", f"a-b={other}", f"B={other}")
    bench.build(tmp_path / "one", *sets, canaries=2)
    index = bench.build(tmp_path / "two", *reversed(sets), canaries=2)
    assert bench.files_of(tmp_path / "one") == bench.files_of(tmp_path / "two")
    with pa.ipc.open_file(tmp_path / "one" / "names.arrow") as file:
        names = file.read_all().column("name").to_pylist()
    assert names[0] == "B/z.png"
    assert names[-1] == "a-b/z.png"
    assert index.arrays["code_ends"][-1] == len(index.arrays["codes"]) == index.codes_of().sum()
    # The same bytes in two sets belong to the first.
    assert bench.look_up(index, (other / "z.png").read_bytes()).name == "B/z.png"


@pytest.fixture(scope="module")
def rows(bench, pictures_folder, mixed):
    return bench.fingerprints(f"real={pictures_folder}", f"m={mixed}", profile="small", canaries=4)


@pytest.fixture(scope="module")
def whole(bench, rows, tmp_path_factory):
    return bench.files_of(written(rows, tmp_path_factory.mktemp("whole")))


def written(found, folder):
    IndexContent(found, num_canaries=4, profiles=["small"], rules={}).write(folder)
    return folder


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_rows_in_any_order_give_the_same_files(bench, rows, whole, tmp_path_factory, seed):
    def shuffled(table):
        return table.take(random.Random(seed).sample(range(table.num_rows), table.num_rows))

    found = Fingerprints(shuffled(rows.images), shuffled(rows.canaries))
    assert bench.files_of(written(found, tmp_path_factory.mktemp("shuffled"))) == whole


@pytest.mark.parametrize("unit_images", [1, 2, 5])
def test_units_of_any_size_give_the_same_files(
    bench, pictures_folder, mixed, unit_images, whole, tmp_path
):
    found = bench.fingerprints(
        f"m={mixed}", f"real={pictures_folder}",
        profile="small", canaries=4, unit_images=unit_images,
    )  # fmt: skip
    assert bench.files_of(written(found, tmp_path)) == whole


def test_names_that_are_no_unicode_are_escaped(bench, tmp_path):
    folder = bench.folder(tmp_path / "set", **{"caf\udce9\n.png": Image.new("L", (5, 5))})
    index = bench.build(tmp_path / "index", f"s={folder}")
    (path,) = folder.iterdir()
    assert bench.look_up(index, path.read_bytes()).name == "s/caf\\udce9\n.png"


def test_one_name_twice_in_a_set_is_refused_naming_it(bench, mixed):
    found = bench.fingerprints(f"m={mixed}")
    with pytest.raises(SetupError, match=r"expected each evaluation image once, got m/cat\.png"):
        IndexContent(
            Fingerprints.joined([found, found]), num_canaries=0, profiles=["small"], rules={}
        )


def test_the_same_index_is_accepted_again_and_another_refused(bench, mixed, tmp_path):
    first = bench.build(tmp_path / "index", f"m={mixed}").record
    assert bench.build(tmp_path / "index", f"m={mixed}").record == first
    before = bench.files_of(tmp_path / "index")
    message = rf"got another in .*index: {first.sha256} of \['m'\], not [0-9a-f]"
    with pytest.raises(SetupError, match=message):
        bench.build(tmp_path / "index", f"other={mixed}")
    assert bench.files_of(tmp_path / "index") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index"]


def test_a_damaged_index_is_not_accepted_as_the_same(bench, mixed, tmp_path):
    bench.build(tmp_path / "index", f"m={mixed}")
    (tmp_path / "index" / "code_ends.npy").unlink()
    with pytest.raises(SetupError, match=r"code_ends\.npy: expected .* got no such file"):
        bench.build(tmp_path / "index", f"m={mixed}")


def test_an_output_that_is_no_index_is_refused(bench, mixed):
    for output in (str(mixed), str(mixed / "cat.png")):
        with pytest.raises(SetupError, match="--output: expected a new folder or an index: "):
            output_folder(output)
    with pytest.raises(SetupError, match="--output: expected a local folder, got memory://index"):
        output_folder("memory://index")


def test_new_and_empty_folders_are_written_to(bench, mixed, tmp_path):
    (tmp_path / "empty").mkdir()
    content = bench.content(f"m={mixed}")
    for name in ("empty", "new/deeper"):
        publish_index(content, output_folder(str(tmp_path / name)))
        assert EvaluationIndex.open(str(tmp_path / name)).manifest.sets["m"].num_images == 3


def test_profiles_are_recorded_and_give_more_codes(bench, mixed, tmp_path):
    found = {
        name: bench.build(tmp_path / name, f"m={mixed}", profile=name).manifest
        for name in ("small", "standard", "thorough")
    }
    assert {name: one.profiles for name, one in found.items()} == {name: (name,) for name in found}
    counts = [one.sets["m"].num_codes for one in found.values()]
    assert counts == sorted(set(counts))
