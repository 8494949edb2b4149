"""Photographs, indexed and looked up as copies of them would be found on the web."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from ingest.miniweb.pictures import evaluation_tiles
from schemas.outcome import Outcome

NEAR, EXACT = Outcome.DUPLICATE_NEAR, Outcome.DUPLICATE_EXACT
JPEG = {"image_format": "JPEG", "quality": 85}


def cropped(image, side):
    width, height = image.size
    left, top = width * (1 - side) / 2, height * (1 - side) / 2
    return image.crop((round(left), round(top), round(width - left), round(height - top)))


def smaller(image, scale=0.5):
    return image.resize((round(image.width * scale), round(image.height * scale)))


# The edit, how it is stored, and which variants may be the nearest.
EDITS = {
    "jpeg 75, smaller": (smaller, {"image_format": "JPEG", "quality": 75}, {"identity"}),
    "jpeg 30": (lambda image: image, {"image_format": "JPEG", "quality": 30}, {"identity"}),
    "webp": (lambda image: image, {"image_format": "WEBP", "quality": 80}, {"identity"}),
    "thumbnail": (lambda image: image.resize((128, 128)), JPEG, {"identity"}),
    "grey": (lambda image: image.convert("L"), JPEG, {"identity"}),
    "mirrored": (ImageOps.mirror, JPEG, {"mirrored"}),
    "turned left": (lambda image: image.rotate(90, expand=True), JPEG, {"turned_270"}),
    "turned right": (lambda image: image.rotate(-90, expand=True), JPEG, {"turned_90"}),
    "upside down": (lambda image: image.rotate(180), JPEG, {"turned_180"}),
    "crop 0.95": (lambda image: cropped(image, 0.95), JPEG, {"centre_0.95"}),
    "crop 0.9": (lambda image: cropped(image, 0.9), JPEG, None),
    "crop 0.85": (lambda image: cropped(image, 0.85), JPEG, None),
    "rotated by 5": (
        lambda image: image.rotate(5, Image.Resampling.BICUBIC, expand=True),
        JPEG,
        {"expanded_+5"},
    ),
}


@pytest.fixture(scope="session")
def names(pictures_folder):
    """Name in the index of each real picture."""
    paths = {path.stem: path for path in pictures_folder.rglob("*") if path.is_file()}
    return {stem: f"real/{path.relative_to(pictures_folder)}" for stem, path in paths.items()}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_of_each_real_picture_is_found_near(bench, index, names, edit):
    change, stored, variants = EDITS[edit]
    for name, source in bench.real.items():
        match = bench.look_up(index, bench.encode(change(bench.picture(name)), **stored))
        assert match is not None, name
        assert (match.name, match.outcome) == (names[source.stem], NEAR), name
        assert variants is None or match.variant in variants, name
        assert 0 <= match.distance <= 80
        assert match.correlation > 0.5


@pytest.mark.parametrize("colour", ["white", "black", (128, 128, 128), (30, 60, 160)])
def test_a_framed_copy_is_found_by_what_is_inside(bench, index, names, colour):
    for name, source in bench.real.items():
        picture = bench.picture(name)
        framed = ImageOps.expand(picture, round(0.15 * max(picture.size)), colour)
        match = bench.look_up(index, bench.encode(framed, "JPEG", quality=85))
        assert (match.name, match.outcome) == (names[source.stem], NEAR), name
        assert match.view == "trimmed"


def test_the_same_bytes_are_an_exact_copy(bench, index, pictures_folder):
    for path in pictures_folder.rglob("*"):
        if path.is_file():
            match = bench.look_up(index, path.read_bytes())
            assert match.name == f"real/{path.relative_to(pictures_folder)}"
            assert (match.variant, match.distance, match.correlation) == ("bytes", 0, 1.0)
            assert match.outcome is EXACT


@pytest.mark.parametrize(
    ("image_format", "options"), [("BMP", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
)
def test_the_same_pixels_in_another_format_are_an_exact_copy(
    bench, index, names, image_format, options
):
    for name in ("astronaut.png", "chelsea.png", "coffee.png"):
        match = bench.look_up(index, bench.encode(bench.picture(name), image_format, **options))
        assert (match.name, match.variant) == (names[name[:-4]], "pixels")
        assert (match.distance, match.correlation, match.outcome) == (0, 1.0, EXACT)


def test_radius_and_correlation_make_it_strict(bench, index):
    content = bench.encode(smaller(bench.picture("coffee.png")), "JPEG", quality=40)
    usual = bench.look_up(index, content)
    assert usual.outcome is NEAR
    assert usual.distance > 0
    near = bench.look_up(index, content, match_radius=usual.distance - 1)
    assert (near.name, near.distance, near.outcome) == (usual.name, usual.distance, None)
    alike = bench.look_up(index, content, min_correlation=1.0)
    assert (alike.name, alike.correlation, alike.outcome) == (usual.name, usual.correlation, None)


def test_real_pictures_are_no_copies_of_each_other(bench, tmp_path):
    contents = {name: path.read_bytes() for name, path in bench.real.items()}
    for name, content in contents.items():
        index = bench.build(
            tmp_path / f"{name}.index", f"one={bench.folder(tmp_path / name, one=content)}"
        )
        for other in set(contents) - {name}:
            match = bench.look_up(index, contents[other])
            assert match is None or match.outcome is None, (name, other)


def test_other_parts_of_other_pictures_are_no_copies(bench, index):
    for tile in evaluation_tiles(99, 200)[:60]:
        # Of photographs that are indexed: so small a part is another picture.
        part = tile.crop((0, 0, tile.width // 2, tile.height // 2))
        match = bench.look_up(index, bench.encode(part, "JPEG"))
        assert match is None or match.outcome is None


def test_a_flat_picture_is_like_nothing(bench, index):
    flat = Image.new("RGB", (300, 200), (9, 9, 10))
    assert bench.look_up(index, bench.encode(flat)) is None
    noisy = np.random.default_rng(0).integers(127, 129, (200, 300)).astype(np.uint8)
    assert bench.look_up(index, bench.encode(Image.fromarray(noisy))) is None
