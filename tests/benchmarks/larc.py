"""One step of LARC on two gloo ranks: ours, and with a norm and its reductions for each tensor.

python -m tests.benchmarks.larc
"""

import statistics
import sys
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from tests.train_entry.ranks import on_ranks
from train_entry.optimizer import Larc

TENSORS, ROUNDS = 121, 30


def main():
    (ours, each, _), _ = on_ranks(2, _measure)
    lines = []
    for name, seconds in (("ours: one all-reduce", ours), ("a norm for each tensor", each)):
        least, middle, most = (1e3 * pick(seconds) for pick in (min, statistics.median, max))
        lines.append(f"| {name} | {middle:.1f} ({least:.1f}-{most:.1f}) |")
    sys.stdout.write(
        f"{TENSORS} tensors, 2 gloo ranks, {ROUNDS} rounds in turn\n\n"
        "| LARC | ms a step, median (range) |\n|---|---:|\n" + "\n".join(lines) + "\n"
    )


def _measure():
    torch.manual_seed(0)
    layers = [nn.Linear(64, 64, bias=False) for _ in range(TENSORS)]
    model = nn.Sequential(*layers)
    fully_shard(model, mesh=init_device_mesh("cpu", (2,)))
    parameters = list(model.parameters())
    groups = [{"params": parameters, "weight_decay": 1e-5}]
    optimizer = Larc(groups, trust=0.001, momentum=0.9, lr=0.1)
    ours, each = [], []
    for number in range(ROUNDS + 1):
        for times, step in ((ours, optimizer.step), (each, lambda: _step_by_tensor(parameters))):
            for one in parameters:
                one.grad = torch.ones_like(one)
            dist.barrier()
            began = time.perf_counter()
            step()
            dist.barrier()
            if number:
                times.append(time.perf_counter() - began)
    return ours, each, len(parameters)


@torch.no_grad()
def _step_by_tensor(parameters):
    """The same update with torch's norm of a DTensor, which is reduced when it is looked at."""
    for one in parameters:
        size, slope = one.norm().full_tensor(), one.grad.norm().full_tensor()
        rate = 0.001 * size / (slope + 1e-5 * size + 1e-8)
        one.to_local().sub_(0.1 * rate * (one.grad.to_local() + 1e-5 * one.to_local()))


if __name__ == "__main__":
    main()
