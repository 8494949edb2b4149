"""scikit-learn's digits as PNG files in memory, and an encoder that has seen nothing."""

import io
import json
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from sklearn.datasets import load_digits

from schemas.benchmarks.recipes import FineTune
from schemas.figures import EncoderRecord
from tests.train_entry.evaluation.image_lists import ImageList
from train_entry.evaluation import fine_tune as fine_tune_file
from train_entry.evaluation.encoder import Encoder, Network, Placement
from train_entry.evaluation.fine_tune import Tuning
from train_entry.evaluation.our_encoder import TappedTrunk, shard
from train_entry.family import RegNetConfig
from train_entry.initialize import initialize
from train_entry.parallel import Ranks

TINY = RegNetConfig(w_0=16, w_a=16, w_m=2, depth=2, group_width=8, stem_width=8)
RECIPE = FineTune(
    metric="top1",
    epochs=5,
    milestones=(4,),
    learning_rate=1.6,
    weight_decay=1e-4,
    batch=32,
    resize_px=16,
    crop_px=16,
    flip=False,
    color_distortion=False,
    blur=False,
)


def digits(begin, end, bad=()):
    """Some of them, black on white, 16 by 16 pixels."""
    known = load_digits()
    contents = []
    for place in range(begin, end):
        values = np.uint8(255 - known.images[place] * 15)
        target = io.BytesIO()
        Image.fromarray(values.repeat(2, axis=0).repeat(2, axis=1)).save(target, "PNG")
        contents.append(b"no image" if place in bad else target.getvalue())
    names = [f"{place:04d}.png" for place in range(begin, end)]
    return ImageList(names, contents, {"label": known.target[begin:end].tolist()})


def blank_encoder(ranks, **placement):
    """A trunk with its first weights."""
    trunk = TappedTrunk(TINY)
    initialize(trunk, 0)
    trunk.eval().requires_grad_(requires_grad=False)
    record = EncoderRecord(name="blank", sha256="0" * 64, num_parameters=1)
    return Encoder(Network(trunk, trunk, trunk.taps), record, Placement(ranks, **placement))


def weights(encoder):
    """All that a rank has of them."""
    state = encoder.network.module.state_dict()
    local = {name: getattr(one, "_local_tensor", one) for name, one in state.items()}
    return {name: one.clone() for name, one in local.items()}


def same_weights(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def tune_on_a_rank(folder):
    """With weights whole, then spread: losses, scores, and whether all was put back."""
    torch.set_num_threads(1)
    return [tuned(f"{folder}/{spread}", spread) for spread in (False, True)]


def tuned(folder, spread=False):
    """The same of one of them, of a short fine-tuning by the ranks that are there."""
    recipe = RECIPE.model_copy(update={"epochs": 2, "learning_rate": 0.1, "weight_decay": 1e-3})
    with joined(spread) as encoder:
        before = weights(encoder)
        found = scores_of(recipe, encoder, digits(0, 130, bad=(7,)), digits(130, 175), folder)
        losses = json.loads(next(Path(folder).rglob("run.json")).read_text())["losses"]
        return losses, found, same_weights(before, weights(encoder))


@contextmanager
def joined(spread):
    """An encoder on the ranks whose process group is there."""
    ranks = Ranks(dist.get_rank(), dist.get_world_size(), torch.device("cpu"))
    encoder = blank_encoder(ranks, shard=spread)
    if spread:
        shard(encoder.network.module, ranks)
    yield encoder


def scores_of(recipe, encoder, train, test, folder, **tuning):
    """The scores [N, K] that the figures are made of."""
    seen = []

    def keep(metric, scores_NK, *others):
        seen.append(scores_NK)
        return []

    with patch.object(fine_tune_file, "classification_scores", keep):
        fine_tune_file.fine_tune(recipe, encoder, train, [test], Tuning(Path(folder), **tuning))
    return seen[0]
