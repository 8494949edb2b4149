"""Memory of one GPU by part, from the model's shapes and the way it is spread.

Sums of it are upper bounds: the parts do not all peak at once.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import nn

from train_entry.config import TrainConfig
from train_entry.flops import meta_model, passes
from train_entry.live_bytes import LiveBytes
from train_entry.optimizer import make_optimizer
from train_entry.regnet import Block
from train_entry.swav import SwAV

_ITEM_BYTES = {"float32": 4, "bfloat16": 2}
_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Unit:
    """Parameters that are gathered together."""

    name: str
    numel: int
    num_bytes: int  # gathered, in the precision of the passes


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU, whatever the batch."""

    parameters: int
    gradients: int
    momenta: int
    buffers: int
    gathered: int  # the largest unit, its gradient and the unit that is gathered ahead
    reduction: int  # the largest unit's gradient in float32, and its shard before it is added
    update: int  # temporary, while the optimizer changes the parameters and nothing is gathered
    host: int  # state that is kept on the CPU instead; not part of the sum

    @property
    def state(self) -> int:
        """Parameters, gradients and momenta, wherever they are."""
        return self.host or self.parameters + self.gradients + self.momenta

    @property
    def resting(self) -> int:
        """What is there all the time."""
        return self.parameters + self.gradients + self.momenta + self.buffers

    @property
    def passing(self) -> int:
        """What the passes need beside it and the activations."""
        return self.gathered + self.reduction


def plan_memory(config: TrainConfig, model: SwAV, num_gpus: int) -> Memory:
    """Memory of each of so many GPUs. model: on the meta device."""
    shard = min(config.parallel.shard or num_gpus, num_gpus)
    kept = _ITEM_BYTES[config.model.state_precision]
    parameters = _sharded(model.trunk, shard) * kept + _sharded(model.head, shard) * kept
    parameters += _sharded(model.prototypes, shard) * _FLOAT_BYTES
    momenta = parameters * (1 if config.optim.name == "larc" else 2)
    offloaded = config.parallel.cpu_offload
    sums = _unfinished_sums(config, model, shard, num_gpus)
    every_unit = units(config, model)
    largest = max(every_unit, key=lambda unit: unit.num_bytes)
    return Memory(
        parameters=0 if offloaded else parameters,
        gradients=max(0 if offloaded else parameters, sums),
        momenta=0 if offloaded else momenta,
        buffers=sum(one.numel() * _FLOAT_BYTES for one in model.buffers()),
        gathered=_gathered(every_unit, largest),
        reduction=_reduction(config, largest, shard),
        update=0 if offloaded else _update_bytes(config) // shard,
        host=2 * parameters + momenta if offloaded else 0,
    )


def units(config: TrainConfig, model: SwAV) -> list[Unit]:
    """What `parallel.build_model` gathers together, in the order of the forward pass."""
    item = _ITEM_BYTES[config.model.precision]
    blocks = [
        (f"trunk.stages.{stage}.{number}", block)
        for stage, children in enumerate(model.trunk.stages)
        for number, block in enumerate(children.children())
    ]
    found = [_unit("trunk.stem", model.trunk.stem, item)]
    for name, block in blocks:
        assert isinstance(block, Block)
        if block is blocks[-1][1] and config.parallel.split_last_block:
            # The gate has no unit of its own, so that it is gathered with the block around it.
            found.append(_unit(f"{name}.gate", block.gate, item))
            parts = ("shortcut", "reduce", "spatial", "expand")
            split = [(part, getattr(block, part)) for part in parts]
            found += [_unit(f"{name}.{part}", one, item) for part, one in split if one is not None]
        else:
            found.append(_unit(name, block, item))
    found.append(_unit("head", model.head, item))
    return [*found, _unit("prototypes", model.prototypes, _FLOAT_BYTES)]


def _update_bytes(config: TrainConfig) -> int:
    """What the optimizer's second step allocates: the first one makes the momenta, which stay."""
    model = meta_model(config)
    dtype = getattr(torch, config.model.state_precision)
    model.trunk.to(dtype)
    model.head.to(dtype)
    for parameter in model.parameters():
        parameter.grad = torch.empty_like(parameter)
    optimizer = make_optimizer(model, config.optim)
    optimizer.step()
    live = LiveBytes()
    with live:
        optimizer.step()
    return live.most


def _unit(name: str, module: nn.Module, item_bytes: int) -> Unit:
    numel = sum(one.numel() for one in module.parameters())
    return Unit(name, numel, numel * item_bytes)


def _sharded(module: nn.Module, shard: int) -> int:
    """Values on one rank: rows are divided, rounded up."""
    return sum(-(-one.shape[0] // shard) * prod(one.shape[1:]) for one in module.parameters())


def _gathered(every_unit: list[Unit], largest: Unit) -> int:
    block = largest.name.rpartition(".")[0]
    around = [unit for unit in every_unit if unit.name == f"{block}.gate"]
    ahead = [unit for unit in every_unit if unit is not largest and unit not in around]
    others = sum(unit.num_bytes for unit in around) + max(unit.num_bytes for unit in ahead)
    return 2 * largest.num_bytes + others


def _num_reductions(config: TrainConfig) -> int:
    """How often in a step each gradient is reduced."""
    return len(passes(config)) * config.optim.accumulate


def _unfinished_sums(config: TrainConfig, model: SwAV, shard: int, num_gpus: int) -> int:
    """With HSDP, FSDP2 adds up in float32, on the GPU, until the last pass of a step."""
    if shard == num_gpus or _num_reductions(config) == 1:
        return 0
    return _sharded(model, shard) * _FLOAT_BYTES


def _reduction(config: TrainConfig, largest: Unit, shard: int) -> int:
    """What goes into the reduce-scatter, and what comes out if it is not the gradient itself."""
    kept_as_it_is = config.model.state_precision == "float32" and _num_reductions(config) == 1
    output = 0 if kept_as_it_is else -(-largest.numel // shard)
    return (largest.numel + output) * _FLOAT_BYTES
