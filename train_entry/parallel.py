"""Ranks, and how a model is spread over them; applied to a model, never written into it.

Order: batch norm over groups, `torch.compile`, activation checkpointing, FSDP2, then parameters.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.utils.checkpoint import checkpoint

from train_entry.batch_norm import tape_contexts, use_group_batch_norm
from train_entry.config import TrainConfig
from train_entry.errors import ConfigError
from train_entry.initialize import initialize
from train_entry.regnet import Block
from train_entry.swav import SwAV

_TIMEOUT = timedelta(minutes=15)
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this rank speaks for all."""
        return self.rank == 0


@contextmanager
def joined_ranks(device: str = "auto") -> Iterator[Ranks]:
    """The ranks that torchrun started, or this process alone; left again at the end."""
    cuda = torch.cuda.is_available() if device == "auto" else device == "cuda"
    if cuda and not torch.cuda.is_available():
        raise ConfigError("parallel.device: expected a CUDA device, got none")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if cuda:
        torch.cuda.set_device(local)
    # Checkpoints are written over gloo while NCCL is busy.
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend, timeout=_TIMEOUT)
    else:
        dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    try:
        where = torch.device("cuda", local) if cuda else torch.device("cpu")
        yield Ranks(dist.get_rank(), dist.get_world_size(), where)
    finally:
        dist.destroy_process_group()


def build_model(config: TrainConfig, ranks: Ranks) -> SwAV:
    """The model of a configuration, spread over all ranks, with first parameters. Collective."""
    check_ranks(config, ranks.world)
    check_stages(config)
    with torch.device("meta"):
        model = SwAV(config.model, config.swav)
    if config.model.state_precision == "bfloat16":
        for parameter in (*model.trunk.parameters(), *model.head.parameters()):
            # Not the buffers: running statistics would suffer.
            parameter.data = parameter.data.to(torch.bfloat16)
    use_group_batch_norm(model, _batch_norm_group(config.model.batch_norm_group, ranks))
    for number, stage in enumerate(model.trunk.stages, start=1):
        for block in stage.children():
            if config.parallel.compile:
                block.forward = torch.compile(block.forward, dynamic=False)
            if number in config.parallel.checkpoint_stages:
                block.forward = partial(
                    checkpoint,
                    block.forward,
                    use_reentrant=False,
                    context_fn=tape_contexts,
                    preserve_rng_state=False,
                )
    _shard(model, config, _mesh(config, ranks))
    model.to_empty(device="cpu" if config.parallel.cpu_offload else ranks.device)
    initialize(model, config.seed, config.swav.head_std)
    if config.parallel.cpu_offload and ranks.device.type != "cpu":
        for module in model.modules():
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, buffer.to(ranks.device))
    return model


def check_ranks(config: TrainConfig, world: int) -> None:
    """Raise ConfigError if a run cannot be divided among so many ranks."""
    parts = world * config.optim.accumulate
    if config.data.batch % parts:
        raise ConfigError(
            f"data.batch: expected a multiple of {parts} ({world} ranks x optim.accumulate "
            f"{config.optim.accumulate}), got {config.data.batch}"
        )
    shard, group = config.parallel.shard or world, config.model.batch_norm_group or world
    for name, size in (("parallel.shard", shard), ("model.batch_norm_group", group)):
        if world % min(size, world):
            raise ConfigError(f"{name}: expected a divisor of {world} ranks, got {size}")


def check_stages(config: TrainConfig) -> None:
    """Raise ConfigError if a stage is named that the model does not have."""
    num_stages = len(config.model.stages())
    for stage in config.parallel.checkpoint_stages:
        if not 1 <= stage <= num_stages:
            raise ConfigError(
                f"parallel.checkpoint_stages: expected stages from 1 to {num_stages}, got {stage}"
            )


def _batch_norm_group(size: int, ranks: Ranks) -> dist.ProcessGroup | None:
    """The group of `size` neighbours that this rank belongs to; None if it is alone."""
    size = min(size or ranks.world, ranks.world)
    if size == 1:
        return None
    if size == ranks.world:
        return _world()
    # Every rank must take part in the making of every group.
    starts = range(0, ranks.world, size)
    groups = [dist.new_group(list(range(start, start + size))) for start in starts]
    own: dist.ProcessGroup | None = groups[ranks.rank // size]
    return own


def _world() -> dist.ProcessGroup | None:
    world: dist.ProcessGroup | None = dist.group.WORLD
    return world


def _mesh(config: TrainConfig, ranks: Ranks) -> DeviceMesh:
    shard = min(config.parallel.shard or ranks.world, ranks.world)
    kind = ranks.device.type
    if shard == ranks.world:
        return init_device_mesh(kind, (shard,), mesh_dim_names=("shard",))
    shape = (ranks.world // shard, shard)
    return init_device_mesh(kind, shape, mesh_dim_names=("replicate", "shard"))


def _shard(model: SwAV, config: TrainConfig, mesh: DeviceMesh) -> None:
    dtype = DTYPES[config.model.precision]
    # Float32 throughout needs no policy; images come in the right precision already.
    mixed = MixedPrecisionPolicy(
        param_dtype=None if dtype is torch.float32 else dtype,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    offload = (
        CPUOffloadPolicy(pin_memory=mesh.device_type == "cuda")
        if config.parallel.cpu_offload
        else OffloadPolicy()
    )
    wrap = partial(fully_shard, mesh=mesh, offload_policy=offload)
    blocks = [block for stage in model.trunk.stages for block in stage.children()]
    for block in blocks:
        if block is blocks[-1] and config.parallel.split_last_block:
            # It has a fifth of all parameters of the 10B: gathered whole, it would set the peak.
            assert isinstance(block, Block)
            for part in (block.reduce, block.spatial, block.expand, block.shortcut):
                if part is not None:
                    wrap(part, mp_policy=mixed)
        wrap(block, mp_policy=mixed)
    wrap(model.head, mp_policy=mixed)
    wrap(model.prototypes, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False))
    wrap(model, mp_policy=mixed)
