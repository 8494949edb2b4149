"""Batch norm over the batches of a group of ranks, on any device, and safe to compute twice.

B images, C channels, H and W pixels. Statistics are float32 whatever the input. One all-reduce in
the forward pass, one in the backward pass. Source: Ioffe and Szegedy 2015, arXiv:1502.03167.

torch's own SyncBatchNorm runs on CUDA only, and any batch norm inside a checkpointed region updates
its running statistics twice. Here the second computation takes the statistics of the first from a
tape, which also spares it the all-reduce.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import batch_norm


class Tape:
    """Batch statistics of one checkpointed region, in the order of its batch norms."""

    def __init__(self) -> None:
        self.recorded: list[tuple[Tensor, Tensor, Tensor]] = []
        self.num_replayed: int | None = None

    def replay(self) -> tuple[Tensor, Tensor, Tensor]:
        """The next statistics; the region asks for them as often as it gave them."""
        assert self.num_replayed is not None
        self.num_replayed += 1
        return self.recorded[self.num_replayed - 1]


# One process computes one region at a time, on whichever thread runs its backward pass.
_tape: Tape | None = None


def tape_contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """`context_fn` of `torch.utils.checkpoint`: around the first and the second computation."""
    tape = Tape()
    return _active(tape), _replaying(tape)


@contextmanager
def _replaying(tape: Tape) -> Iterator[None]:
    tape.num_replayed = 0
    with _active(tape):
        yield


@contextmanager
def _active(tape: Tape) -> Iterator[None]:
    global _tape  # torch offers no other way from the region to its batch norms
    before, _tape = _tape, tape
    try:
        yield
    finally:
        _tape = before


@torch.compiler.disable
def _replays() -> bool:
    return _tape is not None and _tape.num_replayed is not None


class GroupBatchNorm(nn.BatchNorm2d):
    """A batch norm whose statistics are those of all ranks of a group; None: of this rank."""

    group: dist.ProcessGroup | None = None

    def forward(self, input: Tensor) -> Tensor:  # nn.BatchNorm2d's name for it
        x_BCHW = input
        if self.group is None or not self.training:
            return self._own_norm(x_BCHW)
        normed: Tensor = _Normalise.apply(
            x_BCHW, self.weight, self.bias, self._statistics(x_BCHW.detach()), self.group
        )
        return normed

    def _own_norm(self, x_BCHW: Tensor) -> Tensor:
        """With running statistics, or with this rank's own: torch has faster code for that."""
        mean_C, variance_C = self.running_mean, self.running_var
        assert mean_C is not None
        assert variance_C is not None
        if self.training and _replays():
            # torch keeps them for the backward pass, so they must be there: copies to be updated.
            mean_C, variance_C = mean_C.clone(), variance_C.clone()
        elif self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = self.momentum or 0.0
        return batch_norm(
            x_BCHW,
            mean_C,
            variance_C,
            self.weight.float(),
            self.bias.float(),
            self.training,
            momentum,
            self.eps,
        )

    # Both computations of a checkpointed region must run the same compiled code.
    @torch.compiler.disable
    def _statistics(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, scale (1 / standard deviation) and number of values of each channel."""
        if _tape is not None and _replays():
            return _tape.replay()
        mean_C, variance_C, count = self._moments(x_BCHW)
        self._update(mean_C, variance_C, count)
        statistics = mean_C, torch.rsqrt(variance_C + self.eps), count
        if _tape is not None:
            _tape.recorded.append(statistics)
        return statistics

    def _moments(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, biased variance and number of values of each channel, over the group."""
        variance_C, mean_C = torch.var_mean(x_BCHW.float(), dim=(0, 2, 3), correction=0)
        count = mean_C.new_full((1,), x_BCHW.numel() / x_BCHW.shape[1])
        # Sums of squares lose digits when the mean is large, so count from the running mean.
        assert self.running_mean is not None
        origin_C = self.running_mean.float()
        mean_C = mean_C - origin_C
        sums = torch.cat([mean_C * count, (variance_C + mean_C.square()) * count, count])
        dist.all_reduce(sums, group=self.group)
        count = sums[-1:]
        mean_C, square_C = (sums[:-1] / count).chunk(2)
        return mean_C + origin_C, (square_C - mean_C.square()).clamp_(min=0), count

    @torch.no_grad()
    def _update(self, mean_C: Tensor, variance_C: Tensor, count: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        unbiased_C = variance_C * (count / (count - 1).clamp(min=1))
        self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased_C.to(self.running_var.dtype), self.momentum)


class _Normalise(torch.autograd.Function):
    """(x - mean) * scale * weight + bias, where mean and scale depend on the group's x."""

    @staticmethod
    def forward(
        ctx: Any,
        x_BCHW: Tensor,
        weight_C: Tensor,
        bias_C: Tensor,
        statistics: tuple[Tensor, Tensor, Tensor],
        group: dist.ProcessGroup | None,
    ) -> Tensor:
        mean_C, scale_C, count = statistics
        ctx.save_for_backward(x_BCHW, weight_C, mean_C, scale_C, count)
        ctx.group = group
        factor_C = weight_C.float() * scale_C
        offset_C = bias_C.float() - mean_C * factor_C
        return torch.addcmul(_map(offset_C), x_BCHW.float(), _map(factor_C)).to(x_BCHW.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x_BCHW, weight_C, mean_C, scale_C, count = ctx.saved_tensors
        gradient_BCHW = gradients[0].float()
        normed_BCHW = (x_BCHW.float() - _map(mean_C)) * _map(scale_C)
        bias_C = gradient_BCHW.sum(dim=(0, 2, 3))
        scaled_C = (gradient_BCHW * normed_BCHW).sum(dim=(0, 2, 3))
        sums = torch.cat([bias_C, scaled_C])
        if ctx.group is not None:
            dist.all_reduce(sums, group=ctx.group)
        mean_gradient_C, mean_scaled_C = (sums / count).chunk(2)
        inner_BCHW = gradient_BCHW - _map(mean_gradient_C) - normed_BCHW * _map(mean_scaled_C)
        outer_BCHW = (inner_BCHW * _map(weight_C.float() * scale_C)).to(x_BCHW.dtype)
        # The ranks' gradients of weights are averaged with those of all other parameters.
        return outer_BCHW, scaled_C.to(weight_C.dtype), bias_C.to(weight_C.dtype), None, None


def _map(channels_C: Tensor) -> Tensor:
    return channels_C[None, :, None, None]


def use_group_batch_norm(model: nn.Module, group: dist.ProcessGroup | None) -> None:
    """Turn each batch norm of a model into one over a group of ranks, in place."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Same parameters, buffers and names; only the computation differs.
            module.__class__ = GroupBatchNorm
            module.group = group  # type: ignore[assignment]  # it is a GroupBatchNorm from here on
