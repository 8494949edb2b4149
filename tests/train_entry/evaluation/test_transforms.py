import io
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from schemas.benchmarks.recipes import FineTune, LinearProbe
from train_entry.errors import ConfigError
from train_entry.evaluation.transforms import Transform
from train_entry.reader import BadSample

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
EXACT = Transform(exact=True)


def smooth(width, height, seed=0):
    """Something like a photograph: coarse noise, enlarged."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def noise(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encoded(image, kind="PNG", **options):
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def resized(image, shorter_px, kind):
    width, height = image.size
    if width <= height:
        size = (shorter_px, int(shorter_px * height / width))
    else:
        size = (int(shorter_px * width / height), shorter_px)
    return image.resize(size, FILTERS[kind])


def centre(image, px):
    left, top = round((image.width - px) / 2), round((image.height - px) / 2)
    return image.crop((left, top, left + px, top + px))


def worst(found, wanted):
    return np.abs(np.asarray(found, int) - np.asarray(wanted, int)).max()


@settings(max_examples=40, deadline=None)
@example(122, 36, 28, 2, "bilinear")
@given(
    st.integers(5, 400),
    st.integers(5, 400),
    st.integers(8, 96),
    st.integers(0, 40),
    st.sampled_from(("bilinear", "bicubic")),
)
def test_the_middle_is_that_of_a_whole_image_resized_first(width, height, crop_px, more, kind):
    image = noise(width, height)
    transform = Transform(crop_px + more, crop_px, interpolation=kind)
    wanted = centre(resized(image, crop_px + more, kind), crop_px)
    apart = np.abs(transform(encoded(image), "a").astype(int) - np.asarray(wanted, int))
    # Pillow rounds twice, across and down, and each may go the other way; a shift would be far off.
    assert apart.max() <= 2
    assert apart.mean() <= 0.5


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
def test_stretching_keeps_no_aspect(kind):
    image = noise(90, 40)
    transform = Transform(crop_px=32, stretch=True, interpolation=kind)
    assert worst(transform(encoded(image), "a"), image.resize((32, 32), FILTERS[kind])) <= 1


def test_a_large_jpeg_decoded_smaller_looks_the_same():
    content = encoded(smooth(1600, 1203), "JPEG", quality=90, subsampling=2)
    fast, exact = Transform()(content, "a"), EXACT(content, "a")
    assert not np.array_equal(fast, exact)
    assert np.abs(fast.astype(int) - exact.astype(int)).mean() < 1
    assert worst(fast, exact) <= 6


def test_a_jpeg_less_than_four_times_as_large_is_decoded_whole():
    content = encoded(noise(1000, 1000), "JPEG")
    assert np.array_equal(Transform()(content, "a"), EXACT(content, "a"))


def test_a_random_crop_is_a_part_of_the_resized_image_and_depends_on_the_name():
    image = smooth(300, 200)
    transform = Transform(64, 32, random_crop=True)
    whole = np.asarray(resized(image, 64, "bilinear"))
    windows = np.lib.stride_tricks.sliding_window_view(whole, (32, 32, 3))[:, :, 0]
    places = set()
    for name in "abcdefgh":
        found = transform(encoded(image), name)
        distances = np.abs(windows.astype(int) - found.astype(int)).max(axis=(2, 3, 4))
        assert distances.min() <= 1
        places.add(np.unravel_index(distances.argmin(), distances.shape))
        assert np.array_equal(found, transform(encoded(image), name))
    assert len(places) > 4


def test_views_are_random_parts_of_their_own_half_of_them_mirrored():
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (256, 256, 3))
    content = encoded(Image.fromarray(np.ascontiguousarray(ramp)))
    views = [view(content, "a") for view in Transform(64, 32).training_views(40)]
    rising = [bool(view[0, -1, 0] > view[0, 0, 0]) for view in views]
    assert 8 < sum(rising) < 32
    assert len({view.tobytes() for view in views}) == 40
    again = Transform(64, 32).training_views(3)[2](content, "a")
    assert np.array_equal(again, views[2])
    unmirrored = replace(Transform(64, 32), flip=False).training_views(40)
    found = [view(content, "a") for view in unmirrored]
    assert all(view[0, -1, 0] > view[0, 0, 0] for view in found)


@pytest.mark.parametrize("stretch", [False, True])
def test_whole_views_are_what_the_test_sees_half_of_them_mirrored(stretch):
    content = encoded(noise(100, 60))
    shown = Transform(48, 40, stretch=stretch, whole_views=True)
    seen = shown(content, "a")
    views = [view(content, "a") for view in shown.training_views(40)]
    mirrored = [np.array_equal(view, seen[:, ::-1]) for view in views]
    assert all(one or np.array_equal(view, seen) for view, one in zip(views, mirrored, strict=True))
    assert 8 < sum(mirrored) < 32
    assert replace(shown, flip=False).training_views(40) == (replace(shown, flip=False),)


def test_no_views_are_the_middle():
    assert Transform(random_crop=True).training_views(0) == (Transform(),)


def test_a_box_is_cut_out_before_all_else():
    image = noise(200, 150)
    box = (30, 20, 130, 90)
    wanted = centre(resized(image.crop(box), 48, "bilinear"), 32)
    assert worst(Transform(48, 32)(encoded(image), "a", box), wanted) <= 1


def test_a_box_is_enlarged_about_its_middle_as_far_as_the_image_goes():
    image = noise(200, 150)
    # 100 x 60 becomes 150 x 90 about (100, 50); at the top nothing is left to add.
    wanted = image.crop((25, 5, 175, 95)).resize((32, 32), FILTERS["bilinear"])
    transform = Transform(crop_px=32, stretch=True, box_scale=1.5)
    assert worst(transform(encoded(image), "a", (50, 20, 150, 80)), wanted) <= 1
    wanted = image.crop((0, 0, 50, 50)).resize((32, 32), FILTERS["bilinear"])
    assert worst(transform(encoded(image), "a", (0, 0, 40, 40)), wanted) <= 1


@pytest.mark.parametrize(
    ("box", "square"),
    [
        ((10, 10, 70, 130), (10, 10, 70, 70)),
        ((10, 10, 130, 70), (40, 10, 100, 70)),
        ((10, 10, 80, 70), (10, 10, 80, 70)),
    ],
)
def test_a_long_box_becomes_a_square_of_its_top_or_its_middle(box, square):
    image = noise(200, 150)
    wanted = image.crop(square).resize((32, 32), FILTERS["bilinear"])
    transform = Transform(crop_px=32, stretch=True, square_from=1.2)
    assert worst(transform(encoded(image), "a", box), wanted) <= 1


@pytest.mark.parametrize("box", [(300, 0, 400, 50), (9, 9, 3, 3), (1, 2, 3), (0, 0, "x", 1)])
def test_a_box_without_pixels_is_a_bad_sample(box):
    with pytest.raises(BadSample, match="expected a box"):
        Transform(48, 32)(encoded(noise(200, 150)), "a", box)


def test_less_than_a_pixel_counts_as_one():
    found = Transform(48, 32)(encoded(noise(200, 150)), "a", (5, 5, 5.3, 5.2))
    assert (found == np.asarray(noise(200, 150))[5, 5]).all()


def test_bytes_that_are_no_image_are_a_bad_sample():
    with pytest.raises(BadSample):
        Transform()(b"no image", "a")


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
    st.lists(st.floats(-20, 80), min_size=4, max_size=4),
    st.booleans(),
)
def test_whatever_the_box_the_pixels_have_their_size(size, box, square):
    transform = Transform(24, 16, box_scale=1.5, square_from=1.2 if square else 0.0)
    try:
        assert transform(encoded(noise(*size)), "a", box).shape == (16, 16, 3)
    except BadSample:
        left, top, right, bottom = box
        assert left >= right or top >= bottom or max(box) > min(size) or min(box) < 0


def test_an_image_turned_by_its_exif_is_seen_upright():
    image = smooth(300, 200)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(image.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)
    assert np.array_equal(EXACT(turned, "a"), EXACT(encoded(image), "a"))


def test_the_digest_tells_any_two_transforms_apart():
    changed = {
        "resize_px": 257,
        "crop_px": 223,
        "stretch": True,
        "interpolation": "bicubic",
        "random_crop": True,
        "seed": 1,
        "view": 1,
        "flip": False,
        "area_min": 0.2,
        "whole_views": True,
        "box_scale": 1.5,
        "square_from": 1.2,
        "exact": True,
    }
    assert changed.keys() == {field.name for field in fields(Transform)}
    others = [replace(Transform(), **{name: value}) for name, value in changed.items()]
    assert len({one.digest() for one in (Transform(), *others)}) == len(changed) + 1


def test_a_recipe_gives_what_it_names():
    assert Transform.of(LinearProbe()) == Transform()
    probe = LinearProbe(stretch=True, crop_px=64, random_crop=True, flip=False, seed=3)
    assert Transform.of(probe) == Transform(
        crop_px=64, stretch=True, random_crop=True, seed=3, flip=False
    )
    assert Transform.of(FineTune()) == Transform(384, 384, interpolation="bicubic")


def test_a_crop_larger_than_the_image_becomes_is_refused():
    with pytest.raises(ConfigError, match="expected 1 to resize_px 224, got 256"):
        Transform(224, 256)
