"""A RegNet of ours as an encoder: from a run, one of its checkpoints, or an exported file.

B images, C channels, H and W pixels. Taps, as SEER has them: `pool`, the average over the last map;
`stage3_2x1` and the like, averages over halves of a stage's map, top and bottom or left and right;
`stage3_regions`, the largest values in R-MAC's regions. A trunk with more or fewer stages than four
counts from its end: stage 4 is the last one.
"""

import json
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.functional import adaptive_avg_pool2d, relu

from schemas.figures import EncoderRecord
from train_entry.checkpoint import FOLDER, RUN_FILE, read_run
from train_entry.convert import ALL_NAMES, Names, load_trunk
from train_entry.errors import CheckpointError
from train_entry.evaluation.encoder import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    POOL,
    Encoder,
    Network,
    Placement,
    Rgb,
    weights_sha256,
)
from train_entry.evaluation.rmac import regions
from train_entry.export import TRUNK, load_exported
from train_entry.family import RegNetConfig
from train_entry.parallel import Ranks
from train_entry.regnet import RegNet

REGIONS, REGION_LEVELS = "stage3_regions", 3
_HALVES = {"2x1": (2, 1), "1x2": (1, 2)}
_OF_STAGE = {
    f"stage{stage}_{name}": (stage, size) for stage in (3, 4) for name, size in _HALVES.items()
}
TAPS = (POOL, *_OF_STAGE, REGIONS)
_COLOURS = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
_OPTIONAL = ".num_batches_tracked"


class TappedTrunk(nn.Module):
    """A trunk that gives features of several places."""

    def __init__(self, config: RegNetConfig) -> None:
        super().__init__()
        self.trunk = RegNet(config)

    @property
    def taps(self) -> tuple[str, ...]:
        """All there are; of stage 3 only if there are two stages."""
        kept = len(self.trunk.stages) > 1
        return tuple(tap for tap in TAPS if kept or not tap.startswith("stage3"))

    def forward(self, images_BCHW: Tensor, taps: Collection[str]) -> dict[str, Tensor]:
        """Features by tap, float32: [B, C], of halves [B, 2 * C], of regions [B, R, C]."""
        x = relu(self.trunk.stem(images_BCHW))
        found: dict[str, Tensor] = {}
        last = len(self.trunk.stages)
        for number, stage in enumerate(self.trunk.stages, start=1):
            x = stage(x)
            found |= _of_stage(x, 4 - last + number, taps)
        if POOL in taps:
            found[POOL] = x.float().mean(dim=(2, 3))
        return found


def _of_stage(map_BCHW: Tensor, stage: int, taps: Collection[str]) -> dict[str, Tensor]:
    found = {
        tap: adaptive_avg_pool2d(map_BCHW.float(), size).flatten(1)
        for tap, (of, size) in _OF_STAGE.items()
        if of == stage and tap in taps
    }
    if stage == 3 and REGIONS in taps:
        found[REGIONS] = regions(map_BCHW.float(), REGION_LEVELS)
    return found


@dataclass(frozen=True)
class _Run:
    """What is known of a model's training."""

    name: str
    config: RegNetConfig
    step: int | None
    merkle_root: str | None
    tombstones: dict[str, str]
    mean: Rgb
    std: Rgb


def load_ours(path: Path, placement: Placement) -> Encoder:
    """The encoder of a run's newest checkpoint, of one checkpoint, or of an exported file.

    Collective if it is to be sharded. Raises CheckpointError.
    """
    if path.suffix == ".safetensors":
        return _exported(path, placement)
    folder = checkpoint_folder(path)
    run = _run(_name(folder), read_run(folder))
    net = _placed(run.config, placement)
    tensors = {f"{TRUNK}{name}": tensor for name, tensor in net.trunk.state_dict().items()}
    with warnings.catch_warnings():
        # A rank that needs all of it is told each time that it reads alone.
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        try:
            load(tensors, storage_reader=FileSystemReader(folder), no_dist=not placement.shard)
        except (OSError, RuntimeError, ValueError, KeyError, CheckpointException) as error:
            raise CheckpointError(f"{folder}: expected the trunk of its run: {error}") from error
    return _encoder(net, run, placement)


def checkpoint_folder(path: Path) -> Path:
    """A checkpoint itself, or the newest one of a run's folder; raises CheckpointError."""
    if (path / RUN_FILE).exists():
        return path
    found = sorted((path / FOLDER).glob("step-????????"))
    if not found:
        raise CheckpointError(
            f"{path}: expected a checkpoint with {RUN_FILE}, a run with {FOLDER}/step-..., or an "
            "exported .safetensors file, got none of them"
        )
    return found[-1]


def _exported(path: Path, placement: Placement) -> Encoder:
    try:
        tensors, told = load_exported(path)
    except Exception as error:  # the library has a class of its own for each of its versions
        raise CheckpointError(f"{path}: expected an exported model, got {error}") from error
    run = _run(path.stem, _parsed(told, path))
    names: Names = next((one for one in ALL_NAMES if one == told.get("names", "ours")), "ours")
    whole = any(name.startswith("trunk.") for name in tensors)
    state = {
        name.removeprefix("trunk."): tensor
        for name, tensor in tensors.items()
        if not whole or name.startswith("trunk.")
    }
    net = _placed(run.config, placement)
    load_trunk(net.trunk, state, names)
    return _encoder(net, run, placement)


def _parsed(told: Mapping[str, str], path: Path) -> dict[str, Any]:
    """The record of the run in an exported file's texts."""
    known = ("config", "step", "reader", "tombstones")
    try:
        record = {name: json.loads(told[name]) for name in known if name in told}
    except ValueError as error:
        raise CheckpointError(
            f"{path}: expected the record of a run beside its tensors, as train_entry.export "
            f"writes it: {error!r}"
        ) from error
    return record


def _run(name: str, record: Mapping[str, Any]) -> _Run:
    try:
        recorded = record["config"]["model"]
        numbers = {one: recorded[one] for one in RegNetConfig.model_fields if one in recorded}
        config = RegNetConfig.model_validate(numbers)
        crops = record["config"].get("crops", {})
    except (KeyError, TypeError, ValidationError) as error:
        raise CheckpointError(
            f"{name}: expected the record of a run with its model's numbers, got {error!r}"
        ) from error
    root = record.get("reader", {}).get("root")
    mean, std = (tuple(crops.get(one, of)) for one, of in _COLOURS.items())
    return _Run(name, config, record.get("step"), root, record.get("tombstones", {}), mean, std)


def _name(folder: Path) -> str:
    """The run and the step, as its folders say them."""
    whole = folder.absolute()
    return f"{whole.parents[1].name}/{whole.name}" if whole.parent.name == FOLDER else whole.name


def _placed(config: RegNetConfig, placement: Placement) -> TappedTrunk:
    """A trunk on its device with memory but no values."""
    with torch.device("meta"):
        net = TappedTrunk(config).eval().requires_grad_(requires_grad=False)
    if placement.shard:
        shard(net, placement.ranks)
    net.to_empty(device=placement.ranks.device)
    for name, buffer in net.named_buffers():
        if name.endswith(_OPTIONAL):
            buffer.zero_()
    return net


def shard(net: TappedTrunk, ranks: Ranks) -> None:
    """Spread a trunk's parameters over all ranks, block by block, in place. Collective."""
    mesh = init_device_mesh(ranks.device.type, (ranks.world,))
    for stage in net.trunk.stages:
        for block in stage.children():
            fully_shard(block, mesh=mesh)
    fully_shard(net, mesh=mesh)


def _encoder(net: TappedTrunk, run: _Run, placement: Placement) -> Encoder:
    record = EncoderRecord(
        name=run.name,
        sha256=weights_sha256(net.trunk.state_dict()),
        num_parameters=sum(one.numel() for one in net.trunk.parameters()),
        architecture=run.config.model_dump(mode="json"),
        step=run.step,
        merkle_root=run.merkle_root,
        tombstones=run.tombstones,
    )
    return Encoder(Network(net, net, net.taps, run.mean, run.std), record, placement)
