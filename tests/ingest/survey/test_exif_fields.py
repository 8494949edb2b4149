import io
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from ingest.survey.exif_fields import FIELDS, ExifFields, read_exif_fields, read_position
from tests.ledgers import gps_of, saved

NOTHING = ExifFields()


def picture(exif, image_format="JPEG"):
    return saved(Image.new("RGB", (16, 16), (90, 120, 60)), image_format, exif=exif)


def exif_with(main=(), exif=(), gps=()):
    tags = Image.Exif()
    tags.update(dict(main))
    tags.get_ifd(0x8769).update(dict(exif))
    tags.get_ifd(0x8825).update(dict(gps))
    # As if read: of tags that were only put together, Pillow writes no directories into a TIFF.
    read = Image.Exif()
    read.load(tags.tobytes())
    return read


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_all_fields_are_found_in_all_formats(image_format):
    exif = exif_with(
        main={0x10F: "Maker", 0x13B: "Ann Author", 0x8298: "(c) Ann Author"},
        exif={0x9003: "2020:02:03 04:05:06", 0xA431: "SN-77"},
        gps=gps_of(-33.8688, 151.2093),
    )
    found = read_exif_fields(picture(exif, image_format))
    assert found.names == set(FIELDS)
    assert found.position == pytest.approx((-33.8688, 151.2093), abs=1e-4)


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ({"main": {0x110: "Model"}}, {"camera"}),
        ({"main": {0x9C9D: "An\0n\0\0\0".encode("latin-1")}}, {"author"}),
        ({"exif": {0xA430: "Owner"}}, {"author"}),
        ({"main": {0x132: "2020:02:03 04:05:06"}}, {"date"}),
        ({"exif": {0x9003: "0000:00:00 00:00:00"}}, set()),
        ({"main": {0x10F: "  ", 0x8298: "\0\0"}}, set()),
    ],
)
def test_a_field_is_there_only_if_it_says_anything(parts, names):
    assert read_exif_fields(picture(exif_with(**parts))).names == names


@given(
    st.floats(-90, 90).filter(lambda degrees: abs(degrees) > 1e-3),
    st.floats(-180, 180).filter(lambda degrees: abs(degrees) > 1e-3),
)
@settings(max_examples=40)
def test_a_position_is_read_as_it_was_written(latitude, longitude):
    found = read_exif_fields(picture(exif_with(gps=gps_of(latitude, longitude))))
    assert found.position == pytest.approx((latitude, longitude), abs=1e-4)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({2: (48.5,), 4: 2.25}, (48.5, 2.25)),
        ({1: b"s\0", 3: "W "}, (-48.5, -2.25)),
        ({2: (91.0, 0, 0)}, None),
        ({2: (90.0, 1, 0)}, None),
        ({4: (2, 60.5, 0)}, None),
        ({4: (2, -1, 0)}, None),
        ({4: (2, 0, 0, 0)}, None),
        ({4: ()}, None),
        ({2: (math.nan, 0, 0)}, None),
        ({2: (math.inf, 0, 0)}, None),
        ({2: "forty-eight"}, None),
        ({2: b"\x30"}, None),
        ({2: None}, None),
        ({1: None}, None),
        ({1: "X"}, None),
        ({1: ""}, None),
        ({1: "NS"}, None),
        ({1: 5}, None),
        ({2: (TiffImagePlugin.IFDRational(1, 0), 0, 0)}, None),
        ({2: (0, 0, 0), 4: (0, 0, 0)}, None),
    ],
)
def test_only_a_valid_position_is_one(changes, expected):
    gps = {1: "N", 2: (48, 30, 0), 3: "E", 4: (2, 15, 0)}
    assert read_position({**gps, **changes}) == expected


@pytest.mark.parametrize(
    "content", [b"", b"GIF89a", b"\xff\xd8\xff\xe1\x00\x08Exif\x00\x00", b"\x89PNG\r\n\x1a\n" * 3]
)
def test_what_is_no_image_has_no_fields(content):
    assert read_exif_fields(content) == NOTHING


def test_a_bitmap_without_exif_has_no_fields():
    assert read_exif_fields(saved(Image.new("L", (4, 4)), "BMP")) == NOTHING


FULL = exif_with(
    main={0x10F: "Maker", 0x13B: "Ann"}, exif={0x9003: "2020:02:03 04:05:06"}, gps=gps_of(1.5, 2.5)
)
PICTURES = {name: picture(FULL, name) for name in ("JPEG", "PNG", "WEBP", "TIFF")}


@pytest.mark.parametrize("image_format", PICTURES)
@given(changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=12))
@settings(max_examples=60)
def test_no_lie_in_the_tags_does_harm(image_format, changes):
    content = bytearray(PICTURES[image_format])
    for place, value in changes:
        content[place % len(content)] = value
    found = read_exif_fields(bytes(content))
    assert found.names <= set(FIELDS)
    if found.position is not None:
        latitude, longitude = found.position
        assert -90 <= latitude <= 90
        assert -180 <= longitude <= 180


@given(junk=st.binary(max_size=300))
@settings(max_examples=60)
def test_junk_in_the_place_of_tags_does_no_harm(junk):
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08" + junk)
    assert read_exif_fields(buffer.getvalue()).names <= set(FIELDS)
