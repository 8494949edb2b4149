import io
import tarfile
import zipfile

import pytest
from PIL import Image

from ingest.errors import InspectError
from ingest.inspect.decode import inspect_image
from ingest.miniweb import image_bombs as bombs
from ingest.miniweb import polyglots
from ingest.miniweb.pictures import drawn_jpeg
from schemas.outcome import Outcome

MAX_PIXELS = 10**8


def refused(content):
    with pytest.raises(InspectError) as error:
        inspect_image(content, MAX_PIXELS)
    return error.value.outcome


@pytest.mark.parametrize(
    "content",
    [
        bombs.png_bomb(50_000),
        bombs.gif_bomb(),
        bombs.webp_bomb(16_384),
        bombs.bmp_bomb(2**31 - 1),
        bombs.jpeg_claiming(65_535),
        bombs.tiff_bomb(2**31, 2**31, 4096),
        bombs.tiff_bomb(65_536, 65_536, 4096),
    ],
)
def test_files_that_claim_too_much_are_small_and_refused_by_their_header(content):
    assert len(content) < 1_000_000
    assert refused(content) is Outcome.TOO_MANY_PIXELS


def test_small_ones_of_the_same_make_are_pictures():
    assert Image.open(io.BytesIO(bombs.png_bomb(1234))).getextrema() == (0, 0)
    for content, size in (
        (bombs.webp_bomb(16), (16, 16)),
        (bombs.tiff_bomb(64, 64, 4096), (64, 64)),
        (bombs.jpeg_claiming(96), (96, 96)),
        (bombs.ico_bomb(64), (64, 64)),
        (bombs.png_text_bomb(1000), (64, 64)),
        (bombs.png_profile_bomb(1000), (64, 64)),
        (bombs.jpeg_with_exif(drawn_jpeg(64), 0x0112, 3, b"\x06\0\0\0"), (64, 64)),
    ):
        found = inspect_image(content, MAX_PIXELS)
        assert (found.width_px, found.height_px) == size
    assert found.exif_orientation == 6


def test_a_scan_bomb_is_a_valid_jpeg_whose_cost_grows_with_its_scans():
    content = bombs.jpeg_scan_bomb(64, 882)
    found = inspect_image(content, MAX_PIXELS)
    assert (found.width_px, found.warnings) == (64, ())
    assert content.count(b"\xff\xda") == 883
    assert len(bombs.jpeg_scan_bomb(9600, 882)) < 400_000


def test_frames_and_loops_are_counted_once():
    assert inspect_image(bombs.gif_of_frames(1000), MAX_PIXELS).num_frames == 1000
    loop = bombs.tiff_bomb(64, 64, 4096, loop=True)
    assert inspect_image(loop, MAX_PIXELS).num_frames == 1


@pytest.mark.parametrize("num_bytes", [0xFFFFFFF0, 3, 0])
def test_an_avif_box_of_a_false_size_is_corrupt(num_bytes):
    assert refused(bombs.avif_with_box_of(num_bytes)) is Outcome.CORRUPT


def test_polyglots_are_both_things():
    jpeg = drawn_jpeg(64)
    content = polyglots.jpeg_and_zip(jpeg)
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == ["payload.txt"]
    assert inspect_image(content, MAX_PIXELS).format == "jpeg"
    png = bombs.png_with_chunk(b"tEXt", b"Comment\0hello")
    content = polyglots.png_and_tar(png)
    tail = content[len(png) + -len(png) % 512 :]
    with tarfile.open(fileobj=io.BytesIO(tail)) as archive:
        assert archive.getnames() == ["../../evil.txt"]
    assert inspect_image(content, MAX_PIXELS).format == "png"
    script = polyglots.gif_and_script()
    assert script.startswith(b"GIF89a/*")
    assert b"*/=1;" in script
    assert inspect_image(script, MAX_PIXELS).width_px == int.from_bytes(b"/*", "little")
    assert inspect_image(polyglots.html_inside_jpeg(jpeg), MAX_PIXELS).format == "jpeg"
    assert refused(polyglots.html_behind_jpeg()) is Outcome.CORRUPT
