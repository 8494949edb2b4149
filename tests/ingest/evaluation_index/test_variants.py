import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from ingest.errors import InspectError
from ingest.evaluation_index.variants import VARIANTS, variant_hashes
from ingest.inspect.decode import inspect_image

MAX_PIXELS = 10**9


def distance(one, other):
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def identity(content):
    return bytes.fromhex(inspect_image(content, MAX_PIXELS).phash)


def test_the_identity_is_what_inspection_gives(bench):
    for path in bench.real.values():
        content = path.read_bytes()
        hashes = variant_hashes(content, MAX_PIXELS)
        inspection = inspect_image(content, MAX_PIXELS)
        assert len(hashes) == len(VARIANTS)
        assert (hashes[0].code.hex(), hashes[0].texture) == (inspection.phash, inspection.texture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_variants_are_those_of_the_upright_picture(bench, orientation):
    picture = bench.picture("chelsea.png")
    undo = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    exif = Image.Exif()
    exif[0x0112] = undo
    tagged = bench.encode(picture, "JPEG", quality=95, exif=exif)
    stored = ImageOps.exif_transpose(Image.open(io.BytesIO(tagged)))
    exif[0x0112] = orientation
    turned = bench.encode(stored, "JPEG", quality=95, exif=exif)
    upright = variant_hashes(bench.encode(picture), MAX_PIXELS)
    for one, other in zip(upright, variant_hashes(turned, MAX_PIXELS), strict=True):
        assert distance(one.code, other.code) <= 12


def test_a_clear_palette_colour_stays_clear_in_the_crops(bench):
    paletted = bench.picture("coffee.png").quantize(64)
    clear = bench.encode(paletted, "PNG", transparency=3)
    width, height = paletted.size
    with Image.open(io.BytesIO(clear)) as image:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
    box = (round(width * 0.15), round(height * 0.15))
    crop = white.convert("RGB").crop((*box, width - box[0], height - box[1]))
    hashed = variant_hashes(clear, MAX_PIXELS)[VARIANTS.index("centre_0.7")]
    assert distance(hashed.code, identity(bench.encode(crop))) <= 6


def test_a_large_jpeg_is_cropped_at_a_scale_that_keeps_the_hash(bench):
    large = bench.picture("china.jpg").resize((4000, 2670), Image.Resampling.BICUBIC)
    content = bench.encode(large, "JPEG", quality=90)
    width, height = large.size
    crop = large.crop((600, 400, width - 600, height - 400))
    hashed = variant_hashes(content, MAX_PIXELS)[VARIANTS.index("centre_0.7")]
    assert distance(hashed.code, identity(bench.encode(crop, "JPEG", quality=90))) <= 16


def test_the_thinnest_pictures_have_all_variants(bench):
    for size in ((1, 1), (1, 700), (2, 3)):
        assert len(variant_hashes(bench.encode(Image.new("L", size)), MAX_PIXELS)) == len(VARIANTS)


def test_a_picture_whose_variants_fail_keeps_its_identity(bench, monkeypatch, caplog):
    def fail(image, box):
        raise SyntaxError("broken tile")

    # No file is known that our decoder reads and Pillow does not, so Pillow is made to fail.
    monkeypatch.setattr(Image.Image, "crop", fail)
    content = bench.real["china.jpg"].read_bytes()
    (only,) = variant_hashes(content, MAX_PIXELS)
    assert only.code == identity(content)
    assert "no variants of image" in caplog.text


def test_what_is_no_image_is_refused():
    with pytest.raises(InspectError):
        variant_hashes(np.arange(99, dtype=np.uint8).tobytes(), MAX_PIXELS)
