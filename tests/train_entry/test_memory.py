from collections import Counter

import pytest
import torch
from torch.distributed.fsdp import FSDPModule

from tests.train_entry.planning import fake_ranks, small_config
from train_entry.config import CONFIG_FOLDER, TrainConfig, load_config
from train_entry.flops import meta_model
from train_entry.memory import plan_memory, units
from train_entry.optimizer import make_optimizer
from train_entry.swav import SwAV

GB = 1e9


def _seer_10b(*overrides: str) -> TrainConfig:
    path = str(CONFIG_FOLDER / "seer_10b.yaml")
    return load_config(path, ["output=none", "data.dataset=none", *overrides])


def test_state_is_what_a_real_optimizer_holds():
    for name in ("larc", "adamw"):
        config = small_config(optim={"name": name})
        model = SwAV(config.model, config.swav)
        optimizer = make_optimizer(model, config.optim)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter)
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
        memory = plan_memory(config, meta_model(config), 1)
        parameters = list(model.parameters())
        assert memory.parameters == sum(one.nbytes for one in parameters)
        assert memory.gradients == sum(one.grad.nbytes for one in parameters)
        moments = [
            value.nbytes
            for state in optimizer.state.values()
            for value in state.values()
            if value.ndim
        ]
        assert memory.momenta == pytest.approx(sum(moments), rel=0.001)


def test_half_precision_halves_the_state_and_adam_has_one_more_moment():
    def state_gb(*overrides):
        config = _seer_10b(*overrides)
        return plan_memory(config, meta_model(config), 1).resting / GB

    assert state_gb("model.state_precision=bfloat16") == pytest.approx(57.8, abs=0.1)
    assert state_gb("optim.name=adamw") == pytest.approx(154.1, abs=0.1)


def test_offloaded_state_is_told_apart():
    config = _seer_10b("parallel.cpu_offload=true")
    memory = plan_memory(config, meta_model(config), 1)
    assert memory.resting == memory.buffers
    assert memory.host / GB == pytest.approx(115.5, abs=0.1)


@pytest.mark.parametrize("split", [False, True])
def test_units_are_those_that_fsdp_gathers(split):
    config = small_config(parallel={"split_last_block": split})
    with fake_ranks(config, 4) as model:
        found = Counter()
        for group in _fsdp_groups(model):
            found[sum(one._orig_size.numel() for one in group.fsdp_params)] += 1
    assert found == Counter(unit.numel for unit in units(config, meta_model(config)))


def _fsdp_groups(model):
    modules = [one for one in model.modules() if isinstance(one, FSDPModule)]
    return [module._get_fsdp_state()._fsdp_param_group for module in modules]


@pytest.mark.parametrize("offloaded", [False, True])
def test_sums_that_wait_for_the_last_pass_are_those_of_fsdp(offloaded):
    world, shard = 8, 4
    overrides = {"w_0": 16, "w_a": 10, "w_m": 2.5, "depth": 6, "group_width": 8}
    config = small_config(
        model={**overrides, "state_precision": "bfloat16", "precision": "bfloat16"},
        parallel={"shard": shard, "cpu_offload": offloaded},
    )
    planned = plan_memory(config, meta_model(config), world)
    with fake_ranks(config, world) as model:
        model.set_requires_all_reduce(False)
        _, scores = model([torch.randn(2, 3, 64, 64, dtype=torch.bfloat16)])
        scores.sum().backward()
        held = sum(group._partial_reduce_output.nbytes for group in _fsdp_groups(model))
    assert planned.gradients == held
    once = small_config(swav={"single_pass": True}, parallel={"cpu_offload": True})
    assert plan_memory(once, meta_model(once), world).gradients == 0


@pytest.mark.parametrize("gpus", [1, 8])
def test_what_later_passes_reduce_lies_beside_what_it_is_added_to(gpus):
    def reduction(single_pass, parts):
        config = small_config(swav={"single_pass": single_pass}, optim={"accumulate": parts})
        return plan_memory(config, meta_model(config), gpus).reduction

    alone = reduction(True, 1)
    for several in ((False, 1), (True, 2)):
        assert reduction(*several) == pytest.approx(alone * (1 + 1 / gpus))


def test_the_optimizer_copies_nothing_large():
    config = _seer_10b()
    assert plan_memory(config, meta_model(config), 1).update < 1_000_000
