"""A small run, and real steps of it, to hold plans against."""

from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from train_entry.config import TrainConfig, validated
from train_entry.crops import CropBatch, Parameters
from train_entry.parallel import Ranks, build_model
from train_entry.swav import SwAV
from train_entry.swav_step import SwavStep


def small_config(batch: int = 8, **sections) -> TrainConfig:
    groups = [(2, 64, 0.1, 1.0), (3, 32, 0.1, 0.5)]
    names = ("count", "px", "area_min", "area_max")
    values = {
        "output": "none",
        "data": {"dataset": "none", "batch": batch},
        "model": {"w_0": 16, "w_a": 10, "w_m": 2.5, "depth": 6, "group_width": 8},
        "crops": {"groups": [dict(zip(names, group, strict=True)) for group in groups]},
        "swav": {"hidden": [64], "dim": 16, "prototypes": 32},
    }
    return validated({**values, **sections}, "test")


def real_step(config: TrainConfig, model: SwAV, world: int = 1):
    """A function that computes the gradients of one step on this rank's share of made-up crops."""
    ranks, num_images = Ranks(0, world, torch.device("cpu")), config.data.batch // world
    shapes = [(group.count * num_images, group.px) for group in config.crops.groups]
    crops = CropBatch(
        tuple(torch.randint(256, (n, px, px, 3), dtype=torch.uint8) for n, px in shapes),
        tuple(torch.tensor([Parameters()] * n) for n, _ in shapes),
    )
    step = SwavStep(config, model, ranks)
    return lambda: step(config.swav.freeze_prototypes, crops)


@contextmanager
def one_rank(config: TrainConfig):
    """A real model of this process alone, as training builds it."""
    with _ranks(config, 1, "gloo", dist.HashStore()) as model:
        yield model


@contextmanager
def fake_ranks(config: TrainConfig, world: int):
    # torch's own fake backend: collectives return at once, so a single process sees its side.
    with _ranks(config, world, "fake", FakeStore()) as model:
        yield model


@contextmanager
def _ranks(config: TrainConfig, world: int, backend: str, store: dist.Store):
    threads = torch.get_num_threads()
    # With more, small tensors wait for each other where cores are shared.
    torch.set_num_threads(1)
    dist.init_process_group(backend, store=store, rank=0, world_size=world)
    try:
        yield build_model(config, Ranks(0, world, torch.device("cpu"))).train()
    finally:
        dist.destroy_process_group()
        torch.set_num_threads(threads)
