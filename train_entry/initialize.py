"""First parameters: a function of the seed and of each parameter's name, on any number of ranks.

Source: He et al. 2015, arXiv:1502.01852 (convolutions, fan-out not divided by groups, as SEER).
"""

import math
from hashlib import sha256

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.placement_types import Shard

from train_entry.swav import Prototypes

# Rows are drawn in runs of about so many values, so that a rank draws little more than its own.
_RUN_VALUES = 1 << 20


@torch.no_grad()
def initialize(model: nn.Module, seed: int, linear_std: float = 0.01) -> None:
    """Fill all parameters and buffers of a model, in place; none may be on `meta` any more."""
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            local, first_row = _local_rows(parameter)
            if parameter.ndim > 1:
                _draw(local, first_row, f"{prefix}.{name}", seed)
                local.mul_(_deviation(module, parameter, linear_std))
            else:
                weights = isinstance(module, nn.BatchNorm2d) and name == "weight"
                local.fill_(1.0 if weights else 0.0)
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
        if isinstance(module, Prototypes):
            module.normalise()


def _deviation(module: nn.Module, weight: Tensor, linear_std: float) -> float:
    if isinstance(module, nn.Conv2d):
        kernel_values = weight.shape[2] * weight.shape[3]
        return math.sqrt(2 / (kernel_values * weight.shape[0]))
    return linear_std


def _local_rows(parameter: Tensor) -> tuple[Tensor, int]:
    """What this rank has of a parameter, and which row of the whole it begins with."""
    if not isinstance(parameter, DTensor):
        return parameter, 0
    first_row = 0
    for dimension, placement in enumerate(parameter.placements):
        if isinstance(placement, Shard):
            if placement.dim != 0:
                raise ValueError(f"expected shards of rows, got {placement}")
            mesh = parameter.device_mesh
            rows = -(-parameter.shape[0] // mesh.size(dimension))
            first_row = mesh.get_local_rank(dimension) * rows
    return parameter.to_local(), first_row


def _draw(local: Tensor, first_row: int, name: str, seed: int) -> None:
    """Standard normal values, each row the same whoever draws it."""
    rows = local.shape[0]
    if not rows:
        return
    row_values = local[0].numel()
    run = max(1, _RUN_VALUES // row_values)
    generator = torch.Generator(device=local.device)
    for start in range(first_row // run * run, first_row + rows, run):
        content = sha256(f"{seed} {name} {start}".encode()).digest()
        generator.manual_seed(int.from_bytes(content[:8], "big", signed=True))
        shape = (run, *local.shape[1:])
        drawn = torch.randn(shape, generator=generator, device=local.device)
        begin, end = max(start, first_row), min(start + run, first_row + rows)
        local[begin - first_row : end - first_row] = drawn[begin - start : end - start]
