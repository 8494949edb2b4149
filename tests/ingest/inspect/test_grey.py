import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import skimage
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingest.inspect.decode import inspect_image, inspect_picture
from ingest.inspect.grey import content_box, luma_of, pixel_digest
from ingest.miniweb.pictures import web_pictures

MAX_PIXELS = 10_000_000
CAT = Path(skimage.__file__).parent / "data" / "chelsea.png"
CHINA = Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"
# Image.Transpose that a picture stored under an orientation was turned by.
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
COLOURS = {"white": 255, "black": 0, "grey": 128, "dark": 37}


def encoded(image, image_format="png", **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def pixels_of(content):
    return inspect_picture(content, MAX_PIXELS)[1]


def looks(content):
    """All that is derived of pixels alone."""
    found = inspect_image(content, MAX_PIXELS)
    return found.pixels_sha256, found.views


def busy(width, height, seed=0):
    """Grey noise, none of it near the colours of borders."""
    return np.random.default_rng(seed).integers(50, 110, (height, width)).astype(np.uint8)


def framed(picture, colour, left=0, top=0, right=0, bottom=0):
    sides = ((top, bottom), (left, right))
    return np.pad(picture, sides, constant_values=colour)


@pytest.fixture(scope="module")
def cat():
    return Image.open(CAT).convert("RGB")


@pytest.fixture(scope="module")
def china():
    return Image.open(CHINA).convert("RGB")


@pytest.mark.parametrize(
    ("image_format", "options"),
    [("webp", {"lossless": True}), ("bmp", {}), ("tiff", {}), ("png", {"compress_level": 1})],
)
def test_lossless_formats_of_the_same_pixels_have_equal_digests_and_views(
    cat, image_format, options
):
    assert looks(encoded(cat, image_format, **options)) == looks(encoded(cat))


def test_metadata_changes_no_digest_of_pixels(cat):
    exif = Image.Exif()
    exif[0x010E] = "a cat"
    one, other = (inspect_image(encoded(cat, exif=tag), MAX_PIXELS) for tag in (b"", exif))
    assert one.sha256 != other.sha256
    assert (one.pixels_sha256, one.views) == (other.pixels_sha256, other.views)


def test_one_other_pixel_is_another_digest(cat):
    changed = cat.copy()
    changed.putpixel((7, 7), (255, 0, 0))
    assert looks(encoded(changed))[0] != looks(encoded(cat))[0]


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("image_format", ["png", "webp", "tiff"])
def test_turned_by_exif_equals_turned_for_real(cat, image_format, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if image_format == "webp" else {}
    stored = encoded(cat.transpose(TURNS[orientation]), image_format, exif=exif, **options)
    assert looks(stored) == looks(encoded(cat))


def test_a_turned_jpeg_has_the_pixels_of_its_stored_ones(china):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = pixels_of(encoded(china, "jpeg", quality=90))
    assert (pixels_of(encoded(china, "jpeg", quality=90, exif=exif)) == np.rot90(stored, -1)).all()


def test_clear_pixels_have_the_digest_of_white_ones(cat):
    alpha = Image.new("L", cat.size, 255)
    alpha.paste(0, (0, 0, 200, 300))
    clear, white = cat.copy(), cat.copy()
    clear.putalpha(alpha)
    white.paste((255, 255, 255), (0, 0, 200, 300))
    assert looks(encoded(clear)) == looks(encoded(white))
    assert looks(encoded(clear, "webp", lossless=True)) == looks(encoded(white))


def test_half_clear_pixels_are_mixed_with_white(cat):
    cat = cat.copy()
    cat.putalpha(128)
    layer = Image.new("RGBA", cat.size, "white")
    expected = np.asarray(Image.alpha_composite(layer, cat).convert("L"))
    assert np.abs(pixels_of(encoded(cat)).astype(int) - expected).max() <= 2


def test_16_bit_pixels_have_the_digest_of_their_8_bit_twin(cat):
    grey = np.asarray(cat.convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert looks(encoded(deep)) == looks(encoded(cat.convert("L")))


def test_a_palette_has_the_digest_of_its_colours(cat):
    paletted = cat.quantize(200)
    expected = looks(encoded(paletted.convert("RGB")))
    assert looks(encoded(paletted)) == looks(encoded(paletted, "gif")) == expected


def test_cmyk_is_near_its_rgb_twin(cat):
    one, other = (
        pixels_of(encoded(cat.convert(mode), "jpeg", quality=95)) for mode in ("CMYK", "RGB")
    )
    other = np.asarray(Image.fromarray(other).resize(one.shape[::-1]))
    assert np.abs(one.astype(int) - other).mean() < 3


def test_a_digest_knows_the_shape():
    assert pixel_digest(np.zeros((2, 8), np.uint8)) != pixel_digest(np.zeros((4, 4), np.uint8))


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (700, 1), (3, 5)])
def test_the_smallest_pictures_have_one_view(size):
    found = inspect_image(encoded(Image.new("L", size, 90)), MAX_PIXELS)
    assert len(found.views) == 1
    assert luma_of(np.full(size[::-1], 90, np.uint8)).shape == (64, 64)


def test_a_framed_picture_has_the_view_of_what_is_inside(china):
    grey = np.asarray(china.convert("L"))
    plain, trimmed = inspect_image(
        encoded(Image.fromarray(framed(grey, 255, 80, 60, 80, 60))), MAX_PIXELS
    ).views
    (alone,) = inspect_image(encoded(Image.fromarray(grey)), MAX_PIXELS).views
    far, near = (
        (int.from_bytes(one.code) ^ int.from_bytes(alone.code)).bit_count()
        for one in (plain, trimmed)
    )
    assert near <= 12 < far


SHAPES = {
    "framed": (60, 60, 60, 60),
    "letterboxed": (0, 70, 0, 70),
    "pillarboxed": (90, 0, 90, 0),
    "uneven": (20, 0, 100, 40),
}


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("quality", [None, 95, 75, 40])
def test_the_box_of_a_border_is_right_within_two_steps_or_a_block_of_jpeg(
    china, shape, colour, quality
):
    left, top, right, bottom = SHAPES[shape]
    grey = np.asarray(china.convert("L"))
    bordered = framed(grey, COLOURS[colour], left, top, right, bottom)
    expected = np.array((left, top, left + grey.shape[1], top + grey.shape[0]))
    if quality is not None:
        stored = Image.fromarray(bordered)
        bordered = np.asarray(Image.open(io.BytesIO(encoded(stored, "jpeg", quality=quality))))
    step = max(1, min(bordered.shape) // 256)
    box = content_box(bordered)
    assert box is not None
    # Ringing ends with the block of JPEG that it is in.
    most = 8 if quality else 2 * step
    assert np.abs(np.array(box) - expected).max() <= most, box


def test_bars_inside_a_frame_of_another_colour_are_found(china):
    grey = np.asarray(china.convert("L"))
    boxed = framed(framed(grey, 0, top=80, bottom=80), 255, 40, 40, 40, 40)
    left, top, right, bottom = content_box(boxed)
    assert np.abs(np.array((left, top)) - (40, 120)).max() <= 4
    assert np.abs(np.array((right, bottom)) - (40 + grey.shape[1], 120 + grey.shape[0])).max() <= 4


@settings(deadline=None, max_examples=60)
@given(
    width=st.integers(40, 700),
    height=st.integers(40, 700),
    shares=st.tuples(*[st.sampled_from([0, 0.1, 0.25, 0.4])] * 4),
    colour=st.sampled_from(sorted(COLOURS.values())),
)
def test_any_border_that_matters_is_found(width, height, shares, colour):
    colour = 200 if colour == 37 else colour
    left, right = (round(share * width) for share in shares[:2])
    top, bottom = (round(share * height) for share in shares[2:])
    bordered = framed(busy(width, height), colour, left, top, right, bottom)
    share = width * height / bordered.size
    step = max(1, min(bordered.shape) // 256)
    box = content_box(bordered)
    if share > 0.97:
        assert box is None
    elif share < 0.9:
        expected = np.array((left, top, left + width, top + height))
        assert np.abs(np.array(box) - expected).max() <= 2 * step


@settings(deadline=None, max_examples=60)
@given(width=st.integers(1, 400), height=st.integers(1, 400), seed=st.integers(0, 99))
def test_a_box_lies_inside_its_picture_and_noise_has_none(width, height, seed):
    assert min(width, height) < 8 or content_box(busy(width, height, seed)) is None
    box = content_box(framed(busy(width, height, seed), 255, 9, 9, 9, 9))
    if box is not None:
        left, top, right, bottom = box
        assert 0 <= left < right <= width + 18
        assert 0 <= top < bottom <= height + 18


def test_pictures_without_a_border_have_no_box(cat, china):
    for image in (cat, china):
        assert content_box(np.asarray(image.convert("L"))) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (7, 9), (300, 400)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_pictures_have_no_box(shape, level):
    assert content_box(np.full(shape, level, np.uint8)) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (7, 9)])
def test_tiny_pictures_have_no_box(shape):
    assert content_box(busy(*shape[::-1])) is None


def test_a_border_too_thin_to_matter_is_none(china):
    grey = np.asarray(china.convert("L"))
    assert content_box(framed(grey, 255, 3, 3, 3, 3)) is None


def test_a_small_thing_on_a_large_ground_is_no_border():
    page = np.full((400, 400), 255, np.uint8)
    page[190:220, 190:220] = busy(30, 30)
    assert content_box(page) is None


def test_threads_that_decode_at_once_find_the_same_pixels():
    kinds = ("image/png", "image/gif")
    contents = [one.content for one in web_pictures(5, 60) if one.media_type in kinds]
    alone = [inspect_image(content, 10**8).pixels_sha256 for content in contents]
    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda one: inspect_image(one, 10**8).pixels_sha256, contents * 3)
    assert list(together) == alone * 3
