import io

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ingest.fingerprint import LUMA_PX, NOISE, code_of, thumbnail, view_of
from tests.building import pictures

seeds = st.integers(0, 2**32 - 1)


def small_luma(picture):
    image = Image.open(io.BytesIO(picture.content)).convert("L")
    return image.resize((LUMA_PX, LUMA_PX), Image.Resampling.LANCZOS)


def noise(seed, low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, (LUMA_PX, LUMA_PX)).astype(np.uint8)


def plain_distances(luma):
    """The 16x16 lowest coefficients of the unnormalised DCT-II, summed as defined, less median."""
    place = (2 * np.arange(LUMA_PX) + 1) * np.pi / (2 * LUMA_PX)
    waves = [2 * np.cos(place * k) for k in range(16)]
    pixels = np.asarray(luma, np.float64)
    values = np.array([[(np.outer(v, u) * pixels).sum() for u in waves] for v in waves]).ravel()
    return values - np.median(values)


def test_the_hash_is_that_of_imagehash_on_the_same_luma():
    for picture in pictures(60):
        luma = small_luma(picture)
        expected = np.packbits(imagehash.phash(luma, hash_size=16).hash.ravel()).tobytes()
        found = view_of(np.asarray(luma))
        differing = (int.from_bytes(found.code) ^ int.from_bytes(expected)).bit_count()
        # Only coefficients that are the median itself, up to rounding noise, may differ.
        assert differing == 0 or found.texture < 200


@given(seeds)
def test_the_hash_of_noise_is_that_of_imagehash(seed):
    luma = noise(seed)
    expected = imagehash.phash(Image.fromarray(luma), hash_size=16).hash
    assert view_of(luma).code == np.packbits(expected).tobytes()


def test_texture_counts_the_coefficients_beyond_noise():
    for picture in pictures(20):
        luma = np.asarray(small_luma(picture))
        assert view_of(luma).texture == (np.abs(plain_distances(luma)) > NOISE).sum()


def test_certainty_grows_with_the_distance_from_the_median():
    for luma in (*(np.asarray(small_luma(one)) for one in pictures(20)), noise(1)):
        certainty = np.frombuffer(view_of(luma).certainty, np.uint8)
        order = np.argsort(np.abs(plain_distances(luma)))
        assert certainty.shape == (256,)
        assert (np.diff(certainty[order].astype(int)) >= 0).all()


@given(seeds)
def test_the_least_certain_bits_are_the_first_to_flip(seed):
    luma, other = noise(seed, 40, 200), noise(seed, 40, 200).astype(int)
    other += np.random.default_rng(seed + 1).integers(-3, 4, other.shape)
    one, moved = view_of(luma), view_of(other.astype(np.uint8))
    differing = np.unpackbits(
        np.frombuffer(one.code, np.uint8) ^ np.frombuffer(moved.code, np.uint8)
    )
    certainty = np.frombuffer(one.certainty, np.uint8)
    kept, flipped = certainty[differing == 0], certainty[differing == 1]
    assert not flipped.size or flipped.max() < np.median(kept)


def test_code_of_is_the_code_and_texture_of_the_view():
    for seed in range(20):
        view = view_of(noise(seed))
        assert code_of(noise(seed)) == (view.code, view.texture)


@given(seeds)
def test_a_thumbnail_is_the_rounded_mean_of_2x2_pixels(seed):
    luma = noise(seed)
    expected = np.floor(luma.reshape(32, 2, 32, 2).mean(axis=(1, 3)) + 0.5)
    assert thumbnail(luma).dtype == np.uint8
    assert (thumbnail(luma) == expected).all()
    assert view_of(luma).thumbnail == thumbnail(luma).tobytes()


def test_a_white_thumbnail_is_white():
    assert (thumbnail(np.full((64, 64), 255, np.uint8)) == 255).all()


def test_a_flat_picture_has_no_reliable_bits():
    view = view_of(np.full((64, 64), 77, np.uint8))
    assert view.texture <= 1
    assert np.count_nonzero(np.frombuffer(view.certainty, np.uint8)) <= 1


@pytest.mark.parametrize("function", [view_of, code_of])
def test_another_shape_is_refused(function):
    with pytest.raises(ValueError, match=r"expected luma of shape \(64, 64\), got \(32, 32\)"):
        function(np.zeros((32, 32), np.uint8))


@given(seeds, st.integers(-30, 30))
def test_brightness_changes_at_most_the_first_bit(seed, shift):
    luma = noise(seed, 40, 200)
    one, other = view_of(luma), view_of((luma.astype(int) + shift).astype(np.uint8))
    differing = int.from_bytes(one.code) ^ int.from_bytes(other.code)
    assert differing in (0, 1 << 255)
