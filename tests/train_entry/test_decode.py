import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from train_entry.crops import decode_pixels
from train_entry.decode import read_header
from train_entry.exif import orientation_of
from train_entry.reader import BadSample

WIDTH, HEIGHT = 48, 32
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "BMP": {}, "GIF": {}}


def picture(width=WIDTH, height=HEIGHT, seed=0):
    """Colours that change smoothly, differently in each corner."""
    y, x = np.mgrid[0:height, 0:width]
    across, down = x / max(width - 1, 1), y / max(height - 1, 1)
    channels = [255 * across, 255 * down, 200 * (1 - across) * (1 - down) + seed]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def encoded(image, image_format, **options):
    target = io.BytesIO()
    image.save(target, image_format, **options)
    return target.getvalue()


def opened(content):
    return Image.open(io.BytesIO(content))


def distance(a, b):
    return np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max()


def over_white(image):
    coloured = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), coloured).convert("RGB")


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x010F] = "maker"
    exif[0x0112] = orientation
    return exif


@pytest.mark.parametrize("image_format", [*LOSSLESS, "JPEG"])
def test_pixels_are_those_of_pillow(image_format):
    content = encoded(picture(), image_format, **LOSSLESS.get(image_format, {}))
    header = read_header(content)
    pixels = decode_pixels(content)
    assert (header.width_px, header.height_px) == (WIDTH, HEIGHT)
    assert pixels.dtype == np.uint8
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert pixels.flags.writeable
    assert distance(pixels, opened(content).convert("RGB")) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_is_turned_upright(image_format, orientation):
    options = {"quality": 95} if image_format == "JPEG" else LOSSLESS[image_format]
    content = encoded(picture(), image_format, exif=exif_of(orientation), **options)
    header = read_header(content)
    pixels = decode_pixels(content)
    expected = ImageOps.exif_transpose(opened(content)).convert("RGB")
    assert pixels.shape == (header.height_px, header.width_px, 3)
    assert distance(pixels, expected) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_is_also_decoded_smaller(orientation):
    big = picture(8 * WIDTH, 8 * HEIGHT)
    content = encoded(big, "JPEG", quality=95, exif=exif_of(orientation))
    pixels = read_header(content).decode(4.0)
    expected = ImageOps.exif_transpose(opened(content)).reduce(4)
    assert pixels.shape[:2] == expected.size[::-1]
    assert distance(pixels, expected) < 6


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_both_byte_orders_of_exif_are_read(byte_order):
    mark = b"II*\x00" if byte_order == "<" else b"MM\x00*"
    entry = struct.pack(f"{byte_order}HHIHxx", 0x0112, 3, 1, 6)
    exif = mark + struct.pack(f"{byte_order}IH", 8, 1) + entry + bytes(4)
    assert orientation_of(encoded(picture(), "PNG", exif=exif)) == 6
    assert orientation_of(encoded(picture(), "JPEG", exif=b"Exif\x00\x00" + exif)) == 6


def test_exif_behind_the_pixels_of_a_png_counts():
    chunk = b"eXIf" + exif_of(8).tobytes().removeprefix(b"Exif\x00\x00")
    content, end = encoded(picture(), "PNG"), 12
    late = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    content = content[:-end] + late + content[-end:]
    assert distance(decode_pixels(content), picture().transpose(Image.Transpose.ROTATE_90)) == 0


@given(st.binary(max_size=60))
@example(b"")
@example(b"MM\x00*\x00\x00\x00\x08\xff\xff")
@example(b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x09\x00\x00")
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_damaged_exif_spoils_no_image(image_format, damage):
    content = encoded(picture(), image_format, exif=b"Exif\x00\x00MM\x00*" + damage)
    assert decode_pixels(content).size == 3 * WIDTH * HEIGHT


@given(st.binary(max_size=200), st.sampled_from(["JPEG", "PNG", "WEBP", "GIF"]))
def test_noise_is_a_bad_sample_or_an_image(noise, image_format):
    content = encoded(picture(8, 8), image_format)[:40] + noise
    with suppress(BadSample):
        assert decode_pixels(content).ndim == 3


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpeg_become_rgb(mode):
    content = encoded(picture().convert(mode), "JPEG", quality=95)
    pixels = decode_pixels(content)
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert distance(pixels, opened(content).convert("RGB")) == 0
    assert distance(pixels, picture().convert(mode).convert("RGB")) < 12


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA"])
def test_every_mode_of_png_becomes_rgb_over_white(mode):
    image = picture().convert(mode) if mode != "P" else picture().quantize(60)
    if mode in ("LA", "RGBA"):
        image.putalpha(picture().getchannel("R"))
    content = encoded(image, "PNG")
    assert distance(decode_pixels(content), over_white(image)) <= 1


@pytest.mark.parametrize("num_colours", [2, 4, 16, 200])
@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_is_white(image_format, num_colours):
    image = picture().quantize(num_colours)
    content = encoded(image, image_format, transparency=1)
    clear = np.asarray(image) == 1
    pixels = decode_pixels(content)
    assert clear.any()
    assert (pixels[clear] == 255).all()
    assert distance(pixels[~clear], np.asarray(image.convert("RGB"))[~clear]) == 0


def test_a_palette_with_translucent_colours_lies_on_white():
    image = picture().quantize(50)
    content = encoded(image, "PNG", transparency=bytes(range(0, 250, 5)))
    assert distance(decode_pixels(content), over_white(opened(content))) <= 1


@pytest.mark.parametrize("options", [{}, {"lossless": True}])
def test_transparent_webp_lies_on_white(options):
    image = picture()
    image.putalpha(picture().getchannel("G"))
    content = encoded(image, "WEBP", **options)
    assert distance(decode_pixels(content), over_white(opened(content))) == 0


@pytest.mark.parametrize("highest", [200, 65535])
def test_16_bit_grey_keeps_its_range(highest):
    deep = np.linspace(0, highest, WIDTH * HEIGHT).reshape(HEIGHT, WIDTH).astype(np.uint16)
    pixels = decode_pixels(encoded(Image.fromarray(deep), "PNG"))
    assert distance(pixels[:, :, 1], np.rint(deep / 257)) == 0
    assert (pixels == pixels[:, :, :1]).all()


def test_16_bit_colours_keep_their_upper_byte():
    rows = np.asarray(picture()).astype(">u2") * 257
    lines = b"".join(b"\x00" + row.tobytes() for row in rows)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
    assert distance(decode_pixels(content), picture()) == 0


def test_float_pixels_are_spread_over_their_own_range():
    values = np.linspace(-3, 5, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    pixels = decode_pixels(encoded(Image.fromarray(values), "TIFF"))
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert (np.diff(pixels[:, :, 0].ravel().astype(int)) >= 0).all()


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG"])
def test_the_first_frame_of_an_animation_is_taken(image_format):
    first, second = picture().quantize(32).convert("RGB"), Image.new("RGB", (WIDTH, HEIGHT))
    options = {"lossless": True} if image_format == "WEBP" else {}
    content = encoded(first, image_format, save_all=True, append_images=[second], **options)
    assert opened(content).n_frames == 2
    assert distance(decode_pixels(content), first) == 0


def test_a_small_first_frame_of_a_gif_fills_its_canvas():
    content = bytearray(encoded(picture().quantize(16), "GIF"))
    content[6:10] = struct.pack("<HH", WIDTH + 5, HEIGHT + 7)
    expected = opened(bytes(content)).convert("RGB")
    assert distance(decode_pixels(bytes(content)), expected) == 0


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_truncated_image_is_a_bad_sample(image_format, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), image_format)
    with pytest.raises(BadSample, match="expected"):
        decode_pixels(content[: int(share * len(content))])


def test_a_flipped_bit_of_a_png_is_found():
    content = bytearray(encoded(picture(), "PNG"))
    content[len(content) // 2] ^= 1
    with pytest.raises(BadSample):
        decode_pixels(bytes(content))


def test_what_libjpeg_only_warns_of_is_kept():
    content = encoded(picture(), "JPEG", quality=95)
    scan = content.index(b"\xff\xda")
    # Bytes that belong to nothing, as careless tools leave them between two segments.
    odd = content[:scan] + b"\x00\x00\x00" + content[scan:]
    assert distance(decode_pixels(odd), decode_pixels(content)) == 0


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"<html>", b"GIF89a"])
def test_what_is_no_image_is_a_bad_sample(content):
    with pytest.raises(BadSample, match="expected an image"):
        decode_pixels(content)


@pytest.mark.parametrize(
    ("image_format", "at", "layout"), [("PNG", 16, ">II"), ("GIF", 6, "<HH"), ("BMP", 18, "<II")]
)
def test_a_huge_image_raises_no_warning(image_format, at, layout):
    # Pillow warns beyond 89 million pixels, and refuses twice as many.
    content = bytearray(encoded(picture().quantize(2), image_format))
    struct.pack_into(layout, content, at, 20_000, 9_000)
    header = read_header(bytes(content))
    assert (header.width_px, header.height_px) == (20_000, 9_000)


@given(st.integers(1, 200), st.integers(1, 200), st.floats(1, 20), st.sampled_from(["RGB", "L"]))
@example(1, 200, 20.0, "RGB")
@example(1, 1, 8.0, "L")
def test_a_jpeg_is_never_decoded_smaller_than_allowed(width, height, factor, mode):
    content = encoded(picture(width, height).convert(mode), "JPEG")
    pixels = read_header(content).decode(factor)
    assert pixels.shape[0] >= height / factor
    assert pixels.shape[1] >= width / factor
    assert pixels.shape[2] == 3


def test_a_jpeg_is_decoded_as_small_as_allowed():
    content = encoded(picture(400, 240), "JPEG", quality=95)
    shapes = [read_header(content).decode(factor).shape[:2] for factor in (1.9, 2, 3.9, 4, 8, 99)]
    assert shapes == [(240, 400), (120, 200), (120, 200), (60, 100), (30, 50), (30, 50)]
