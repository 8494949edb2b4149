from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ingest.evaluation_index.calibrate import calibrate, fingerprint_background
from ingest.evaluation_index.sources import EvalSet
from ingest.inspect.decode import inspect_image
from schemas.evaluation import BackgroundImage
from schemas.outcome import Outcome

MAX_PIXELS = 10**9
NEAR, EXACT = Outcome.DUPLICATE_NEAR, Outcome.DUPLICATE_EXACT


@cache
def disc(seed):
    """A bright disc on a dark ground, off the middle: alike to a hash, yet each of other grain."""
    drawn = Image.new("L", (256, 256), 20)
    ImageDraw.Draw(drawn).ellipse((30, 40, 200, 220), 200)
    grain = np.random.default_rng(seed).normal(0, 6, (64, 64))
    coarse = np.asarray(Image.fromarray(grain.astype(np.float32)).resize((256, 256)))
    return Image.fromarray(np.clip(np.asarray(drawn) + coarse, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(bench, tmp_path_factory):
    path = tmp_path_factory.mktemp("set") / "eval"
    return bench.folder(path, disc=disc(0), coffee=bench.picture("coffee.png"))


@pytest.fixture(scope="module")
def lookalikes(bench, tmp_path_factory):
    """A background: 24 more discs, and photographs that are like nothing."""
    path = tmp_path_factory.mktemp("background") / "crawl"
    strangers = {name: bench.picture(name) for name in ("chelsea.png", "rocket.jpg", "ihc.png")}
    bench.folder(path, **{f"disc{seed}": disc(seed) for seed in range(1, 25)}, **strangers)
    return fingerprint_background(EvalSet("", str(path), "crawl/"), MAX_PIXELS)


@pytest.fixture(scope="module")
def strangers(lookalikes):
    return BackgroundImage.to_table(
        [row for row in BackgroundImage.from_table(lookalikes) if "disc" not in row.name]
    )


@pytest.fixture
def content(bench, folder):
    return bench.content(f"s={folder}", profile="small")


def test_a_disc_is_called_a_copy_of_another_before_calibration(bench, content):
    index = bench.opened(content)
    found = [bench.look_up(index, bench.encode(disc(seed))) for seed in range(30, 36)]
    assert {match.name for match in found} == {"s/disc"}
    assert [match.outcome for match in found].count(NEAR) >= 4


def test_a_hub_is_demoted_and_listed_and_matches_no_more(bench, content, folder, lookalikes):
    calibrate(content, lookalikes, hub_hits=2)
    index = bench.opened(content)
    calibration = index.manifest.calibration
    assert all(name.startswith("s/disc ") for name in calibration.demoted)
    assert max(calibration.demoted.values()) > 2
    assert calibration.num_hits_before > calibration.num_hits
    assert len(calibration.hits) == calibration.num_hits
    for seed in range(30, 36):
        match = bench.look_up(index, bench.encode(disc(seed)))
        assert match is None or match.name != "s/disc" or match.outcome is None
    assert bench.look_up(index, (folder / "disc").read_bytes()).outcome is EXACT
    assert bench.look_up(index, bench.encode(disc(0), "BMP")).variant == "pixels"
    copy = bench.encode(bench.picture("coffee.png"), "JPEG")
    assert bench.look_up(index, copy).outcome is NEAR


def test_what_is_demoted_has_no_code_left_in_the_index(bench, content, lookalikes):
    before = bench.opened(content)
    coffee = before.num_codes_of("s/coffee")
    disc_codes = before.num_codes_of("s/disc")
    calibrate(content, lookalikes, hub_hits=2)
    after = bench.opened(content)
    assert after.num_codes_of("s/coffee") == coffee
    demoted = after.manifest.calibration.demoted
    assert after.num_codes_of("s/disc") == disc_codes - len(demoted)
    assert after.manifest.sets["s"].num_codes == coffee + disc_codes - len(demoted)


def test_halves_are_counted_apart(bench, content, lookalikes):
    calibrate(content, lookalikes, hub_hits=2)
    counted = content.calibration.num_images
    assert 0 < counted < lookalikes.num_rows
    assert 0 <= content.calibration.num_hits_before <= counted


def test_as_many_hits_as_allowed_demote_nothing(bench, content, lookalikes):
    codes = content.arrays["codes"].tolist()
    calibrate(content, lookalikes, hub_hits=lookalikes.num_rows)
    assert content.arrays["codes"].tolist() == codes
    assert content.calibration.demoted == {}
    assert content.calibration.num_hits == content.calibration.num_hits_before > 0
    assert all(
        line.startswith("crawl/disc") and ": s/disc " in line for line in content.calibration.hits
    )


def test_a_background_without_hits_changes_no_code(bench, content, strangers):
    before = {name: one.tolist() for name, one in content.arrays.items()}
    calibrate(content, strangers, hub_hits=0)
    assert {name: one.tolist() for name, one in content.arrays.items()} == before
    found = content.calibration
    assert (found.num_hits_before, found.num_hits, found.hits, found.demoted) == (0, 0, (), {})


def test_evaluation_images_themselves_are_no_hubs(bench, content, folder):
    """Exact copies in a crawl say nothing against a code."""
    own = fingerprint_background(EvalSet("", str(folder)), MAX_PIXELS)
    calibrate(content, own, hub_hits=0)
    assert content.calibration.demoted == {}


@pytest.mark.parametrize("hub_hits", [2, 1000])
def test_the_same_background_in_any_order_gives_the_same_files(
    bench, folder, lookalikes, tmp_path, hub_hits
):
    backwards = lookalikes.take(list(range(lookalikes.num_rows))[::-1])
    files = []
    for number, background in enumerate((lookalikes, lookalikes, backwards)):
        content = bench.content(f"s={folder}", profile="standard")
        calibrate(content, background, hub_hits)
        found = content.calibration
        assert len(found.hits) > 2 if hub_hits > 2 else len(found.demoted) > 2
        (tmp_path / str(number)).mkdir()
        content.write(tmp_path / str(number))
        files.append(bench.files_of(tmp_path / str(number)))
    assert files[0] == files[1] == files[2]


def test_a_background_has_what_a_crawl_would_look_up(bench, tmp_path, lookalikes):
    content = bench.encode(disc(3))
    (row,) = [row for row in BackgroundImage.from_table(lookalikes) if row.name == "crawl/disc3"]
    seen = inspect_image(content, MAX_PIXELS)
    assert (row.sha256.hex(), row.pixels_sha256.hex()) == (seen.sha256, seen.pixels_sha256)
    assert row.codes == b"".join(view.code for view in seen.views)
    assert row.textures == tuple(view.texture for view in seen.views)
    assert row.certainties == b"".join(view.certainty for view in seen.views)
    assert row.thumbnails == b"".join(view.thumbnail for view in seen.views)


def test_broken_images_are_left_out_of_a_background(bench, tmp_path):
    folder = bench.folder(tmp_path / "b", **{"a.jpg": b"\xff\xd8\xff no", "b.png": disc(1)})
    assert fingerprint_background(EvalSet("", str(folder)), MAX_PIXELS)["name"].to_pylist() == [
        "b.png"
    ]
