from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.train_entry.planning import fake_ranks, real_step, small_config
from train_entry.flops import meta_model
from train_entry.optimizer import make_optimizer
from train_entry.traffic import plan_traffic


class _Collectives(TorchDispatchMode):
    """Calls and bytes of collectives: of the larger side of each."""

    def __init__(self):
        super().__init__()
        self.calls, self.num_bytes = Counter(), Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "c10d":
            name = func._opname
            self.calls[name] += 1
            self.num_bytes[name] += max(_nbytes(one) for one in args)
        return func(*args, **(kwargs or {}))


def _nbytes(value) -> int:
    if isinstance(value, torch.Tensor):
        return value.nbytes
    return sum(map(_nbytes, value)) if isinstance(value, list | tuple) else 0


@pytest.mark.parametrize(
    ("shard", "single_pass", "stages", "parts"),
    [(0, False, (), 1), (0, True, (1, 2), 1), (4, False, (1, 2), 2), (4, True, (), 1)],
)
def test_traffic_is_what_a_real_step_sends(shard, single_pass, stages, parts):
    world, num_images = 8, 2
    model = {"w_0": 16, "w_a": 10, "w_m": 2.5, "depth": 6, "group_width": 8, "stem_width": 16}
    config = small_config(
        batch=world * num_images,
        model={**model, "batch_norm_group": 0, "precision": "bfloat16"},
        swav={"hidden": [64], "dim": 16, "prototypes": 32, "single_pass": single_pass},
        parallel={"shard": shard, "checkpoint_stages": stages},
        optim={"accumulate": parts},
    )
    with fake_ranks(config, world) as model:
        optimizer, step = make_optimizer(model, config.optim), real_step(config, model, world)
        with _Collectives() as seen:
            step()
            optimizer.step()
    told = {one.name: one for one in plan_traffic(config, meta_model(config), world)}
    gathers, scatters = told["all-gather of parameters"], told["reduce-scatter of gradients"]
    assert gathers.calls == seen.calls["_allgather_base_"]
    assert scatters.calls == seen.calls["_reduce_scatter_base_"]
    # FSDP2 rounds rows up to the number of ranks, which tells in so small a model.
    assert gathers.num_bytes == pytest.approx(seen.num_bytes["_allgather_base_"], rel=0.03)
    assert scatters.num_bytes == pytest.approx(seen.num_bytes["_reduce_scatter_base_"], rel=0.03)
    reduces = [told["batch norm"], told["Sinkhorn"], told["norms of LARC"]]
    if shard:
        reduces.append(told["all-reduce between groups"])
    assert sum(one.calls for one in reduces) == seen.calls["allreduce_"]
    assert sum(one.num_bytes for one in reduces) == pytest.approx(
        seen.num_bytes["allreduce_"], rel=0.03
    )
