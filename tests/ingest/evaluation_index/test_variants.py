import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ingest.copies.geometry import inscribed_size
from ingest.evaluation_index.variants import (
    IDENTITY,
    PROFILES,
    TRIMMED,
    VARIANTS,
    place_of,
    variant_lumas,
)
from ingest.inspect.grey import luma_of

BICUBIC = Image.Resampling.BICUBIC
PICTURES = ("china.jpg", "chelsea.png", "coffee.png")
aspects = st.floats(0.2, 5)
# An affine matrix leads from the unit square of a variant to that of the original.
CORNERS = np.array([[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 1], [-0.5, 0.5, 1]]).T


def cropped(image, left, top, right, bottom):
    """The part of an image within these shares of its sides."""
    width, height = image.size
    box = (left * width, top * height, right * width, bottom * height)
    return image.crop(tuple(round(edge) for edge in box))


def centre(image, wide, high, x=0.0, y=0.0):
    left, top = 0.5 + x - wide / 2, 0.5 + y - high / 2
    return cropped(image, left, top, left + wide, top + high)


def square(image, side):
    short = min(image.size) * side
    return centre(image, short / image.width, short / image.height)


def inscribed(image, degrees):
    turned = image.rotate(degrees, BICUBIC)
    wide, high = inscribed_size(*image.size, np.radians(degrees))
    return centre(turned, wide / image.width, high / image.height)


def expanded(image, degrees):
    ground = int(np.asarray(image).mean())
    return image.rotate(degrees, BICUBIC, expand=True, fillcolor=ground)


def transposed(image, *names):
    for name in names:
        image = image.transpose(Image.Transpose[name])
    return image


def by_pillow(image, variant):
    """The variant of an image, made as its name says."""
    kind, *words = variant.split("_")
    if kind in ("mirrored", "turned", "identity"):
        # Clockwise, where Pillow turns the other way; then mirrored.
        turn = [f"ROTATE_{360 - int(word)}" for word in words]
        return transposed(image, *turn, *["FLIP_LEFT_RIGHT"] * (kind == "mirrored"))
    number = float(words[-1]) if kind != "corner" else float(words[0])
    if kind == "centre":
        return centre(image, number, number)
    if kind == "corner":
        off = {0.9: 0.025, 0.85: 0.04, 0.8: 0.07}[number]
        down, right = (1 if word in ("bottom", "right") else -1 for word in words[1:])
        return centre(image, number, number, right * off, down * off)
    if kind == "cut":
        off = (1 - number) / 2
        x, y = {"left": (1, 0), "right": (-1, 0), "top": (0, 1), "bottom": (0, -1)}[words[0]]
        wide, high = (number, 1) if x else (1, number)
        return centre(image, wide, high, x * off, y * off)
    if kind == "margin":
        wide, high = round(image.width * number), round(image.height * number)
        page = Image.new("L", (wide, high), int(np.asarray(image).mean()))
        page.paste(image, ((wide - image.width) // 2, (high - image.height) // 2))
        return page
    return {"square": square, "inscribed": inscribed, "expanded": expanded}[kind](image, number)


def test_profiles_have_5_21_and_49_variants_each_named_once():
    assert {name: len(variants) for name, variants in PROFILES.items()} == {
        "small": 5,
        "standard": 21,
        "thorough": 49,
    }
    for variants in (*PROFILES.values(), VARIANTS):
        assert len(set(variants)) == len(variants)
        assert set(variants) <= set(VARIANTS)
        assert variants[0] == IDENTITY


def test_the_numbers_of_variants_fit_their_byte():
    assert len(VARIANTS) <= 256
    assert VARIANTS[-1] == TRIMMED


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("upright", [False, True])
def test_each_variant_is_what_pillow_makes_of_the_original(bench, name, upright):
    image = bench.picture(name).convert("L")
    image = transposed(image, "ROTATE_90") if upright else image
    variants = [variant for variant in VARIANTS if variant != TRIMMED]
    lumas = variant_lumas(np.asarray(image), variants)
    for variant, luma in zip(variants, lumas, strict=True):
        expected = luma_of(np.asarray(by_pillow(image, variant)))
        assert luma.shape == (64, 64)
        difference = np.abs(luma.astype(int) - expected).mean()
        other = np.abs(np.asarray(luma_of(np.asarray(image))).astype(int) - expected).mean()
        # Finer than sampling: only the wrong place would be off by more.
        assert difference < 5, (variant, difference, other)
        assert variant == IDENTITY or difference < other / 2, (variant, difference, other)


@given(aspects, st.sampled_from(VARIANTS))
def test_only_whole_rotations_and_margins_reach_outside_the_original(aspect, variant):
    place = place_of(variant, aspect)
    assert place.shape == (2, 3)
    # A long picture that is turned by 10 degrees needs much more height.
    most = 1.4 if variant.startswith("expanded") else 0.6 if variant == "margin_1.2" else 0.5
    assert np.abs(place @ CORNERS).max() <= most + 1e-9


@given(aspects)
def test_a_square_is_square_in_pixels(aspect):
    for side in (1.0, 0.875):
        place = place_of(f"square_{side:g}", aspect)
        assert place[0, 0] * aspect == pytest.approx(place[1, 1])
        assert max(place[0, 0], place[1, 1]) <= side + 1e-12


@given(aspects, st.sampled_from([-10, -8, -5, -2.5, 2.5, 5, 8, 10]))
def test_an_inscribed_rotation_is_what_geometry_cuts_out(aspect, degrees):
    wide, high = inscribed_size(aspect, 1, np.radians(degrees))
    if abs(degrees) == 10:
        return
    place = place_of(f"inscribed_{degrees:+g}", aspect)
    # Lengths of the sides of the variant, in heights of the original.
    sides = np.hypot(place[0, :2] * aspect, place[1, :2])
    assert sides == pytest.approx([wide, high])


@given(
    st.tuples(st.floats(0, 0.4), st.floats(0, 0.4)), st.tuples(st.floats(0.6, 1), st.floats(0.6, 1))
)
def test_trimmed_is_the_box(start, end):
    corners = place_of(TRIMMED, 1.5, (*start, *end)) @ CORNERS + 0.5
    assert corners.min(axis=1) == pytest.approx(start)
    assert corners.max(axis=1) == pytest.approx(end)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 900), st.integers(1, 900))
def test_pictures_of_any_size_have_all_variants(width, height):
    grey = np.full((height, width), 9, np.uint8)
    lumas = variant_lumas(grey, PROFILES["thorough"])
    assert {luma.shape for luma in lumas} == {(64, 64)}
    assert all((luma == 9).all() for luma in lumas)
