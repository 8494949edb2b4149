import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from train_entry.errors import DataError
from train_entry.evaluation import rmac
from train_entry.evaluation.rmac import (
    Description,
    aggregate,
    learn_whitening,
    region_boxes,
    regions,
)
from train_entry.evaluation.scores import Features

SIDES = st.integers(1, 40)


def sample(num, num_regions, channels, seed=0):
    """Regions whose channels vary to different degrees, and together."""
    generator = np.random.default_rng(seed)
    mixed = generator.normal(size=(channels, channels)) * np.linspace(0.2, 2, channels)
    values = generator.normal(size=(num, num_regions, channels)) @ mixed + 1
    return torch.from_numpy(values.astype(np.float32))


def unit(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def test_regions_of_a_square_map_lie_as_published():
    # Computed by hand for the map of stage 3 of 224 pixels, 14 by 14.
    level_2 = [(top, left, 9) for top in (0, 5) for left in (0, 5)]
    level_3 = [(top, left, 7) for top in (0, 3, 7) for left in (0, 3, 7)]
    assert region_boxes(14, 14, 3) == [(0, 0, 14), *level_2, *level_3]


def test_a_longer_side_has_as_many_more_regions_as_share_two_fifths():
    # Two squares of 10 on 16 share 4 of 10 columns.
    assert region_boxes(10, 16, 1) == [(0, 0, 10), (0, 6, 10)]
    assert region_boxes(16, 10, 1) == [(0, 0, 10), (6, 0, 10)]
    # On 30 columns there are four, 20 / 3 columns apart.
    assert [left for _, left, _ in region_boxes(10, 30, 1)] == [0, 6, 13, 20]


@given(SIDES, SIDES, st.integers(1, 4))
def test_regions_stay_on_the_map_reach_its_edges_and_turn_with_it(height, width, levels):
    boxes = region_boxes(height, width, levels)
    assert all(0 <= top <= height - side for top, _, side in boxes)
    assert all(0 <= left <= width - side for _, left, side in boxes)
    assert {0, height} <= {top for top, _, _ in boxes} | {top + side for top, _, side in boxes}
    assert {0, width} <= {left for _, left, _ in boxes} | {left + side for _, left, side in boxes}
    turned = [(left, top, side) for top, left, side in region_boxes(width, height, levels)]
    assert sorted(turned) == sorted(boxes)


def test_regions_have_the_largest_value_of_each_channel():
    map_BCHW = torch.randn(2, 3, 7, 5, generator=torch.Generator().manual_seed(0))
    found = regions(map_BCHW, 3)
    boxes = region_boxes(7, 5, 3)
    assert found.shape == (2, len(boxes), 3)
    for image in range(2):
        for place, (top, left, side) in enumerate(boxes):
            rows = map_BCHW[image, :, top : top + side, left : left + side].numpy()
            np.testing.assert_array_equal(found[image, place], rows.reshape(3, -1).max(axis=1))


def test_a_map_of_one_pixel_is_one_region():
    assert regions(torch.ones(1, 4, 1, 1), 3).tolist() == [[[1.0] * 4]]


@pytest.mark.parametrize("num", [60, 3])
def test_the_whitening_is_the_one_of_scikit_learn(num):
    # 3 images have 12 regions, fewer than channels: that is another way of computing it.
    features = sample(num, 4, 16)
    found = learn_whitening(features, 6)
    rows = unit(features.double().numpy()).reshape(-1, 16)
    reference = PCA(6, whiten=True, svd_solver="full").fit(rows)
    whitened = (rows - found.mean.numpy()) @ found.projection.numpy()
    wanted = reference.transform(rows)
    # Theirs are divided by one less than the number of rows; either sign is as good.
    wanted *= (len(rows) / (len(rows) - 1)) ** 0.5
    wanted *= np.sign((whitened * wanted).sum(axis=0))
    np.testing.assert_allclose(whitened, wanted, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(whitened.T @ whitened / len(rows), np.eye(6), atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.booleans())
def test_the_whitening_does_not_depend_on_blocks(rows, few):
    features = sample(2 if few else 9, 3, 8)
    whole = learn_whitening(features, 4)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(rmac, "_BLOCK_VALUES", rows * 24)
        found = learn_whitening(features, 4)
        np.testing.assert_allclose(found.projection, whole.projection, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(
            aggregate(features, found), aggregate(features, whole), rtol=1e-5, atol=1e-6
        )


def test_the_same_images_give_the_same_bits():
    features = sample(9, 3, 8)
    first, second = learn_whitening(features, 4), learn_whitening(features.clone(), 4)
    assert torch.equal(first.projection, second.projection)


def test_the_whitening_has_no_more_dimensions_than_its_images_vary_in():
    # Two images with four regions each vary in seven directions around their mean.
    assert learn_whitening(sample(2, 4, 16), 16).dimensions == 7
    flat = sample(20, 4, 16)
    flat[..., 8:] = 0
    assert learn_whitening(flat, 16).dimensions == 8


def test_small_variances_are_raised_to_a_share_of_the_largest():
    features = sample(200, 1, 4)[:, 0]
    features[:, 3] = 1e-4 * features[:, 3]
    found = learn_whitening(features, 4)
    rows = unit(features.double().numpy())
    whitened = (rows - found.mean.numpy()) @ found.projection.numpy()
    spread = whitened.std(axis=0)
    np.testing.assert_allclose(spread[:2], 1, rtol=1e-6)
    largest = np.linalg.eigvalsh(np.cov(rows.T, bias=True)).max()
    smallest = np.linalg.eigvalsh(np.cov(rows.T, bias=True)).min()
    assert smallest < 1e-5 * largest
    assert spread[3] == pytest.approx((smallest / (1e-5 * largest)) ** 0.5, rel=1e-3)


@pytest.mark.parametrize(
    ("features", "told"),
    [(torch.ones(5, 2, 4), "regions that differ, got 10"), (torch.zeros(0, 2, 4), "images to")],
)
def test_images_that_do_not_vary_are_refused(features, told):
    with pytest.raises(DataError, match=f"whitening: expected {told}"):
        learn_whitening(features, 2)


def test_an_image_is_the_sum_of_its_whitened_regions():
    features = sample(30, 5, 8)
    whitening = learn_whitening(features, 3)
    rows = unit(features.double().numpy())
    plain = unit(rows.sum(axis=1))
    np.testing.assert_allclose(aggregate(features), plain, rtol=1e-5, atol=1e-6)
    whitened = unit((rows - whitening.mean.numpy()) @ whitening.projection.numpy())
    wanted = unit(whitened.sum(axis=1))
    np.testing.assert_allclose(aggregate(features, whitening), wanted, rtol=1e-5, atol=1e-6)
    # One region an image is that region.
    single = unit(features[:, 0].double().numpy())
    np.testing.assert_allclose(aggregate(features[:, 0]), single, rtol=1e-5, atol=1e-6)


def test_a_description_takes_the_regions_of_its_levels_and_tells_its_whitening():
    features = sample(30, 14, 8)
    part = Features([str(one) for one in range(30)], {"regions": features}, {})
    plain = Description.of("regions", 2, None, 4)
    assert plain.told == "not whitened"
    assert torch.equal(plain.vectors(part), aggregate(features[:, :5]))
    whitened = Description.of("regions", 3, part, 4)
    assert whitened.told == "whitened to 4 dimensions"
    assert torch.equal(whitened.vectors(part), aggregate(features, learn_whitening(features, 4)))
    assert Description.of("regions", 3, part, 20).told == "whitened to 8 of 20 dimensions"


def test_features_without_regions_are_left_as_they_are():
    pool = sample(30, 1, 8)[:, 0]
    part = Features([str(one) for one in range(30)], {"pool": pool}, {})
    assert Description.of("pool", 3, None, 4).vectors(part) is pool
    assert Description.of("pool", 3, part, 4).vectors(part).shape == (30, 4)
