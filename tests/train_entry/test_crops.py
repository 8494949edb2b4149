import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tests.train_entry.test_decode import encoded, picture
from train_entry import crops
from train_entry.config import CropGroup, CropsConfig
from train_entry.crops import Box, MultiCrop, Parameters, decode_pixels, sample_generator
from train_entry.decode import Encoded
from train_entry.reader import BadSample, Sample

CONFIG = CropsConfig()
PNG = encoded(picture(300, 200), "PNG")
COLUMNS = {name: number for number, name in enumerate(Parameters._fields)}


def sample(content=PNG, *, epoch=0, name="0" * 32):
    return Sample(name, 0, epoch, content)


def same(a, b):
    images = all(torch.equal(x, y) for x, y in zip(a.images, b.images, strict=True))
    return images and all(np.array_equal(x, y) for x, y in zip(a.drawn, b.drawn, strict=True))


def boxes_of(width, height, group, config=CONFIG, number=0):
    """The boxes that a crop set of an image of this size would be cut from."""
    multi = MultiCrop(config, 0)
    generator = sample_generator(0, number, "name")
    rows = generator.random((group.count, crops._NUM_DRAWN)).tolist()
    return [multi._box(row, group, Encoded(width, height, decode=None))[0] for row in rows]


def one_group(px=32, count=1, area_min=1.0, area_max=1.0, **options):
    group = CropGroup(count=count, px=px, area_min=area_min, area_max=area_max)
    return CropsConfig(groups=(group,), **options)


def test_crops_have_the_sizes_that_were_asked_for():
    made = MultiCrop(CONFIG, 0)(sample())
    assert [tuple(one.shape) for one in made.images] == [(2, 160, 160, 3), (4, 96, 96, 3)]
    assert all(one.dtype == torch.uint8 and one.is_contiguous() for one in made.images)
    assert [one.shape for one in made.drawn] == [(2, 8), (4, 8)]


def test_crops_keep_the_range_of_their_image():
    pixels = np.random.default_rng(0).integers(90, 110, (200, 300, 3), dtype=np.uint8)
    made = MultiCrop(CONFIG, 0)(sample(encoded(Image.fromarray(pixels), "PNG")))
    for images in made.images:
        assert images.min() >= 90
        assert images.max() <= 109


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3), (2000, 8)])
@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_tiny_and_narrow_images_are_cropped_too(size, image_format):
    image = Image.new("RGB", size, (10, 20, 30))
    made = MultiCrop(CONFIG, 0)(sample(encoded(image, image_format, **quality(image_format))))
    colour = torch.tensor([10, 20, 30])
    assert all((one.int() - colour).abs().max() <= 3 for one in made.images)


def quality(image_format):
    return {"quality": 95} if image_format == "JPEG" else {}


def test_a_crop_depends_on_seed_epoch_and_id_alone():
    multi = MultiCrop(CONFIG, 3)
    first = multi(sample())
    multi(sample(name="1" * 32))
    assert same(first, multi(sample()))
    assert same(first, MultiCrop(CONFIG, 3)(Sample("0" * 32, 99, 0, PNG)))
    others = [
        MultiCrop(CONFIG, 4)(sample()),
        multi(sample(epoch=1)),
        multi(sample(name="0" * 31 + "1")),
    ]
    for other in others:
        assert not any(map(torch.equal, first.images, other.images))
        assert not any(map(np.array_equal, first.drawn, other.drawn))


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.text(max_size=40))
def test_neighbouring_keys_give_other_numbers(seed, epoch, name):
    def numbers(*key):
        return sample_generator(*key).random(4).tolist()

    first = numbers(seed, epoch, name)
    assert first == numbers(seed, epoch, name)
    others = [numbers(seed + 1, epoch, name), numbers(seed, epoch + 1, name)]
    others += [numbers(epoch + 1, seed + 1, name), numbers(seed, epoch, name + "0")]
    assert not any(set(first) & set(other) for other in others)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_a_batch_changes_no_crop(numbers):
    multi = MultiCrop(one_group(8, 2, 0.1, 0.9), 0)
    sets = [multi(sample(name=f"{number:032x}")) for number in numbers]
    batch = multi.collate(sets)
    (images,), (parameters,) = batch.images, batch.parameters
    assert images.shape == (2 * len(numbers), 8, 8, 3)
    assert parameters.shape == (2 * len(numbers), len(Parameters._fields))
    for place, one in enumerate(sets):
        alone = multi.collate([one])
        for crop in range(2):
            at = crop * len(numbers) + place
            assert torch.equal(images[at], one.images[0][crop])
            assert torch.equal(parameters[at], alone.parameters[0][crop])


sides = st.one_of(st.integers(1, 12), st.integers(1, 4000))
shares = st.tuples(st.floats(0.01, 1), st.floats(0.01, 1)).map(sorted)


@given(sides, sides, shares, st.integers(0, 2**32))
@example(1, 1, [0.01, 0.01], 0)
@example(1, 4000, [1.0, 1.0], 0)
@example(4000, 1, [0.05, 0.14], 0)
def test_a_box_lies_inside_and_keeps_area_and_ratio(width, height, share, number):
    group = CropGroup(count=4, px=8, area_min=share[0], area_max=share[1])
    for left, top, w, h in boxes_of(width, height, group, number=number):
        assert 0 <= left <= left + w <= width
        assert 0 <= top <= top + h <= height
        assert min(w, h) >= 1
        if is_centred_fallback(width, height, (left, top, w, h)):
            continue
        # Each side is rounded by half a pixel at most.
        slack = 0.5 * (w + h) + 0.25
        area = width * height
        assert share[0] * area - slack <= w * h <= share[1] * area + slack
        assert (w - 0.5) / (h + 0.5) <= 4 / 3
        assert (w + 0.5) / (h - 0.5) >= 3 / 4


def is_centred_fallback(width, height, box):
    w = max(1, min(width, round(height * 4 / 3)))
    h = max(1, min(height, round(width * 4 / 3)))
    return box == ((width - w) // 2, (height - h) // 2, w, h)


def test_areas_ratios_and_places_are_spread_evenly():
    group = CropGroup(count=4000, px=8, area_min=0.1, area_max=0.3)
    boxes = np.array(boxes_of(3000, 3000, group))
    left, top, width, height = boxes.T
    uniform = [
        (width * height / 3000**2 - 0.1) / 0.2,
        np.log(width / height) / (2 * math.log(4 / 3)) + 0.5,
        left / (3000 - width),
        top / (3000 - height),
    ]
    for values in uniform:
        observed = np.histogram(values, bins=10, range=(-1e-2, 1 + 1e-2))[0]
        assert observed.min() > 300
        assert observed.max() < 500


@given(sides, sides)
def test_an_image_without_room_for_the_ratio_gives_its_middle(side, more):
    group = CropGroup(count=1, px=8, area_min=1.0, area_max=1.0)
    long = 2 * side + more
    (tall,) = boxes_of(side, long, group)
    (wide,) = boxes_of(long, side, group)
    assert tall.width == wide.height == side
    assert abs(2 * tall.top + tall.height - long) <= 1
    assert abs(2 * wide.left + wide.width - long) <= 1


def test_half_of_the_crops_are_mirrored():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :16] = 255
    config = one_group(16, 400)
    (images,) = MultiCrop(config, 0)(sample(encoded(Image.fromarray(image), "PNG"))).images
    bright = images.float()[:, :, :8].mean(dim=(1, 2, 3)) > 128
    assert 150 < bright.sum() < 250
    (never,) = MultiCrop(one_group(16, 50, flip=0.0), 0)(sample(PNG)).images
    (always,) = MultiCrop(one_group(16, 50, flip=1.0), 0)(sample(PNG)).images
    assert torch.equal(never, always.flip(2))


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 60), st.floats(0, 1), st.floats(0, 1))
@example(90, 90, 3, 0.0, 1.0)
@example(1, 90, 60, 0.0, 1.0)
def test_a_crop_is_what_pillow_makes_of_the_same_box(width, height, px, x, y):
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    left, top = int(x * (width - 1)), int(y * (height - 1))
    box = Box(left, top, width - left, height - top)
    ours = crops._cut(noise, box, px, flip=False)
    part = Image.fromarray(noise[top:, left:])
    pillows = np.asarray(part.resize((px, px), Image.Resampling.BILINEAR), dtype=int)
    assert np.abs(ours.numpy().astype(int) - pillows).max() <= 2


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_whole_path_agrees_with_pillow(mirrored):
    config = one_group(48, 6, 0.1, 0.9, flip=float(mirrored))
    image = picture(300, 200)
    (images,) = MultiCrop(config, 0)(sample()).images
    rows = sample_generator(0, 0, "0" * 32).random((6, crops._NUM_DRAWN)).tolist()
    for crop, row in zip(images, rows, strict=True):
        box = crops.draw_box(row, config.groups[0], 300, 200)
        edges = (box.left, box.top, box.left + box.width, box.top + box.height)
        expected = image.crop(edges).resize((48, 48), Image.Resampling.BILINEAR)
        if mirrored:
            expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert np.abs(crop.numpy().astype(int) - np.asarray(expected, dtype=int)).max() <= 2


@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_a_shrunken_checkerboard_becomes_grey(image_format):
    board = (255 * (np.indices((256, 256)).sum(axis=0) % 2)).astype(np.uint8)
    content = encoded(Image.fromarray(board), image_format, **quality(image_format))
    (images,) = MultiCrop(one_group(64), 0)(sample(content)).images
    assert (images.int() - 127).abs().max() <= 8


@given(
    st.integers(20, 700),
    st.integers(20, 700),
    st.integers(1, 65),
    st.integers(0, 2**32),
)
@example(760, 760, 95, 0)
def test_a_jpeg_decoded_smaller_enlarges_no_crop(width, height, px, epoch):
    config = one_group(px, 3, 0.05, 1.0)
    cut, sizes = crops._cut, []

    def watch(pixels, box, px, flip):
        sizes.append((pixels.shape, box))
        return cut(pixels, box, px, flip)

    content = encoded(Image.new("RGB", (width, height)), "JPEG")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(crops, "_cut", watch)
        MultiCrop(config, 0)(sample(content, epoch=epoch))
    rows = sample_generator(0, epoch, "0" * 32).random((3, crops._NUM_DRAWN)).tolist()
    for (shape, box), row in zip(sizes, rows, strict=True):
        original = crops.draw_box(row, config.groups[0], width, height)
        assert box.width >= min(px, original.width)
        assert box.height >= min(px, original.height)
        assert box.left + box.width <= shape[1]
        assert box.top + box.height <= shape[0]


def test_a_jpeg_is_cut_where_its_original_would_be():
    content = encoded(picture(1200, 900), "JPEG", quality=95)
    config = one_group(32, 6, 0.2, 1.0)
    (smaller,) = MultiCrop(config, 0)(sample(content)).images
    whole = encoded(Image.fromarray(decode_pixels(content)), "PNG")
    (full,) = MultiCrop(config, 0)(sample(whole)).images
    assert (smaller.int() - full.int()).abs().max() <= 3


def test_parameters_keep_their_ranges_and_shares():
    multi = MultiCrop(one_group(1, 4000), 0)
    made = multi(sample(encoded(Image.new("RGB", (1, 1)), "PNG")))
    parameters = multi.collate([made]).parameters[0].double().numpy()
    assert multi.collate([made]).parameters[0].dtype == torch.float32
    jittered = parameters[:, COLUMNS["order"]] >= 0
    assert abs(jittered.mean() - CONFIG.jitter) < 0.03
    assert abs(parameters[:, COLUMNS["grey"]].mean() - CONFIG.grey) < 0.03
    assert (parameters[~jittered, :4] == [1, 1, 1, 0]).all()
    ranges = {"brightness": (0.2, 1.8), "contrast": (0.2, 1.8), "saturation": (0.2, 1.8)}
    blur = parameters[:, COLUMNS["blur_px"]]
    columns = {name: parameters[jittered, COLUMNS[name]] for name in (*ranges, "hue")}
    columns["blur_px"] = blur[blur > 0]
    assert abs((blur > 0).mean() - CONFIG.blur) < 0.03
    ranges |= {"hue": (-0.2, 0.2), "blur_px": (CONFIG.blur_min_px, CONFIG.blur_max_px)}
    for name, (low, high) in ranges.items():
        shares = (columns[name] - low) / (high - low)
        assert -1e-6 <= shares.min() < 0.01
        assert 0.99 < shares.max() <= 1 + 1e-6
        assert abs(shares.mean() - 0.5) < 0.03
    orders, counts = np.unique(parameters[jittered, COLUMNS["order"]], return_counts=True)
    assert orders.tolist() == list(range(24))
    assert counts.min() > 80


def test_probabilities_of_none_and_one_are_kept():
    never = one_group(1, 50, jitter=0.0, grey=0.0, blur=0.0)
    always = one_group(1, 50, jitter=1.0, grey=1.0, blur=1.0)
    made = [MultiCrop(one, 0).collate([MultiCrop(one, 0)(sample())]) for one in (never, always)]
    nothing, everything = (one.parameters[0] for one in made)
    assert torch.equal(nothing, torch.tensor(Parameters()).expand(50, -1))
    assert (everything[:, COLUMNS["order"]] >= 0).all()
    assert (everything[:, COLUMNS["grey"]] == 1).all()
    assert (everything[:, COLUMNS["blur_px"]] > 0).all()


def test_what_cannot_be_decoded_is_a_bad_sample():
    with pytest.raises(BadSample):
        MultiCrop(CONFIG, 0)(sample(PNG[: len(PNG) // 2]))
