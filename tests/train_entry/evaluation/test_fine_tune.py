import json
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import nn

from tests.train_entry.evaluation.digit_images import (
    RECIPE,
    blank_encoder,
    digits,
    joined,
    same_weights,
    scores_of,
    tune_on_a_rank,
    tuned,
    weights,
)
from tests.train_entry.evaluation.image_lists import ImageList
from tests.train_entry.ranks import on_ranks
from train_entry.errors import CheckpointError, DataError, Diverged
from train_entry.evaluation.fine_tune import Tuning, fine_tune
from train_entry.evaluation.fine_tune_model import TunedModel
from train_entry.evaluation.together import Unreadable
from train_entry.parallel import joined_ranks
from train_entry.swav import RowNorm

SHORT = RECIPE.model_copy(update={"epochs": 3, "milestones": (2,)})


@pytest.fixture
def ranks():
    torch.set_num_threads(1)
    with joined_ranks("cpu") as ranks:
        yield ranks


@dataclass(frozen=True)
class Interrupted(ImageList):
    """Images that cannot be read any more after a while."""

    num_reads: int = 0
    read: list = field(default_factory=list)

    def content(self, place):
        self.read.append(place)
        if len(self.read) > self.num_reads:
            raise KeyboardInterrupt
        return super().content(place)


def losses_in(folder):
    return json.loads(next(folder.rglob("run.json")).read_text())["losses"]


def test_an_encoder_that_knows_nothing_learns_digits_and_is_left_as_it_was(ranks, tmp_path):
    encoder, train = blank_encoder(ranks), digits(0, 600)
    tests = [digits(600, 800), digits(800, 850)]
    before = weights(encoder)
    found = fine_tune(RECIPE, encoder, train, tests, Tuning(tmp_path))
    assert [(one[0].metric, one[0].num_images) for one in found] == [("top1", 200), ("top1", 50)]
    # Chance is 0.1.
    assert found[0][0].value > 0.7
    assert found[0][0].setting == "16 px"
    assert losses_in(tmp_path)[-1] < losses_in(tmp_path)[0] - 0.4
    assert same_weights(before, weights(encoder))
    # All of it is there now: no training image is read again.
    unread = Interrupted(train.names, train.contents, train.fields)
    assert fine_tune(RECIPE, encoder, unread, tests, Tuning(tmp_path)) == found


def test_two_ranks_find_what_one_finds_with_weights_whole_or_spread(ranks, tmp_path):
    losses, scores, put_back = tuned(str(tmp_path / "alone"))
    assert put_back
    for of_rank in on_ranks(2, tune_on_a_rank, str(tmp_path / "two")):
        for own_losses, own_scores, put_back in of_rank:
            assert put_back
            assert own_losses == pytest.approx(losses, abs=1e-5)
            torch.testing.assert_close(own_scores, scores, rtol=1e-3, atol=1e-4)


def test_an_interrupted_training_goes_on_and_ends_with_the_same_bits(ranks, tmp_path):
    encoder, train, test = blank_encoder(ranks), digits(0, 96), digits(96, 120)
    recipe = SHORT.model_copy(update={"color_distortion": True, "blur": True, "flip": True})
    whole = scores_of(recipe, encoder, train, test, tmp_path / "whole")
    stopped = Interrupted(train.names, train.contents, train.fields, num_reads=150)
    with pytest.raises(KeyboardInterrupt):
        scores_of(recipe, encoder, stopped, test, tmp_path / "stopped")
    assert len(losses_in(tmp_path / "stopped")) == 1
    resumed = scores_of(recipe, encoder, train, test, tmp_path / "stopped")
    assert losses_in(tmp_path / "stopped") == losses_in(tmp_path / "whole")
    assert torch.equal(resumed, whole)


def told_of_files_that_are_gone(folder):
    """Why neither training nor testing can be done, and the scores once they can."""
    train, test, told = digits(0, 64), digits(64, 110), []
    with joined(spread=False) as encoder:
        for pair in ((replace(train, gone=(3,)), test), (train, replace(test, gone=(40,)))):
            with pytest.raises(Unreadable) as caught:
                scores_of(SHORT, encoder, *pair, folder)
            told.append(str(caught.value))
        return told, scores_of(SHORT, encoder, train, test, folder)


def test_all_ranks_are_told_of_a_file_that_one_cannot_read_and_are_together_again(ranks, tmp_path):
    (one, found), (two, found_too) = on_ranks(2, told_of_files_that_are_gone, str(tmp_path))
    assert one == two
    expected = "expected an image, got no such file"
    assert one == [f"0003.png: {expected}", f"0104.png: {expected}"]
    assert torch.equal(found, found_too)


def test_a_folder_of_another_recipe_is_refused(ranks, tmp_path):
    encoder, train, test = blank_encoder(ranks), digits(0, 32), digits(32, 40)
    recipe = SHORT.model_copy(update={"epochs": 1})
    scores_of(recipe, encoder, train, test, tmp_path)
    other = recipe.model_copy(update={"learning_rate": 0.1})
    with pytest.raises(CheckpointError, match=r"expected fine-tuning .* got"):
        scores_of(other, encoder, train, test, tmp_path)


def test_a_loss_that_is_no_number_ends_it(ranks, tmp_path):
    recipe = SHORT.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(Diverged, match="expected a loss, got nan"):
        scores_of(recipe, blank_encoder(ranks), digits(0, 64), digits(64, 70), tmp_path)


def test_labels_that_nobody_knows_are_refused_before_anything_is_trained(ranks, tmp_path):
    test = replace(digits(64, 70), fields={"label": ["zero"] * 6})
    with pytest.raises(DataError, match=r"such as 0, got 'zero'"):
        scores_of(SHORT, blank_encoder(ranks), digits(0, 64), test, tmp_path)
    assert not list(tmp_path.iterdir())


def test_several_labels_of_an_image_are_refused(ranks, tmp_path):
    train = replace(digits(0, 4), fields={"label": [1, 2, (3, 4), 5]})
    with pytest.raises(DataError, match=r"expected one class an image, got \(3, 4\)"):
        fine_tune(SHORT, blank_encoder(ranks), train, [train], Tuning(tmp_path))


def test_a_kept_layer_of_the_head_stands_between_trunk_and_classifier(ranks, tmp_path):
    recipe = SHORT.model_copy(update={"keep_head": True, "epochs": 1})
    encoder, train, test = blank_encoder(ranks), digits(0, 64), digits(64, 70)
    width = encoder.encode(torch.zeros((1, 16, 16, 3), dtype=torch.uint8))["pool"].shape[1]
    head = nn.Sequential(nn.Linear(width, 5), RowNorm(5), nn.ReLU())
    first = head[0].weight.detach().clone()
    scores_of(recipe, encoder, train, test, tmp_path / "kept", head=lambda: head)
    assert not torch.equal(head[0].weight, first)
    found = fine_tune(recipe, encoder, train, [test], Tuning(tmp_path / "none"))
    assert found[0][0].setting == "16 px, no pretraining head to keep"


def test_the_classifier_is_drawn_by_the_seed_and_batch_norms_do_not_decay(ranks):
    encoder = blank_encoder(ranks)
    model = TunedModel(encoder.network, encoder.placement, None, 16)
    drawn = []
    for seed in (1, 1, 2):
        model.add_classifier(10, seed)
        drawn.append(model.classifier.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert drawn[0].std().item() == pytest.approx(0.01, rel=0.2)
    decays = {
        id(one): group["weight_decay"] for group in model.groups(0.5) for one in group["params"]
    }
    assert len(decays) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert decays[id(parameter)] == (0.0 if ".norm." in name else 0.5), name
