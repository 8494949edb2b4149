import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.train_entry.evaluation.digit_images import RECIPE
from tests.train_entry.evaluation.image_lists import ImageList
from train_entry.crops import Parameters
from train_entry.errors import ConfigError
from train_entry.evaluation.batches import load_ahead
from train_entry.evaluation.encoder import IMAGENET_MEAN, IMAGENET_STD
from train_entry.evaluation.fine_tune_data import (
    GREY,
    TrainingBatches,
    TrainingSet,
    crops_of,
)
from train_entry.evaluation.transforms import Transform

DISTORTED = RECIPE.model_copy(
    update={"batch": 8, "flip": True, "color_distortion": True, "blur": True}
)


def batches_of(images, recipe=DISTORTED, rank=0, world=1):
    # Each image is a class of its own, so that labels tell which ones a batch has.
    training = TrainingSet(images, np.arange(len(images.names)))
    crops = crops_of(recipe, IMAGENET_MEAN, IMAGENET_STD)
    return TrainingBatches(recipe, training, crops, rank, world), training.num_batches(recipe.batch)


def test_an_epoch_has_each_image_once_in_batches_of_one_size_but_for_one_image():
    batches, count = batches_of(ImageList.of(21))
    shown = [batches[3, number] for number in range(count)]
    assert sorted(len(one.labels) for one in shown) == [7, 7, 7]
    assert all(one.num_images == len(one.labels) for one in shown)
    labels = torch.cat([one.labels for one in shown]).tolist()
    assert sorted(labels) == list(range(21))
    assert labels != list(range(21))
    others = torch.cat([batches[4, number].labels for number in range(count)]).tolist()
    assert sorted(others) == list(range(21))
    assert others != labels


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_only_divide_a_batch(world):
    images = ImageList.of(23)
    whole, count = batches_of(images)
    parts = [batches_of(images, rank=rank, world=world)[0] for rank in range(world)]
    for key in [(epoch, number) for epoch in (0, 1) for number in range(count)]:
        wanted, found = whole[key], [part[key] for part in parts]
        for name in ("pixels", "parameters", "labels"):
            together = torch.cat([getattr(one, name) for one in found])
            assert torch.equal(together, getattr(wanted, name)), name
        assert {one.num_images for one in found} == {wanted.num_images}


def test_an_image_looks_different_in_each_epoch_and_the_same_whenever_it_is_asked_for():
    batches, _ = batches_of(ImageList.of(8))
    first, again, later = batches[0, 0], batches[0, 0], batches[1, 0]
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.parameters, again.parameters)
    places, others = first.labels.argsort(), later.labels.argsort()
    assert not torch.equal(first.pixels[places], later.pixels[others])
    assert not torch.equal(first.parameters[places], later.parameters[others])


def test_more_ranks_than_images_of_a_batch_are_refused():
    with pytest.raises(ConfigError, match="expected batches of at least 4 images, got 3"):
        batches_of(ImageList.of(3), world=4)


def test_an_image_that_cannot_be_decoded_is_grey_and_counted():
    batches, _ = batches_of(ImageList.of(6, bad=(2, 5)))
    batch = batches[0, 0]
    assert batch.num_bad == 2
    grey = torch.isin(batch.labels, torch.tensor([2, 5]))
    assert (batch.pixels[grey] == GREY).all()
    assert not (batch.pixels[~grey] == GREY).flatten(1).all(dim=1).any()


def test_colours_are_left_alone_where_the_recipe_says_so():
    plain = DISTORTED.model_copy(update={"color_distortion": False, "blur": False})
    batches, _ = batches_of(ImageList.of(40), plain.model_copy(update={"batch": 64}))
    assert torch.equal(batches[0, 0].parameters, torch.tensor([Parameters()] * 40))
    batches, _ = batches_of(ImageList.of(40), DISTORTED.model_copy(update={"batch": 64}))
    shares = dict(zip(Parameters._fields, batches[0, 0].parameters.T, strict=True))
    assert 0.5 < (shares["order"] >= 0).float().mean() < 1
    assert 0 < shares["grey"].mean() < 0.5
    assert 0.2 < (shares["blur_px"] > 0).float().mean() < 0.8


def test_pixels_are_those_of_the_view_of_the_epoch():
    images = ImageList.of(5)
    batch = batches_of(images)[0][2, 0]
    transform = replace(Transform.of(DISTORTED), view=3)
    for pixels, place in zip(batch.pixels, batch.labels.tolist(), strict=True):
        wanted = transform(images.content(place), images.names[place])
        assert np.array_equal(pixels.numpy(), wanted)


def test_a_copy_in_a_worker_process_gives_the_same_batches():
    batches, count = batches_of(ImageList.of(20))
    copy = pickle.loads(pickle.dumps(batches))
    keys = [(epoch, number) for epoch in (0, 1) for number in range(count)]
    loaded = load_ahead(batches, keys, 0, pin_memory=False)
    for key, found in zip(keys, loaded, strict=True):
        assert torch.equal(found.pixels, copy[key].pixels)
        assert torch.equal(found.labels, copy[key].labels)
