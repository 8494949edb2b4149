"""Pretraining learns: the short form of `tests/benchmarks/learning.py`, on tiles of photographs."""

import math

import pytest
import torch

from tests.clutter import png_of
from tests.photo_tiles import photo_tiles
from tests.probing import knn, trunk_features
from tests.train_entry.datasets import make_dataset
from tests.train_entry.ranks import on_ranks
from train_entry.config import CONFIG_FOLDER, load_config
from train_entry.journal import JOURNAL_FILE, read_journal
from train_entry.loop import train
from train_entry.parallel import Ranks

NUM_GALLERY, NUM_QUERIES, STEPS, PROTOTYPES = 2_000, 1_000, 200, 100
MARGIN = 0.05


def _learn(told):
    """k-NN accuracy of a random trunk and of a trained one."""
    config = load_config(str(CONFIG_FOLDER / "clutter_cpu.yaml"), told)
    ranks = Ranks(0, 1, torch.device("cpu"))
    tiles, photos = photo_tiles(NUM_GALLERY + NUM_QUERIES)
    gallery, queries = tiles[:NUM_GALLERY], tiles[NUM_GALLERY:]
    labels, expected = torch.from_numpy(photos).split([NUM_GALLERY, NUM_QUERIES])
    accuracies = []
    for trained in (False, True):
        if trained:
            assert train(config, ranks)
        features = trunk_features(config, ranks, gallery, queries, trained)
        accuracies.append(knn(features[0], labels, features[1], expected))
    return accuracies


# A minute alone, several where cores are shared.
@pytest.mark.timeout(900)
def test_a_short_pretraining_lifts_k_nn_accuracy_over_a_random_network(tmp_path):
    tiles, _ = photo_tiles(NUM_GALLERY + NUM_QUERIES)
    files = [png_of(one) for one in tiles[:NUM_GALLERY]]
    make_dataset(tmp_path / "dataset", [files[at : at + 500] for at in range(0, NUM_GALLERY, 500)])
    output = tmp_path / "run"
    told = [f"data={tmp_path / 'dataset'}", f"output={output}", f"loader.cache={tmp_path}"]
    told += [f"optim.steps={STEPS}", f"swav.prototypes={PROTOTYPES}", "optim.warmup_steps=50"]
    ((random, trained),) = on_ranks(1, _learn, told, timeout_s=800)
    (*_, last) = read_journal(output / JOURNAL_FILE)
    # ln K is the loss of a network that has collapsed.
    assert last["loss"] < math.log(PROTOTYPES) - 0.1
    assert last["prototype_usage"] > 0.4
    assert trained > random + MARGIN
