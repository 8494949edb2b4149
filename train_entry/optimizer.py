"""LARC-SGD on sharded parameters with one all-reduce a step, and the learning rate of a step.

Source: You et al. 2017, arXiv:1708.03888 (layer-wise adaptive rates); the constants are SEER's.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.placement_types import Shard

from train_entry.config import OptimConfig

EPSILON = 1e-8


class Larc(torch.optim.Optimizer):
    """SGD with momentum whose rate, tensor by tensor, follows the norms of weights and gradients.

    Update: rate = trust * |w| / (|g| + weight_decay * |w| + 1e-8); g' = rate * (g + weight_decay *
    w); v = momentum * v + g'; w = w - lr * v. Where |w| or |g| is 0, g' = g. Parameters may be
    DTensors, sharded over at most one dimension of their mesh and the same for all. Collective.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        trust: float,
        momentum: float,
        lr: float = 0.0,
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})
        self._trust = trust

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        if closure is not None:
            raise ValueError("expected no closure: gradients are computed before the step")
        used = [
            (parameter, float(group["weight_decay"]))
            for group in self.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        if not used:
            return
        parameters = [parameter for parameter, _ in used]
        weights = [_local(parameter) for parameter in parameters]
        gradients = [_local(parameter.grad) for parameter in parameters]
        self._adapt(parameters, weights, gradients, [decay for _, decay in used])
        momenta = [self._momentum(parameter) for parameter in parameters]
        # Momentum and rate are those of the first group: only the decay differs among groups.
        first = self.param_groups[0]
        torch._foreach_mul_(momenta, float(first["momentum"]))
        torch._foreach_add_(momenta, gradients)
        torch._foreach_add_(weights, momenta, alpha=-float(first["lr"]))

    def _adapt(
        self,
        parameters: list[nn.Parameter],
        weights: list[Tensor],
        gradients: list[Tensor],
        decays: list[float],
    ) -> None:
        """Turn gradients into decayed ones at each tensor's own rate, in place, without a copy."""
        squares = torch.stack(
            [norm.float().square() for norm in torch._foreach_norm([*weights, *gradients])]
        )
        _sum_over_shards(squares, parameters)
        weight_norms, gradient_norms = squares.sqrt().chunk(2)
        decay = torch.tensor(decays, dtype=torch.float32).to(squares.device, non_blocking=True)
        rates = self._trust * weight_norms / (gradient_norms + decay * weight_norms + EPSILON)
        # Without a gradient nothing moves, not even by decay; without weights, all of it.
        rates = torch.where(weight_norms > 0, rates, 1.0)
        rates = torch.where(gradient_norms > 0, rates, 0.0)
        for one in set(decays):
            chosen = [index for index, other in enumerate(decays) if other == one]
            torch._foreach_add_(
                [gradients[index] for index in chosen],
                [weights[index] for index in chosen],
                alpha=one,
            )
        torch._foreach_mul_(gradients, list(rates.to(gradients[0].dtype).unbind()))

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return _local(state["momentum"])


def make_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.Optimizer:
    """The optimizer of a configuration; biases and batch norms have a weight decay of their own."""
    named = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    groups = [
        {"params": [one for _, one in named if one.ndim > 1], "weight_decay": config.weight_decay},
        {
            "params": [one for _, one in named if one.ndim <= 1],
            "weight_decay": config.weight_decay_1d,
        },
    ]
    if config.name == "larc":
        return Larc(groups, trust=config.trust, momentum=config.momentum)
    betas = (config.momentum, config.beta2)
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, foreach=True)


def learning_rate(step: int, config: OptimConfig, batch: int) -> float:
    """The rate of a step, from 0: linear warm-up, then half a cosine down to its end."""
    peak = config.lr * batch / 256
    if step < config.warmup_steps:
        return config.warmup_lr + (peak - config.warmup_lr) * step / config.warmup_steps
    end = peak * config.end_ratio
    share = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return end + (peak - end) * (1 + math.cos(math.pi * min(1.0, share))) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use this rate in the next step."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def _local(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _sum_over_shards(squares: Tensor, parameters: list[nn.Parameter]) -> None:
    """Add up sums of squares over the ranks that share a tensor, in place, in one all-reduce.

    squares: of all parameters, then of all their gradients.
    """
    split: list[int] = []
    mesh, dimension = None, 0
    for index, parameter in enumerate(parameters):
        if not isinstance(parameter, DTensor):
            continue
        for number, placement in enumerate(parameter.placements):
            if isinstance(placement, Shard) and parameter.device_mesh.size(number) > 1:
                split += [index, index + len(parameters)]
                mesh, dimension = parameter.device_mesh, number
    if mesh is None:
        return
    indices = torch.tensor(split, device=squares.device)
    # Offloaded tensors lie on the CPU, and their group may not reduce there.
    shared = squares[indices].to(mesh.device_type)
    dist.all_reduce(shared, group=mesh.get_group(dimension))
    squares[indices] = shared.to(squares.device)
