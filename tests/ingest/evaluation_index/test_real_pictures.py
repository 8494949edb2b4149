import imagehash
import numpy as np
import pytest
from PIL import Image

from ingest.fingerprint import NOISE, perceptual_hash
from schemas.outcome import Outcome


def small_luma(image):
    return image.convert("L").resize((64, 64), Image.Resampling.LANCZOS)


def plain_coefficients(luma):
    """The 16x16 lowest coefficients of the unnormalised DCT-II, summed as it is defined."""
    place = (2 * np.arange(64) + 1) * np.pi / 128
    waves = [2 * np.cos(place * k) for k in range(16)]
    pixels = np.asarray(luma, np.float64)
    return np.array([[(np.outer(v, u) * pixels).sum() for u in waves] for v in waves])


def cropped(image, side):
    width, height = image.size
    left, top = width * (1 - side) / 2, height * (1 - side) / 2
    return image.crop((round(left), round(top), round(width - left), round(height - top)))


def test_the_hash_of_real_pictures_is_that_of_imagehash(bench):
    for name in bench.real:
        luma = small_luma(bench.picture(name))
        expected = np.packbits(imagehash.phash(luma, hash_size=16).hash).tobytes()
        assert perceptual_hash(np.asarray(luma)).code == expected, name


def test_texture_counts_the_coefficients_beyond_noise(bench):
    for name in bench.real:
        luma = small_luma(bench.picture(name))
        coefficients = plain_coefficients(luma)
        expected = (np.abs(coefficients - np.median(coefficients)) > NOISE).sum()
        assert perceptual_hash(np.asarray(luma)).texture == expected, name


EDITS = {
    "jpeg 75": lambda image: (image, {"format": "JPEG", "quality": 75}),
    "jpeg 30": lambda image: (image, {"format": "JPEG", "quality": 30}),
    "webp": lambda image: (image, {"format": "WEBP", "quality": 80}),
    "half": lambda image: (image.resize((image.width // 2, image.height // 2)), {"format": "PNG"}),
    "thumbnail": lambda image: (image.resize((128, 128)), {"format": "JPEG", "quality": 80}),
    "grey": lambda image: (image.convert("L"), {"format": "JPEG", "quality": 90}),
    "mirrored": lambda image: (
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        {"format": "JPEG", "quality": 85},
    ),
    "centre_0.925": lambda image: (cropped(image, 0.925), {"format": "JPEG", "quality": 85}),
    "centre_0.85": lambda image: (cropped(image, 0.85), {"format": "JPEG", "quality": 85}),
    "centre_0.7": lambda image: (cropped(image, 0.7), {"format": "JPEG", "quality": 85}),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_of_each_real_picture_is_found_near(bench, index, pictures_folder, edit):
    paths = {path.stem: path for path in pictures_folder.rglob("*") if path.is_file()}
    for name, source in bench.real.items():
        image, options = EDITS[edit](bench.picture(name))
        match = bench.look_up(index, bench.encode(image, options.pop("format"), **options))
        expected = f"real/{paths[source.stem].relative_to(pictures_folder)}"
        assert match is not None, name
        assert (match.name, match.outcome) == (expected, Outcome.DUPLICATE_NEAR)
        assert match.variant == (edit if edit[:4] in ("mirr", "cent") else "identity")
        assert 0 <= match.distance <= 31


def test_the_same_bytes_are_an_exact_copy(bench, index, pictures_folder):
    for path in pictures_folder.rglob("*"):
        if path.is_file():
            match = bench.look_up(index, path.read_bytes())
            assert match.name == f"real/{path.relative_to(pictures_folder)}"
            assert (match.distance, match.outcome) == (0, Outcome.DUPLICATE_EXACT)


def test_real_pictures_are_no_copies_of_each_other(bench, pictures_folder, tmp_path):
    for path in sorted(pictures_folder.rglob("*")):
        if path.is_file():
            alone = tmp_path / path.name
            alone.mkdir()
            (alone / "one").write_bytes(path.read_bytes())
            index = bench.build(tmp_path / f"{path.name}.index", f"one={alone}")
            others = [other for other in bench.real.values() if other.stem != path.stem]
            assert [bench.look_up(index, other.read_bytes()) for other in others] == [None] * 8
