import colorsys
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch.overrides import TorchFunctionMode

from train_entry.augment import augment, normalised
from train_entry.config import CropsConfig
from train_entry.crops import Parameters

# Without normalisation what comes out is 0 to 1.
PLAIN = CropsConfig(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
ORDERS = list(permutations(range(4)))
FACTORS = list(enumerate(["brightness", "contrast", "saturation"]))
GREY = np.array([0.299, 0.587, 0.114])
EXACT = 2e-6


def noise(batch=1, height=12, width=10, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


def augmented(images, parameters, config=PLAIN):
    """What becomes of uint8 [B, H, W, 3], as float64 [B, H, W, 3]."""
    rows = torch.tensor(parameters, dtype=torch.float32)
    changed = augment(torch.from_numpy(images), rows, config)
    return changed.permute(0, 2, 3, 1).double().numpy()


def by_hand(image, parameters, config=PLAIN):
    """The same of one image, in float64, pixel by pixel where that is the definition."""
    p = Parameters(*(float(np.float32(value)) for value in parameters))
    x = image / 255.0
    changes = [
        lambda x: np.clip(x * p.brightness, 0, 1),
        lambda x: blend((x @ GREY).mean(), x, p.contrast),
        lambda x: blend((x @ GREY)[..., None], x, p.saturation),
        lambda x: shifted_hue(x, p.hue),
    ]
    for number in ORDERS[int(p.order)] if p.order >= 0 else ():
        x = changes[number](x)
    if p.grey:
        x = np.repeat((x @ GREY)[..., None], 3, axis=-1)
    if p.blur_px:
        x = blurred(x, p.blur_px, round(3 * config.blur_max_px))
    return (x - config.mean) / config.std


def blend(start, end, factor):
    return np.clip(start + factor * (end - start), 0, 1)


def shifted_hue(x, turns):
    def one(colour):
        hue, saturation, value = colorsys.rgb_to_hsv(*colour)
        return colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)

    return np.apply_along_axis(one, -1, x)


def blurred(x, deviation, reach):
    return gaussian_filter(x, deviation, mode="nearest", radius=reach, axes=(0, 1))


def order_of(first):
    """An order that begins with this change; the others are neutral then."""
    return float(next(number for number, order in enumerate(ORDERS) if order[0] == first))


def unit(low, high):
    return st.floats(low, high, width=32)


rows = st.builds(
    Parameters,
    unit(0, 2),
    unit(0, 2),
    unit(0, 2),
    unit(-0.5, 0.5),
    st.integers(-1, 23).map(float),
    st.sampled_from([0.0, 1.0]),
    st.one_of(st.just(0.0), unit(0.125, 2)),
)


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7, 2.0])
@pytest.mark.parametrize(("number", "name"), FACTORS)
def test_a_factor_does_what_its_definition_says(number, name, factor):
    images = noise()
    parameters = Parameters(order=order_of(number))._replace(**{name: factor})
    found = augmented(images, [parameters])[0]
    assert np.abs(found - by_hand(images[0], parameters)).max() < EXACT


def test_factors_of_zero_give_black_mean_grey_and_grey():
    images = noise()
    grey = images[0] / 255 @ GREY
    black, mean, colourless = (
        augmented(images, [Parameters(order=order_of(number))._replace(**{name: 0.0})])[0]
        for number, name in FACTORS
    )
    assert not black.any()
    assert np.abs(mean - grey.mean()).max() < EXACT
    assert np.abs(colourless - grey[..., None]).max() < EXACT


@pytest.mark.parametrize("turns", [-0.5, -0.2, -1 / 6, 0.0, 1 / 12, 1 / 3, 0.5])
def test_hue_turns_as_in_colorsys(turns):
    corners = np.array([0, 1, 127, 128, 254, 255], np.uint8)
    images = np.stack(np.meshgrid(corners, corners, corners), axis=-1).reshape(1, 12, 18, 3)
    parameters = Parameters(hue=turns, order=order_of(3))
    found = augmented(images, [parameters])[0]
    assert np.abs(found - by_hand(images[0], parameters)).max() < EXACT


def test_a_third_of_a_turn_makes_red_green():
    images = np.full((1, 2, 2, 3), (255, 0, 0), np.uint8)
    found = augmented(images, [Parameters(hue=1 / 3, order=order_of(3))])
    assert np.abs(found - [0, 1, 0]).max() < EXACT


@pytest.mark.parametrize("order", range(24))
def test_changes_are_made_in_the_order_drawn(order):
    images = noise(seed=order)
    parameters = Parameters(1.6, 0.4, 1.8, 0.1, float(order))
    found = augmented(images, [parameters])[0]
    assert np.abs(found - by_hand(images[0], parameters)).max() < EXACT


def test_orders_differ():
    images = np.repeat(noise(), 24, axis=0)
    found = augmented(images, [Parameters(1.6, 0.4, 1.8, 0.1, float(k)) for k in range(24)])
    assert len({one.tobytes() for one in found}) == 24


def test_grey_is_bt_601_in_all_channels():
    images = noise()
    found = augmented(images, [Parameters(grey=1.0)])[0]
    assert np.abs(found - (images[0] / 255 @ GREY)[..., None]).max() < EXACT


@pytest.mark.parametrize("deviation", [0.1, 0.5, 1.0, 1.9, 2.0])
@pytest.mark.parametrize("size", [(1, 1), (3, 40), (33, 20)])
def test_blur_is_that_of_scipy(deviation, size):
    images = noise(1, *size)
    found = augmented(images, [Parameters(blur_px=deviation)])[0]
    expected = blurred(images[0] / 255, float(np.float32(deviation)), 6)
    assert np.abs(found - expected).max() < EXACT


def test_each_crop_is_blurred_by_its_own_deviation():
    images = np.repeat(noise(height=30, width=30), 4, axis=0)
    deviations = [0.4, 0.0, 2.0, 1.0]
    found = augmented(images, [Parameters(blur_px=one) for one in deviations])
    for one, deviation in zip(found, deviations, strict=True):
        expected = images[0] / 255
        expected = blurred(expected, float(np.float32(deviation)), 6) if deviation else expected
        assert np.abs(one - expected).max() < EXACT


@given(st.lists(rows, min_size=1, max_size=6), st.integers(0, 2**32))
def test_a_batch_equals_its_images_by_hand(parameters, seed):
    config, images = CropsConfig(), noise(len(parameters), 7, 9, seed)
    found = augmented(images, parameters, config)
    for one, image, row in zip(found, images, parameters, strict=True):
        # Divided by 0.22, and more where colours are strongly spread.
        assert np.abs(one - by_hand(image, row, config)).max() < 5e-5


@given(st.lists(rows, min_size=1, max_size=6))
def test_a_batch_changes_no_image(parameters):
    images = noise(len(parameters), 7, 9)
    together = augmented(images, parameters)
    for number, row in enumerate(parameters):
        alone = augmented(images[number : number + 1], [row])[0]
        assert np.abs(together[number] - alone).max() <= 1e-6


def test_neutral_parameters_change_nothing_but_the_scale():
    config, images = CropsConfig(), noise(3)
    expected = (images / 255 - config.mean) / config.std
    for order in (-1.0, 0.0, 23.0):
        found = augmented(images, [Parameters(order=order)] * 3, config)
        assert np.abs(found - expected).max() < 1e-5
    whole = normalised(torch.from_numpy(images), config)
    assert np.abs(whole.permute(0, 2, 3, 1).numpy() - expected).max() < 1e-5
    assert torch.equal(
        whole, augment(torch.from_numpy(images), torch.tensor([Parameters()] * 3), config)
    )


@given(st.lists(rows, min_size=1, max_size=4))
def test_values_stay_between_black_and_white(parameters):
    found = augmented(noise(len(parameters)), parameters)
    assert found.min() >= -EXACT
    assert found.max() <= 1 + EXACT


def test_grey_pixels_have_no_hue_to_shift():
    images = np.repeat(noise()[..., :1], 3, axis=-1)
    found = augmented(images, [Parameters(hue=0.3, order=order_of(3))])
    assert np.isfinite(found).all()
    assert np.abs(found - images / 255).max() < EXACT


def test_the_result_is_float32_channels_last_and_leaves_its_input():
    images = torch.from_numpy(noise(5))
    before = images.clone()
    parameters = torch.tensor([Parameters(0.5, 1.2, 0.3, 0.1, 4.0, 1.0, 1.0)] * 5)
    for changed in (augment(images, parameters, PLAIN), normalised(images, PLAIN)):
        assert changed.shape == (5, 3, 12, 10)
        assert changed.dtype == torch.float32
        assert changed.is_contiguous(memory_format=torch.channels_last)
        assert not changed.requires_grad
    assert torch.equal(images, before)


class NoWaiting(TorchFunctionMode):
    """Refuses what would make the host wait for a device: here "meta", which has no values."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        tensors = [one for one in args if isinstance(one, torch.Tensor)]
        if isinstance(result, torch.Tensor) and result.is_meta:
            # Made of values of the host: by `new_tensor`, `torch.tensor` or a copy.
            assert function.__name__ not in ("new_tensor", "tensor", "as_tensor", "cuda")
            copied = function.__name__ == "to" and not tensors[0].is_meta
            assert not copied or kwargs.get("non_blocking")
        return result


def test_the_host_never_waits_for_the_device():
    images = torch.zeros(4, 12, 10, 3, dtype=torch.uint8, device="meta")
    jittered = torch.tensor([Parameters(0.5, 1.2, 0.3, 0.1, k, k % 2, k / 2) for k in range(4)])
    with NoWaiting():
        # `item`, `nonzero` and the like fail by themselves where there are no values.
        assert augment(images, jittered, CropsConfig()).is_meta
        assert normalised(images, CropsConfig()).is_meta
        with pytest.raises(AssertionError):
            images.new_tensor([1, 2])
        with pytest.raises(AssertionError):
            jittered.to("meta")


def test_an_empty_batch_is_augmented():
    images, parameters = torch.zeros(0, 8, 8, 3, dtype=torch.uint8), torch.zeros(0, 7)
    assert augment(images, parameters, PLAIN).shape == (0, 3, 8, 8)
