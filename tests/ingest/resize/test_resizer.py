import io
import random

import numpy as np
import pytest
from PIL import Image, ImageOps
from pydantic import ValidationError

from ingest.errors import InspectError
from ingest.inspect.decode import inspect_image
from ingest.inspect.grey import over_white
from ingest.miniweb import image_bombs
from ingest.miniweb.pictures import ENCODERS, source
from ingest.resize.resizer import make_resizer, resize_image
from schemas.options import ResizeOptions
from schemas.outcome import Outcome

MAX_PIXELS = 10_000_000
# What img2dataset and its dependencies complain of; a resizer process is deaf to it as well.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module", autouse=True)
def _offline():
    """As in a resizer process: albumentations does not ask for its newest version."""
    patch = pytest.MonkeyPatch()
    patch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    yield
    patch.undo()


def encoded(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def resized(content, **options):
    """The copy, as Pillow sees it."""
    copy = resize_image(content, make_resizer(ResizeOptions(**options)), MAX_PIXELS)
    return Image.open(io.BytesIO(copy))


def refusal(content, **options):
    with pytest.raises(InspectError) as caught:
        resized(content, **options)
    return caught.value.outcome


def difference(one, other):
    """Mean absolute difference of two pictures of one size, of 255."""
    values = [np.asarray(image.convert("RGB")).astype(int) for image in (one, other)]
    return np.abs(values[0] - values[1]).mean()


@pytest.fixture(scope="module")
def cat():
    return source("chelsea.png")


@pytest.fixture(scope="module")
def photograph(cat):
    return encoded(cat, "JPEG", quality=92)


@pytest.mark.parametrize(
    ("mode", "size"),
    [
        ("no", (451, 300)),
        ("keep_ratio", (301, 200)),
        ("keep_ratio_largest", (200, 133)),
        ("center_crop", (200, 200)),
        ("border", (200, 200)),
    ],
)
def test_each_mode_gives_the_size_that_its_help_says(photograph, mode, size):
    assert resized(photograph, size=200, resize_mode=mode).size == size


@pytest.mark.parametrize(
    ("mode", "size"),
    [
        ("keep_ratio", (601, 400)),
        ("keep_ratio_largest", (500, 333)),
        ("center_crop", (400, 400)),
        ("border", (500, 500)),
    ],
)
def test_smaller_pictures_are_enlarged_only_on_demand(photograph, mode, size):
    side = {"keep_ratio": 400, "center_crop": 400}.get(mode, 500)
    assert resized(photograph, size=side, resize_mode=mode).size == (451, 300)
    assert resized(photograph, size=side, resize_mode=mode, enlarge=True).size == size


@pytest.mark.parametrize(
    "mode", ["no", "border", "keep_ratio", "keep_ratio_largest", "center_crop"]
)
@pytest.mark.parametrize("encode_format", ["jpg", "webp", "png"])
def test_a_plain_jpeg_becomes_what_img2dataset_makes_of_it(photograph, mode, encode_format):
    from img2dataset.resizer import Resizer

    quality = 9 if encode_format == "png" else 80
    theirs = Resizer(128, mode, True, encode_format=encode_format, encode_quality=quality)
    expected, *_, problem = theirs(io.BytesIO(photograph))
    assert problem is None
    options = ResizeOptions(
        size=128, resize_mode=mode, encode_format=encode_format, encode_quality=quality
    )
    assert resize_image(photograph, make_resizer(options), MAX_PIXELS) == expected


TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", TURNS)
def test_copies_are_upright_and_say_so(cat, photograph, orientation, image_format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(cat.transpose(TURNS[orientation]), image_format, exif=exif)
    assert inspect_image(content, MAX_PIXELS).exif_orientation in (orientation, None, 1)
    copy = resized(content, skip_reencode=True)
    assert copy.size == (385, 256)
    assert not copy.getexif()
    assert difference(copy, resized(photograph)) < 6


@pytest.mark.parametrize("encoding", ENCODERS)
def test_every_encoding_of_the_web_can_be_resized(cat, encoding):
    content = ENCODERS[encoding][2](cat, random.Random(1))
    copy = resized(content, size=150)
    assert copy.size == (226, 150)
    with Image.open(io.BytesIO(content)) as image:
        seen = over_white(ImageOps.exif_transpose(image))
    assert difference(copy, seen.resize(copy.size, Image.Resampling.BOX)) < 3


@pytest.mark.parametrize(
    ("mode", "image_format", "copy_mode"),
    [
        ("1", "PNG", "L"),
        ("L", "PNG", "L"),
        ("LA", "PNG", "L"),
        ("P", "PNG", "RGB"),
        ("RGBA", "PNG", "RGB"),
        ("RGBA", "WEBP", "RGB"),
        ("RGBA", "ICO", "RGB"),
        ("CMYK", "TIFF", "RGB"),
        ("LAB", "TIFF", "RGB"),
        ("I;16", "TIFF", "L"),
        ("F", "TIFF", "L"),
        ("L", "JPEG2000", "L"),
    ],
)
def test_copies_are_grey_or_rgb(cat, mode, image_format, copy_mode):
    content = encoded(cat.crop((0, 0, 240, 200)).convert(mode), image_format)
    copy = resized(content, size=100)
    assert copy.mode == copy_mode
    assert copy.size == (120, 100)


def test_deep_pixels_keep_their_brightness(cat):
    grey = cat.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert difference(resized(encoded(deep, "PNG")), resized(encoded(grey, "PNG"))) < 1


def test_deep_colours_are_not_white(cat):
    import imagecodecs

    content = imagecodecs.png_encode(np.asarray(cat).astype(np.uint16) * 257)
    assert difference(resized(content), resized(encoded(cat, "PNG"))) < 1


def test_transparent_pixels_are_white():
    clear = Image.new("RGBA", (300, 300), (255, 0, 0, 0))
    assert difference(resized(encoded(clear, "PNG")), Image.new("RGB", (256, 256), "white")) == 0


def test_bytes_are_left_alone_if_told_so_and_nothing_is_to_do(photograph):
    resizer = make_resizer(ResizeOptions(size=300, skip_reencode=True))
    assert resize_image(photograph, resizer, MAX_PIXELS) == photograph
    anew = make_resizer(ResizeOptions(size=300))
    assert resize_image(photograph, anew, MAX_PIXELS) != photograph


@pytest.mark.parametrize(
    "bomb",
    [
        image_bombs.png_bomb(30_000),
        image_bombs.gif_bomb(),
        image_bombs.webp_bomb(16_000),
        image_bombs.bmp_bomb(20_000),
        image_bombs.ico_bomb(20_000),
        image_bombs.jpeg_claiming(20_000),
    ],
    ids=["png", "gif", "webp", "bmp", "ico", "jpeg"],
)
def test_a_bomb_is_refused_by_its_header(bomb):
    def detonate(stream):
        raise AssertionError("expected no decoding")

    with pytest.raises(InspectError) as caught:
        resize_image(bomb, detonate, MAX_PIXELS)
    assert caught.value.outcome is Outcome.TOO_MANY_PIXELS


def test_what_is_no_image_has_the_outcome_of_inspection(photograph):
    assert refusal(b"text") is Outcome.NOT_AN_IMAGE
    assert refusal(b"8BPS" + bytes(100)) is Outcome.UNSUPPORTED_FORMAT
    assert refusal(photograph[:9000]) is Outcome.CORRUPT
    assert refusal(encoded(Image.new("P", (300, 300)), "GIF")[:-30]) is Outcome.CORRUPT


def test_a_copy_longer_than_its_format_allows_is_refused_with_a_name():
    strip = encoded(Image.new("L", (2, 70_000)), "PNG")
    assert refusal(strip, resize_mode="no") is Outcome.TOO_MANY_PIXELS


@pytest.mark.parametrize(
    "words",
    [
        "OpenCV(4.14.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 9 bytes",
        "Unable to allocate 9.00 GiB for an array with shape (9,) and data type float64",
        str(MemoryError()),
    ],
    ids=["OpenCV", "NumPy", "Python"],
)
def test_memory_that_ends_inside_the_resizer_is_no_flaw_of_the_image(photograph, words):
    with pytest.raises(MemoryError):
        resize_image(photograph, lambda _: (None,) * 5 + (words,), MAX_PIXELS)


def test_the_quality_must_fit_the_format():
    assert ResizeOptions(encode_format="png", encode_quality=9).encode_quality == 9
    with pytest.raises(ValidationError, match="expected 0 to 9 for png"):
        ResizeOptions(encode_format="png")
