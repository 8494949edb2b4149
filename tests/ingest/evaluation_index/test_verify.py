import io
import os
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingest.copies.kinds import KINDS
from ingest.evaluation_index.variants import place_of
from ingest.evaluation_index.verify import _solve, aligned_correlation, isotropy
from ingest.fingerprint import thumbnail
from ingest.inspect.grey import luma_of
from tests.building import pictures
from tests.ingest.evaluation_index.conftest import REAL

SAME = place_of("identity", 1.0)
# Stars are points: a thumbnail of half the size shows others.
names = st.sampled_from(sorted(REAL.keys() - {"hubble_deep_field.jpg"}))


@cache
def original(name):
    return Image.open(REAL[name]).convert("RGB").resize((480, 480), Image.Resampling.LANCZOS)


def small(image):
    return thumbnail(luma_of(np.asarray(image.convert("L"))))


def copy(image, kind, seed=0):
    with Image.open(io.BytesIO(KINDS[kind].make(image, str(seed)).content)) as stored:
        return stored.convert("RGB")


def placed(image, place):
    """What a place of the original shows, sampled by Pillow."""
    width, height = image.size
    scale = np.array([width, height])
    offset = scale * (place[:, 2] + 0.5 - place[:, :2].sum(axis=1) / 2)
    rows = [(*row.tolist(), float(start)) for row, start in zip(place[:, :2], offset, strict=True)]
    affine = Image.Transform.AFFINE
    return image.transform(image.size, affine, (*rows[0], *rows[1]), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("name", REAL)
def test_a_picture_correlates_fully_with_itself(name):
    one = small(original(name))
    # Flat windows count as a little less than they are.
    assert 0.94 < aligned_correlation(one, one, SAME) <= 1


@settings(deadline=None, max_examples=60, derandomize=True)
@given(name=names, x=st.floats(-0.06, 0.06), y=st.floats(-0.06, 0.06), scale=st.floats(0.82, 0.95))
def test_small_shifts_and_scales_are_found(name, x, y, scale):
    # Inside the original, so that no ground comes in.
    x, y = (np.clip(one, -(1 - scale) / 2, (1 - scale) / 2) for one in (x, y))
    shown = placed(original(name), np.array([[scale, 0, x], [0, scale, y]]))
    assert aligned_correlation(small(shown), small(original(name)), SAME) > 0.6


@settings(deadline=None, max_examples=60, derandomize=True)
@given(name=names, degrees=st.floats(-6, 6), scale=st.floats(0.8, 0.88))
def test_small_turns_are_found(name, degrees, scale):
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    place = scale * np.array([[cosine, -sine, 0], [sine, cosine, 0]])
    shown = placed(original(name), place)
    start = place_of("centre_0.85", 1.0)
    assert aligned_correlation(small(shown), small(original(name)), start) > 0.6


@pytest.mark.parametrize("variant", ["mirrored", "turned_90", "mirrored_90", "turned_180"])
def test_the_start_says_how_a_picture_was_turned(variant):
    for name in REAL:
        shown = small(placed(original(name), place_of(variant, 1.0)))
        one = small(original(name))
        right = aligned_correlation(shown, one, place_of(variant, 1.0))
        assert right > 0.9
        assert aligned_correlation(shown, one, SAME) < right - 0.25


def test_strangers_correlate_little():
    shown = [small(original(name)) for name in REAL]
    shown += [small(Image.open(io.BytesIO(one.content)).convert("RGB")) for one in pictures(60)]
    found = np.array([
        aligned_correlation(one, other, SAME)
        for number, one in enumerate(shown)
        for other in shown[:number]
    ])  # fmt: skip
    # Some of the pictures are parts of one photograph, or two of one wall.
    assert np.median(found) < 0.15
    assert np.quantile(found, 0.99) < 0.35


@pytest.mark.parametrize("kind", ["text_big", "text_small_3", "logo_18", "watermark"])
def test_text_and_logos_leave_the_correlation_high(kind):
    for name in REAL:
        for seed in range(3):
            marked = small(copy(original(name), kind, seed))
            assert aligned_correlation(marked, small(original(name)), SAME) > 0.5, (name, seed)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(name=names, gain=st.floats(0.5, 1.3), offset=st.floats(-20, 20))
def test_brightness_and_contrast_do_not_matter(name, gain, offset):
    one = small(original(name))
    other = np.clip((one.astype(float) - 128) * gain + 128 + offset, 0, 255).astype(np.uint8)
    assert aligned_correlation(other, one, SAME) > 0.85


@pytest.mark.parametrize("kind", ["gamma", "darker", "less_contrast", "jpeg_30_10", "grey"])
def test_light_and_compression_leave_the_correlation_high(kind):
    for name in REAL:
        found = aligned_correlation(small(copy(original(name), kind)), small(original(name)), SAME)
        assert found > 0.8, name


def test_a_negative_does_not_correlate():
    one = small(original("chelsea.png"))
    assert aligned_correlation(255 - one, one, SAME) < -0.5


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_thumbnails_give_0(level):
    flat, one = np.full((32, 32), level, np.uint8), small(original("chelsea.png"))
    assert aligned_correlation(flat, flat, SAME) == 0
    assert abs(aligned_correlation(flat, one, SAME)) < 1e-6
    assert abs(aligned_correlation(one, flat, SAME)) < 1e-6


@settings(deadline=None, max_examples=100)
@given(
    seeds=st.tuples(st.integers(0, 999), st.integers(0, 999)),
    place=st.lists(st.floats(-2, 2), min_size=6, max_size=6),
)
def test_any_thumbnails_and_start_give_a_number_from_minus_1_to_1(seeds, place):
    one, other = (
        np.random.default_rng(seed).integers(0, 256, (32, 32)).astype(np.uint8) for seed in seeds
    )
    found = aligned_correlation(one, other, np.array(place).reshape(2, 3))
    assert -1 <= found <= 1


def test_what_lies_outside_the_original_gives_0():
    one = small(original("chelsea.png"))
    assert aligned_correlation(one, one, np.array([[1, 0, 3.0], [0, 1, 0]])) == 0


@pytest.mark.parametrize(
    ("query", "stored", "place", "got"),
    [
        ((64, 64), (32, 32), (2, 3), r"got \(64, 64\), \(32, 32\) and \(2, 3\)"),
        ((32, 32), (1024,), (2, 3), r"got \(32, 32\), \(1024,\) and \(2, 3\)"),
        ((32, 32), (32, 32), (3, 3), r"got \(32, 32\), \(32, 32\) and \(3, 3\)"),
    ],
)
def test_other_shapes_are_refused(query, stored, place, got):
    with pytest.raises(ValueError, match=r"expected thumbnails of shape \(32, 32\) and .*" + got):
        aligned_correlation(np.zeros(query, np.uint8), np.zeros(stored, np.uint8), np.zeros(place))


@settings(deadline=None, derandomize=True)
@given(degrees=st.floats(0, 180), contrast=st.integers(60, 120))
def test_gradients_and_edges_have_one_direction_and_pictures_have_more(degrees, contrast):
    # Eight times as fine, since a thumbnail is the mean of what it shows.
    y, x = np.mgrid[-128:128, -128:128] / 8
    along = x * np.cos(np.radians(degrees)) + y * np.sin(np.radians(degrees))
    gradient, edge = (
        one.reshape(32, 8, 32, 8).mean(axis=(1, 3)).astype(np.uint8)
        for one in (128 + along * contrast / 24, np.where(along > 2, 128 + contrast, 128))
    )
    assert isotropy(gradient) < 0.03
    assert isotropy(edge) < 0.03
    for name in REAL:
        assert isotropy(small(original(name))) > 0.1, name


def test_systems_are_solved_as_numpy_solves_them():
    generator = np.random.default_rng(0)
    for size in (1, 3, 8):
        root, target = generator.normal(size=(size, size)), generator.normal(size=size)
        normal = root @ root.T + 1e-6 * np.eye(size)
        assert np.allclose(_solve(normal, target), np.linalg.solve(normal, target), rtol=1e-6)


_WITHOUT_SCIPY = """
import sys
sys.modules["scipy"] = None  # Whoever imports it fails, as where it is not installed.
import numpy as np
from ingest.evaluation_index.verify import _solve, aligned_correlation
picture = np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)
print(aligned_correlation(picture, picture, np.eye(2, 3)))
"""


def test_verifying_needs_nothing_that_a_plain_installation_lacks(tmp_path):
    finished = subprocess.run(
        [sys.executable, "-c", _WITHOUT_SCIPY],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    assert float(finished.stdout) > 0.99
