import io
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import skimage
import sklearn
from PIL import Image

from ingest.errors import InspectError
from ingest.inspect.decode import inspect_image
from ingest.inspect.header import sniff_format, webp_size
from schemas.outcome import Outcome

MAX_PIXELS = 10_000_000
CAT = Path(skimage.__file__).parent / "data" / "chelsea.png"
CHINA = Path(sklearn.__file__).parent / "datasets" / "images" / "china.jpg"


def encoded(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def distance(one, other):
    ours, theirs = one.views[0].code, other.views[0].code
    return (int.from_bytes(ours) ^ int.from_bytes(theirs)).bit_count()


@pytest.fixture(scope="module")
def cat():
    return Image.open(CAT).convert("RGB")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("jpeg", {"quality": 85}),
        ("jpeg", {"quality": 85, "progressive": True}),
        ("png", {}),
        ("webp", {"quality": 85}),
        ("webp", {"lossless": True}),
        ("gif", {}),
        ("avif", {}),
        ("tiff", {}),
        ("bmp", {}),
        ("jp2", {}),
    ],
)
def test_one_picture_has_one_hash_in_every_format(cat, name, options):
    content = encoded(cat, {"jp2": "JPEG2000"}.get(name, name), **options)
    found = inspect_image(content, MAX_PIXELS)
    assert (found.format, found.width_px, found.height_px) == (name, *cat.size)
    assert found.sha256 == sha256(content).hexdigest()
    assert found.num_frames == 1
    assert distance(found, inspect_image(CAT.read_bytes(), MAX_PIXELS)) <= 8


def test_cmyk_jpeg_has_the_hash_of_its_rgb_twin(cat):
    found = inspect_image(encoded(cat.convert("CMYK"), "jpeg"), MAX_PIXELS)
    assert found.mode == "CMYK"
    assert distance(found, inspect_image(CAT.read_bytes(), MAX_PIXELS)) <= 12


TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_recorded_and_undone(cat, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    turned = cat.transpose(TURNS[orientation])
    found = inspect_image(encoded(turned, "jpeg", quality=92, exif=exif), MAX_PIXELS)
    assert (found.exif_orientation, found.exif_date) == (orientation, "2020:01:02 03:04:05")
    assert (found.width_px, found.height_px) == turned.size
    assert distance(found, inspect_image(CAT.read_bytes(), MAX_PIXELS)) <= 10


def test_transparent_pixels_are_white(cat):
    alpha = Image.new("L", cat.size, 255)
    alpha.paste(0, (0, 0, 200, 300))
    clear = cat.copy()
    clear.putalpha(alpha)
    white = cat.copy()
    white.paste((255, 255, 255), (0, 0, 200, 300))
    found = inspect_image(encoded(clear, "png"), MAX_PIXELS)
    assert distance(found, inspect_image(encoded(white, "png"), MAX_PIXELS)) <= 6


def test_16_bit_pixels_are_scaled_not_clipped(cat):
    deep = Image.fromarray(np.asarray(cat.convert("L")).astype(np.uint16) * 257)
    found = inspect_image(encoded(deep, "png"), MAX_PIXELS)
    assert distance(found, inspect_image(encoded(cat.convert("L"), "png"), MAX_PIXELS)) == 0


@pytest.mark.parametrize(
    ("mode", "clear"),
    [(mode, False) for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16")]
    + [(mode, True) for mode in ("1", "L", "P", "RGB", "I;16")],
)
def test_every_mode_of_png_is_read_with_and_without_a_clear_colour(cat, mode, clear):
    grey = mode in ("1", "L", "LA", "I;16")
    image = cat.convert("L") if grey else cat
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    elif mode == "PA":
        image = image.quantize(200)
    elif mode != image.mode:
        image = image.convert(mode)
    options = {"transparency": (0, 0, 0) if mode == "RGB" else 0} if clear else {}
    found = inspect_image(encoded(image, "png", **options), MAX_PIXELS)
    expected = inspect_image(CAT.read_bytes(), MAX_PIXELS)
    assert mode == "1" or distance(found, expected) <= 30


def test_animations_are_counted_and_hashed_by_their_first_frame(cat):
    frames = [cat.transpose(0), cat.transpose(1)]
    for image_format in ("gif", "webp"):
        content = encoded(cat, image_format, save_all=True, append_images=frames)
        found = inspect_image(content, MAX_PIXELS)
        assert found.num_frames == 3
        assert distance(found, inspect_image(CAT.read_bytes(), MAX_PIXELS)) <= 8


def refusal(content):
    with pytest.raises(InspectError) as refused:
        inspect_image(content, MAX_PIXELS)
    return refused.value.outcome


@pytest.mark.parametrize("image_format", ["jpeg", "png", "webp", "gif", "tiff", "bmp", "avif"])
def test_a_file_cut_in_the_middle_is_corrupt(cat, image_format):
    content = encoded(cat, image_format)
    assert refusal(content[: len(content) // 2]) is Outcome.CORRUPT


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_one_inverted_byte_in_the_middle_of_a_png_is_noticed(cat, mode):
    content = bytearray(encoded(cat.quantize(200) if mode == "P" else cat.convert(mode), "png"))
    content[len(content) // 2] ^= 0xFF
    assert refusal(bytes(content)) is Outcome.CORRUPT


def test_other_bytes_are_no_image():
    assert refusal(b"<html><body>not found</body></html>") is Outcome.NOT_AN_IMAGE
    assert refusal(b"\x00") is Outcome.NOT_AN_IMAGE
    assert refusal(b"<svg xmlns='http://www.w3.org/2000/svg'/>") is Outcome.UNSUPPORTED_FORMAT
    assert refusal(b"\x00\x00\x00\x18ftypheic" + bytes(12)) is Outcome.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("image_format", ["png", "gif", "webp", "bmp", "jpeg"])
def test_too_many_pixels_are_seen_in_the_header(image_format):
    content = encoded(Image.new("L", (5000, 2001)), image_format)
    assert refusal(content) is Outcome.TOO_MANY_PIXELS


def test_a_jpeg_with_a_harmless_flaw_is_kept_with_a_warning():
    content = bytearray(CHINA.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 40] = bytes(40)
    found = inspect_image(bytes(content), MAX_PIXELS)
    assert any("ValueError" in warning for warning in found.warnings)


def test_bad_exif_is_a_warning_and_no_bad_image(cat):
    content = encoded(cat, "jpeg", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\xff")
    assert inspect_image(content, MAX_PIXELS).exif_orientation is None


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"quality": 50}, {"exif": b"Exif\x00\x00"}]
)
def test_webp_size_is_read_off_the_header(options):
    content = encoded(Image.new("RGB", (123, 45)), "webp", **options)
    assert sniff_format(content) == "webp"
    assert webp_size(content) == (123, 45)
    assert webp_size(content[:20]) is None
