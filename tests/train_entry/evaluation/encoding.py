"""Checkpoints of a small run, and where to compute."""

import json
import warnings
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import nn

from tests.train_entry.planning import small_config
from train_entry.evaluation.encoder import Placement
from train_entry.parallel import Ranks
from train_entry.record import run_record
from train_entry.swav import SwAV

ALONE = Placement(Ranks(0, 1, torch.device("cpu")))
ROOT, TOMBSTONES = "ab" * 32, {"tombstones-1.parquet": "cd" * 32}


def small_model(seed=0, **sections):
    """A model as a run has it: batch statistics are not what they were at first."""
    config = small_config(**sections)
    torch.manual_seed(seed)
    model = SwAV(config.model, config.swav)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return config, model


def save_checkpoint(run: Path, step=30, seed=0, **sections):
    """A checkpoint of a run that read the data of `ROOT`; its folder."""
    config, model = small_model(seed, **sections)
    folder = run / "checkpoints" / f"step-{step:08d}"
    folder.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        dcp.save({"model": model.state_dict()}, checkpoint_id=folder, no_dist=True)
    record = {"step": step, **run_record(config, {"root": ROOT}, 1, TOMBSTONES)}
    (folder / "run.json").write_text(json.dumps(record))
    return folder
