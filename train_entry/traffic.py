"""What the ranks of a step send each other, by kind of collective."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from train_entry.config import TrainConfig
from train_entry.flops import passes
from train_entry.memory import units
from train_entry.swav import SwAV

_FLOAT_BYTES = 4


@dataclass(frozen=True)
class Collective:
    """One kind of collective in one step, as one GPU takes part in it."""

    name: str
    num_bytes: int  # of the whole tensors, over all calls
    calls: int
    ranks: int
    stride: int = 1  # between neighbours among the ranks
    rounds: int = 1  # 2: an all-reduce, which is a scatter and a gather

    @property
    def sent_bytes(self) -> float:
        """What the GPU sends, by the ring algorithm."""
        return self.num_bytes * self.rounds * (self.ranks - 1) / self.ranks

    def seconds(self, gpus_per_node: int, link_gbit_s: float, node_gbit_s: float) -> float:
        """How long the sending takes at the rate of its slowest part, without latency."""
        within = self.ranks * self.stride <= gpus_per_node
        return self.sent_bytes * 8e-9 / (link_gbit_s if within else node_gbit_s)


def plan_traffic(config: TrainConfig, model: SwAV, num_gpus: int) -> list[Collective]:
    """The collectives of one step on so many GPUs; those of a rank alone are left out."""
    shard = min(config.parallel.shard or num_gpus, num_gpus)
    found = [
        *_sharding(config, model, shard, num_gpus // shard),
        _batch_norm(config, model, num_gpus),
        _sinkhorn(config, num_gpus),
        _norms(model, shard),
    ]
    return [one for one in found if one.ranks > 1]


def _sharding(config: TrainConfig, model: SwAV, shard: int, replicas: int) -> Iterable[Collective]:
    every_unit, times = units(config, model), _num_passes(config)
    # Forward and backward; only the root, the stem, stays in between.
    gathers = [1 if unit.name == "trunk.stem" else 2 for unit in every_unit]
    gathered = sum(
        unit.num_bytes * number for unit, number in zip(every_unit, gathers, strict=True)
    )
    reduced = sum(unit.numel for unit in every_unit) * _FLOAT_BYTES
    calls = len(every_unit)
    return (
        Collective("all-gather of parameters", gathered * times, sum(gathers) * times, shard),
        Collective("reduce-scatter of gradients", reduced * times, calls * times, shard),
        # Only the sums of all passes cross between groups.
        Collective("all-reduce between groups", reduced // shard, calls, replicas, shard, rounds=2),
    )


def _num_passes(config: TrainConfig) -> int:
    """Forward and backward, in a step."""
    return len(passes(config)) * config.optim.accumulate


def _batch_norm(config: TrainConfig, model: SwAV, num_gpus: int) -> Collective:
    """Sums, squares and counts forward, two sums backward; none when a block is computed again."""
    channels = [one.num_features for one in model.modules() if isinstance(one, nn.BatchNorm2d)]
    times = _num_passes(config)
    values = sum(4 * number + 1 for number in channels) * times
    ranks = min(config.model.batch_norm_group or num_gpus, num_gpus)
    calls = 2 * len(channels) * times
    return Collective("batch norm", values * _FLOAT_BYTES, calls, ranks, rounds=2)


def _sinkhorn(config: TrainConfig, num_gpus: int) -> Collective:
    """Of each assigned crop the largest score and each round's sums; the use of prototypes."""
    swav, parts = config.swav, config.optim.accumulate
    assigned = config.crops.groups[0].count * parts
    values = (1 + swav.rounds * swav.prototypes) * assigned + swav.prototypes * parts
    calls = (1 + swav.rounds) * assigned + parts
    return Collective("Sinkhorn", values * _FLOAT_BYTES, calls, num_gpus, rounds=2)


def _norms(model: SwAV, shard: int) -> Collective:
    values = 2 * sum(1 for _ in model.parameters())
    return Collective("norms of LARC", values * _FLOAT_BYTES, 1, shard, rounds=2)
