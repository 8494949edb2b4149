import math

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from tests.train_entry.ranks import on_ranks
from train_entry.config import OptimConfig
from train_entry.optimizer import learning_rate, make_optimizer, set_learning_rate

CONFIG = OptimConfig(steps=100, lr=0.3, weight_decay=1e-2, weight_decay_1d=0.0)
STEPS = 4


def network():
    torch.manual_seed(1)
    # 7 and 5 rows: shards of unequal size, and with four ranks an empty one.
    return nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 1))


def inputs():
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(2))


def trained(model, images, name="larc"):
    optimizer = make_optimizer(model, CONFIG.model_copy(update={"name": name}))
    for step in range(STEPS):
        set_learning_rate(optimizer, 0.1 * (step + 1))
        model(images).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    return {name: one.detach() for name, one in model.named_parameters()}


def plainly_trained(model, images):
    """The update as the docstring writes it, in float64, parameter by parameter."""
    model = model.double()
    velocity = {name: torch.zeros_like(one) for name, one in model.named_parameters()}
    for step in range(STEPS):
        model.zero_grad()
        model(images.double()).square().mean().backward()
        for name, one in model.named_parameters():
            decay = CONFIG.weight_decay if one.ndim > 1 else CONFIG.weight_decay_1d
            weight, gradient = one.detach(), one.grad
            size, slope = weight.norm().item(), gradient.norm().item()
            if size > 0 and slope > 0:
                rate = CONFIG.trust * size / (slope + decay * size + 1e-8)
                gradient = rate * (gradient + decay * weight)
            velocity[name] = CONFIG.momentum * velocity[name] + gradient
            one.data -= 0.1 * (step + 1) * velocity[name]
    return {name: one.detach() for name, one in model.named_parameters()}


def test_it_takes_the_steps_of_a_plain_computation_in_float64():
    got, expected = trained(network(), inputs()), plainly_trained(network(), inputs())
    for name, value in expected.items():
        torch.testing.assert_close(got[name].double(), value, rtol=1e-6, atol=1e-7)


def test_a_tensor_of_zeros_takes_its_plain_gradient():
    model = nn.Linear(3, 2)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = make_optimizer(model, CONFIG)
    set_learning_rate(optimizer, 0.5)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(model.weight.data, torch.full((2, 3), -0.5))


def test_a_parameter_without_gradient_stays_as_it_is():
    model = network()
    before = model[0].weight.detach().clone()
    model[0].weight.requires_grad_(False)
    trained(model, inputs())
    assert torch.equal(model[0].weight, before)


def _sharded(shape, name):
    model = network()
    names = ("replicate", "shard")[-len(shape) :]
    mesh = init_device_mesh("cpu", shape, mesh_dim_names=names)
    for layer in (0, 2):
        fully_shard(model[layer], mesh=mesh)
    fully_shard(model, mesh=mesh)
    reduced = []
    real = dist.all_reduce

    def counting(*arguments, **options):
        reduced.append(arguments)
        return real(*arguments, **options)

    dist.all_reduce = counting
    values = trained(model, inputs().chunk(dist.get_world_size())[dist.get_rank()], name)
    dist.all_reduce = real
    return {key: one.full_tensor() for key, one in values.items() if isinstance(one, DTensor)}, len(
        reduced
    )


@pytest.mark.parametrize(("shape", "name"), [((4,), "larc"), ((2, 2), "larc"), ((4,), "adamw")])
def test_shards_take_the_same_steps_with_one_reduction_each(shape, name):
    expected = trained(network(), inputs(), name)
    for values, num_reductions in on_ranks(4, _sharded, shape, name):
        assert values.keys() == expected.keys()
        for key, value in expected.items():
            torch.testing.assert_close(values[key], value, rtol=1e-5, atol=1e-6)
        # FSDP's own reductions of a two-dimensional mesh are counted, too: one for each of 3 units.
        own = STEPS if name == "larc" else 0
        assert num_reductions in (own, own + 3 * STEPS)


def test_the_rate_warms_up_then_falls_by_a_cosine():
    config = OptimConfig()
    rates = [learning_rate(step, config, 7936) for step in (0, 2750, 5500, 65754, 126_008)]
    middle = 0.0093 + (9.3 - 0.0093) / 2
    assert rates == pytest.approx([0.15, (0.15 + 9.3) / 2, 9.3, middle, 0.0093])
    assert learning_rate(0, OptimConfig(warmup_steps=0, steps=1), 256) == pytest.approx(0.3)


def test_biases_and_norms_have_a_decay_of_their_own():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    weights, others = make_optimizer(model, CONFIG).param_groups
    assert [tuple(one.shape) for one in weights["params"]] == [(4, 3, 1, 1)]
    assert len(others["params"]) == 3
    assert (weights["weight_decay"], others["weight_decay"]) == (1e-2, 0)
    assert math.isclose(CONFIG.trust, 0.001)
