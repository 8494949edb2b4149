import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from ingest.evaluation_index.fingerprints import MIN_TEXTURE, fingerprint_set
from ingest.evaluation_index.sources import EvalSet, parse_eval_set
from ingest.evaluation_index.variants import IDENTITY, PROFILES, TRIMMED, VARIANTS
from ingest.fingerprint import pack_thumbnail
from ingest.inspect.decode import inspect_image

MAX_PIXELS = 10**9


def distance(one, other):
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()


def codes_of(row):
    """Code of each variant of a row."""
    codes = [row["codes"][start : start + 32] for start in range(0, len(row["codes"]), 32)]
    return {VARIANTS[number]: code for number, code in zip(row["variants"], codes, strict=True)}


@pytest.fixture
def row_of(bench, tmp_path):
    """A function that gives the row of one image."""

    def fingerprint(image, **options):
        folder = bench.folder(tmp_path / str(len(list(tmp_path.iterdir()))), one=image)
        (row,) = bench.fingerprints(f"s={folder}", **options).images.to_pylist()
        return row

    return fingerprint


def framed(image, wide=60, colour="white"):
    return ImageOps.expand(image, wide, colour)


def test_digests_and_the_identity_are_what_a_crawl_sees(bench, row_of):
    for path in bench.real.values():
        content = path.read_bytes()
        row, seen = row_of(content, profile="small"), inspect_image(content, MAX_PIXELS)
        assert row["sha256"].hex() == seen.sha256
        assert row["pixels_sha256"].hex() == seen.pixels_sha256
        assert codes_of(row)[IDENTITY] == seen.views[0].code
        assert row["thumbnail"] == pack_thumbnail(seen.views[0].thumbnail)


@pytest.mark.parametrize("profile", PROFILES)
def test_each_variant_is_stored_or_too_near_another_or_flat(bench, row_of, profile):
    row = row_of(bench.picture("chelsea.png"), profile=profile)
    codes = codes_of(row)
    assert set(codes) <= set(PROFILES[profile])
    assert len(codes) + row["num_flat"] <= len(PROFILES[profile])
    found = list(codes.values())
    assert min(distance(a, b) for n, a in enumerate(found) for b in found[:n]) > 4


def test_a_variant_that_is_the_picture_itself_has_no_code_of_its_own(bench, row_of):
    square = bench.picture("chelsea.png").crop((0, 0, 300, 300))
    codes = codes_of(row_of(square))
    assert "square_1" not in codes
    assert "square_0.875" in codes


def test_what_lies_inside_a_border_is_a_variant(bench, row_of):
    picture = bench.picture("china.jpg")
    row = row_of(framed(picture, 80))
    left, top, right, bottom = row["box"]
    wide, high = picture.width + 160, picture.height + 160
    expected = (80 / wide, 80 / high, 1 - 80 / wide, 1 - 80 / high)
    assert (left, top, right, bottom) == pytest.approx(expected, abs=0.009)
    alone = codes_of(row_of(picture))[IDENTITY]
    assert distance(codes_of(row)[TRIMMED], alone) <= 14
    assert row["aspect"] == pytest.approx(wide / high, rel=2e-3)


def test_without_a_border_the_box_is_the_whole(bench, row_of):
    row = row_of(bench.picture("coffee.png"))
    assert row["box"] == [0, 0, 1, 1]
    assert TRIMMED not in codes_of(row)


@pytest.mark.parametrize(
    "image",
    [Image.new("L", (300, 200), 77), Image.new("L", (1, 1)), Image.linear_gradient("L")],
    ids=["flat", "dot", "gradient"],
)
def test_a_flat_picture_has_no_code_and_all_variants_count(row_of, image):
    row = row_of(image)
    assert (row["codes"], row["variants"], row["num_flat"]) == (b"", b"", 21)
    assert row["pixels_sha256"] is not None


def test_a_bare_wall_with_one_busy_corner_is_flat_for_all_its_edges(row_of):
    wall = np.full((256, 256), 128, np.uint8)
    wall[:40, :40] = np.random.default_rng(0).integers(0, 256, (40, 40))
    image = Image.fromarray(wall)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    assert inspect_image(buffer.getvalue(), MAX_PIXELS).views[0].texture > MIN_TEXTURE
    assert row_of(image)["codes"] == b""


def test_flat_variants_of_a_textured_picture_are_counted(row_of):
    framed = np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)
    framed[26:-26, 26:-26] = 128
    row = row_of(Image.fromarray(framed), profile="small")
    assert row["num_flat"] == 1
    assert "centre_0.7" not in codes_of(row)


def test_a_broken_image_has_its_digest_alone(bench, row_of):
    row = row_of(bench.real["china.jpg"].read_bytes()[:9000])
    assert row["pixels_sha256"] is None
    assert (row["codes"], row["variants"], row["num_flat"], row["box"]) == (b"", b"", 0, [])
    assert row["thumbnail"] == bytes(768)


def test_an_image_beyond_the_limit_has_its_digest_alone(bench, row_of, caplog):
    row = row_of(bench.picture("chelsea.png"), max_pixels=1000)
    assert row["pixels_sha256"] is None
    assert "s/one: only its digest is indexed: too_many_pixels: expected at most" in caplog.text


@pytest.mark.parametrize("orientation", range(2, 9))
def test_variants_are_those_of_the_upright_picture(bench, row_of, orientation):
    picture = bench.picture("chelsea.png")
    exif = Image.Exif()
    exif[0x0112] = {6: 8, 8: 6}.get(orientation, orientation)
    stored = ImageOps.exif_transpose(Image.open(io.BytesIO(bench.encode(picture, exif=exif))))
    exif[0x0112] = orientation
    turned, upright = row_of(bench.encode(stored, exif=exif)), row_of(picture)
    for name in ("pixels_sha256", "codes", "variants", "thumbnail", "aspect", "box"):
        assert turned[name] == upright[name]


def test_a_part_of_a_set_gives_its_rows_under_its_prefix(bench, tmp_path):
    folder = bench.folder(
        tmp_path / "set", a=bench.picture("coffee.png"), b=bench.picture("ihc.png")
    )
    options = bench.options(f"s={folder}", profile="small")
    first, second = parse_eval_set(f"s={folder}").split(1)
    whole = fingerprint_set(EvalSet("s", str(folder)), options).images.to_pylist()
    parts = [fingerprint_set(one, options).images.to_pylist()[0] for one in (first, second)]
    assert parts == whole
    renamed = fingerprint_set(EvalSet("s", str(folder), "val/"), options).images
    assert renamed["name"].to_pylist() == ["val/a", "val/b"]


def test_a_clear_palette_colour_stays_clear_in_the_crops(bench, row_of):
    paletted = bench.picture("coffee.png").quantize(64)
    clear = bench.encode(paletted, transparency=3)
    with Image.open(io.BytesIO(clear)) as image:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
    one, other = (codes_of(row_of(image)) for image in (clear, white.convert("RGB")))
    assert one == other


def test_a_large_jpeg_is_cropped_at_a_scale_that_keeps_the_hash(bench, row_of):
    large = bench.picture("china.jpg").resize((4000, 2670), Image.Resampling.BICUBIC)
    width, height = large.size
    crop = large.crop((600, 400, width - 600, height - 400))
    codes = codes_of(row_of(bench.encode(large, "JPEG", quality=90), profile="small"))
    seen = inspect_image(bench.encode(crop, "JPEG", quality=90), MAX_PIXELS).views[0]
    assert distance(codes["centre_0.7"], seen.code) <= 16
