import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ingest.fingerprint import LUMA_PX, perceptual_hash
from tests.building import pictures


def small_luma(picture):
    import io

    image = Image.open(io.BytesIO(picture.content)).convert("L")
    return image.resize((LUMA_PX, LUMA_PX), Image.Resampling.LANCZOS)


def test_the_hash_is_that_of_imagehash_on_the_same_luma():
    for picture in pictures(60):
        luma = small_luma(picture)
        expected = np.packbits(imagehash.phash(luma, hash_size=16).hash.ravel()).tobytes()
        found = perceptual_hash(np.asarray(luma))
        differing = (int.from_bytes(found.code) ^ int.from_bytes(expected)).bit_count()
        # Only coefficients that are the median itself, up to rounding noise, may differ.
        assert differing == 0 or found.texture < 200


def test_a_flat_picture_has_no_reliable_bits():
    assert perceptual_hash(np.full((64, 64), 77, np.uint8)).texture <= 1


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"expected luma of shape \(64, 64\), got \(32, 32\)"):
        perceptual_hash(np.zeros((32, 32), np.uint8))


@given(st.integers(0, 2**32 - 1), st.integers(-30, 30))
def test_brightness_changes_at_most_the_first_bit(seed, shift):
    luma = np.random.default_rng(seed).integers(40, 200, (64, 64)).astype(np.uint8)
    one, other = perceptual_hash(luma), perceptual_hash((luma.astype(int) + shift).astype(np.uint8))
    differing = int.from_bytes(one.code) ^ int.from_bytes(other.code)
    assert differing in (0, 1 << 255)
