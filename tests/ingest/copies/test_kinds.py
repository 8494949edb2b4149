import io
from pathlib import Path

import numpy as np
import pytest
import skimage
from PIL import Image, ImageChops, ImageStat

from ingest.copies.kinds import KINDS, LONG_SIDE_PX, open_original
from ingest.inspect.decode import inspect_image

MAX_PIXELS = 10**8
SHAPES = {
    "wide": (160, 90),
    "tall": (61, 160),
    "square": (100, 100),
    "tiny": (1, 1),
    "thin": (1, 300),
}


@pytest.fixture(scope="module")
def picture():
    path = Path(skimage.__file__).parent / "data" / "coffee.png"
    return Image.open(path).convert("RGB").resize((160, 107), Image.Resampling.LANCZOS)


def encoded(image, image_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def opened(copy):
    return open_original(copy.content)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_copies_of_any_shape_are_images_of_their_type(picture, kind, shape):
    copy = KINDS[kind].make(picture.resize(SHAPES[shape]), "seed")
    found = inspect_image(copy.content, MAX_PIXELS)
    assert {"jpeg": "jpg"}.get(found.format, found.format) == copy.extension
    assert min(found.width_px, found.height_px) >= 16
    assert copy.kind == kind
    assert all(isinstance(value, int | float | str) for value in copy.params.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes(picture, kind):
    before = picture.tobytes()
    assert KINDS[kind].make(picture, "a") == KINDS[kind].make(picture, "a")
    assert picture.tobytes() == before


@pytest.mark.parametrize("kind", [name for name in KINDS if "format" not in KINDS[name].group])
def test_seeds_differ_in_what_they_draw(picture, kind):
    drawn = {KINDS[kind].make(picture, str(seed)).content for seed in range(6)}
    assert len(drawn) > 1


def test_there_are_84_kinds_and_each_is_named_as_it_is_keyed():
    assert len(KINDS) == 84
    assert all(kind.name == name and kind.group for name, kind in KINDS.items())


@pytest.mark.parametrize("kind", ["png", "bmp", "tiff", "webp_lossless"])
def test_lossless_formats_keep_every_pixel(picture, kind):
    copy = KINDS[kind].make(picture, "seed")
    assert not ImageChops.difference(opened(copy), picture).getbbox()


@pytest.mark.parametrize("seed", range(8))
def test_a_turned_jpeg_is_upright_for_who_reads_exif(picture, seed):
    copy = KINDS["jpeg_exif_turned"].make(picture, str(seed))
    assert inspect_image(copy.content, MAX_PIXELS).exif_orientation == copy.params["orientation"]
    difference = ImageChops.difference(opened(copy), picture)
    assert max(ImageStat.Stat(difference).mean) < 8


@pytest.mark.parametrize("kind", [name for name in KINDS if "crop" in name or "cut" in name])
def test_a_crop_is_smaller_than_its_original_in_some_way(picture, kind):
    for seed in range(4):
        image = opened(KINDS[kind].make(picture, str(seed)))
        if kind == "imagenet_crop":
            assert image.size == (224, 224)
        else:
            assert image.width <= picture.width
            assert image.height <= picture.height
            assert image.size != picture.size


@pytest.mark.parametrize(("kind", "scale"), [("half_size", 0.5), ("quarter_size", 0.275)])
def test_sizes_are_within_what_is_promised(picture, kind, scale):
    image = opened(KINDS[kind].make(picture, "seed"))
    assert image.width == pytest.approx(scale * picture.width, rel=0.12)
    assert image.width / image.height == pytest.approx(picture.width / picture.height, rel=0.05)


@pytest.mark.parametrize(
    "kind", ["letterbox_black", "letterbox_white", "letterbox_colour", "border_wide"]
)
def test_bars_surround_all_of_the_picture(picture, kind):
    for seed in range(6):
        image = opened(KINDS[kind].make(picture, str(seed)))
        left, top = (
            (large - small) // 2 for large, small in zip(image.size, picture.size, strict=True)
        )
        assert max(left, top) > 0
        inner = image.crop((left, top, left + picture.width, top + picture.height))
        assert max(ImageStat.Stat(ImageChops.difference(inner, picture)).mean) < 12


@pytest.mark.parametrize("kind", [name for name in KINDS if name.startswith("text")])
def test_text_leaves_most_of_the_picture(picture, kind):
    copy = opened(KINDS[kind].make(picture, "seed"))
    changed = np.abs(np.asarray(copy).astype(int) - np.asarray(picture)).max(axis=2) > 60
    assert 0 < changed.mean() < 0.4


MODES = {
    "1": lambda image: image.convert("1"),
    "L": lambda image: image.convert("L"),
    "LA": lambda image: image.convert("LA"),
    "P": lambda image: image.quantize(64),
    "RGBA": lambda image: image.convert("RGBA"),
    "I;16": lambda image: Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257),
}


@pytest.mark.parametrize("mode", MODES)
def test_originals_of_every_mode_are_opened_as_rgb(picture, mode):
    image = open_original(encoded(MODES[mode](picture)))
    assert (image.mode, image.size) == ("RGB", picture.size)
    expected = picture.convert("L")
    difference = ImageChops.difference(image.convert("L"), expected)
    assert mode == "1" or ImageStat.Stat(difference).mean[0] < 6


def test_cmyk_and_large_originals_are_opened(picture):
    image = open_original(encoded(picture.convert("CMYK"), "JPEG"))
    assert (image.mode, image.size) == ("RGB", picture.size)
    large = open_original(encoded(picture.resize((2000, 1000)), "JPEG"))
    assert max(large.size) == LONG_SIDE_PX


def test_clear_pixels_of_an_original_are_white(picture):
    clear = picture.copy()
    clear.putalpha(0)
    assert open_original(encoded(clear)).getextrema() == ((255, 255),) * 3
    paletted = picture.quantize(4)
    image = open_original(encoded(paletted, transparency=0))
    place = np.argwhere(np.asarray(paletted) == 0)[0]
    assert image.getpixel((int(place[1]), int(place[0]))) == (255, 255, 255)


def test_an_original_is_upright(picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = picture.transpose(Image.Transpose.ROTATE_90)
    image = open_original(encoded(stored, exif=exif))
    assert not ImageChops.difference(image, picture).getbbox()


def test_the_first_frame_is_the_original(picture):
    black = Image.new("RGB", picture.size)
    image = open_original(encoded(picture, "GIF", save_all=True, append_images=[black]))
    assert ImageStat.Stat(image.convert("L")).mean[0] > 30
