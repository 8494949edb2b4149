import math

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from tests.train_entry.ranks import on_ranks
from train_entry import initialize as module
from train_entry.initialize import initialize
from train_entry.swav import Prototypes


def network():
    with torch.device("meta"):
        convolution = nn.Conv2d(8, 96, 3, groups=4)
        return nn.Sequential(
            convolution, nn.BatchNorm2d(96), nn.Linear(300, 50), Prototypes(16, 21)
        )


def filled(model, run_values=1000):
    module._RUN_VALUES = run_values
    model.to_empty(device="cpu")
    initialize(model, seed=7)
    return model


def test_values_have_the_published_spread():
    model = filled(network())
    convolution, norm, linear, prototypes = model
    assert abs(convolution.weight.std().item() / math.sqrt(2 / (9 * 96)) - 1) < 0.02
    assert abs(linear.weight.std().item() / 0.01 - 1) < 0.02
    assert convolution.bias.abs().max() == linear.bias.abs().max() == 0
    assert torch.equal(norm.weight, torch.ones(96))
    assert torch.equal(norm.running_var, torch.ones(96))
    torch.testing.assert_close(prototypes.weight.norm(dim=1), torch.ones(21))


def test_another_seed_and_another_name_give_other_values():
    model = filled(network())
    other = network().to_empty(device="cpu")
    initialize(other, seed=8)
    assert not torch.equal(model[2].weight, other[2].weight)
    twins = filled(nn.Sequential(nn.Linear(20, 20), nn.Linear(20, 20)))
    assert not torch.equal(twins[0].weight, twins[1].weight)


def _sharded():
    model = network()
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model:
        fully_shard(layer, mesh=mesh)
    filled(model)
    return {name: one.full_tensor().detach() for name, one in model.named_parameters()}


def test_shards_are_parts_of_what_one_rank_draws():
    expected = dict(filled(network()).named_parameters())
    for values in on_ranks(3, _sharded):
        for name, value in expected.items():
            assert torch.equal(values[name], value), name
