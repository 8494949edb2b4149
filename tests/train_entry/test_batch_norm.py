import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.utils.checkpoint import checkpoint

from tests.train_entry.ranks import on_ranks
from train_entry.batch_norm import tape_contexts, use_group_batch_norm

CHANNELS = 6


def network():
    torch.manual_seed(3)
    layers = [nn.Conv2d(3, CHANNELS, 3), nn.BatchNorm2d(CHANNELS), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(CHANNELS, 4, 1), nn.BatchNorm2d(4)).double()


def pictures(count, dtype=torch.float64):
    generator = torch.Generator().manual_seed(5)
    # A mean far from 0, where sums of squares lose digits.
    return (torch.randn(count, 3, 8, 8, generator=generator, dtype=torch.float64) + 7).to(dtype)


def trained(model, images, steps=3):
    """Output, gradients and statistics after some passes; the loss is a sum over images."""
    for _ in range(steps):
        model.zero_grad()
        output = model(images)
        output.square().sin().sum().backward()
    gradients = {name: one.grad for name, one in model.named_parameters()}
    return output.detach(), gradients, dict(model.named_buffers())


def alone(dtype=torch.float32):
    model = network().to(dtype)
    use_group_batch_norm(model, None)
    return trained(model, pictures(8, dtype))


def assert_all_close(got, expected, tolerance=1e-6):
    """Within a share of the largest value of each tensor."""
    for name, value in expected.items():
        allowed = tolerance * max(1.0, value.abs().max().item())
        torch.testing.assert_close(
            got[name].double(),
            value.double(),
            rtol=0,
            atol=allowed,
            msg=lambda text, n=name: n + text,
        )


def test_alone_it_computes_what_torch_computes():
    output, gradients, buffers = alone()
    expected_output, expected_gradients, expected_buffers = trained(network(), pictures(8))
    torch.testing.assert_close(output.double(), expected_output, rtol=1e-4, atol=1e-5)
    assert_all_close(gradients, expected_gradients, 1e-3)
    assert_all_close(buffers, expected_buffers, 1e-6)


def _share(group_size):
    model = network().float()
    rank, world = dist.get_rank(), dist.get_world_size()
    starts = range(0, world, group_size)
    groups = [dist.new_group(list(range(one, one + group_size))) for one in starts]
    use_group_batch_norm(model, groups[rank // group_size])
    own = pictures(8, torch.float32).chunk(world)[rank]
    output, gradients, buffers = trained(model, own)
    for gradient in gradients.values():
        dist.all_reduce(gradient)
    return output, gradients, buffers


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_together_compute_what_one_computes(world):
    expected_output, expected_gradients, expected_buffers = alone()
    results = on_ranks(world, _share, world)
    output = torch.cat([one[0] for one in results])
    torch.testing.assert_close(output, expected_output, rtol=1e-4, atol=1e-5)
    for _, gradients, buffers in results:
        assert_all_close(gradients, expected_gradients, 1e-3)
        assert_all_close(buffers, expected_buffers, 1e-6)


def test_a_group_knows_nothing_of_the_other_group():
    results = on_ranks(4, _share, 2)
    first, second = (results[index][2]["1.running_mean"] for index in (0, 2))
    torch.testing.assert_close(first, results[1][2]["1.running_mean"], rtol=0, atol=0)
    assert not torch.equal(first, second)
    model = network().float()
    use_group_batch_norm(model, None)
    _, _, buffers = trained(model, pictures(8, torch.float32)[:4])
    torch.testing.assert_close(first, buffers["1.running_mean"], rtol=1e-6, atol=1e-6)


class Checkpointed(nn.Sequential):
    def forward(self, images):
        return checkpoint(super().forward, images, use_reentrant=False, context_fn=tape_contexts)


def test_a_checkpointed_region_updates_its_statistics_once():
    plain, again = network().float(), network().float()
    use_group_batch_norm(plain, None)
    use_group_batch_norm(again, None)
    images = pictures(8, torch.float32)
    # Two passes before one backward pass, as with crops of two sizes.
    losses = []
    for model in (plain, Checkpointed(*again)):
        large, small = model(images), model(images[:5, :, :6, :6])
        loss = large.sin().sum() + small.square().sum()
        loss.backward()
        losses.append(loss.detach())
    assert torch.equal(*losses)
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)
    for (name, one), other in zip(plain.named_buffers(), again.buffers(), strict=True):
        assert torch.equal(one, other), name


def test_it_evaluates_with_the_running_statistics():
    model = network().float()
    use_group_batch_norm(model, None)
    trained(model, pictures(8, torch.float32))
    expected = network().float()
    expected.load_state_dict(model.state_dict())
    images = pictures(3, torch.float32)
    assert torch.equal(model.eval()(images), expected.eval()(images))


def test_statistics_of_bfloat16_are_float32():
    model = network().to(torch.bfloat16)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = module.running_mean.float()
            module.running_var = module.running_var.float()
    use_group_batch_norm(model, None)
    output, _, buffers = trained(model, pictures(8, torch.bfloat16), steps=1)
    assert output.dtype == torch.bfloat16
    assert buffers["1.running_mean"].dtype == torch.float32
    assert bool(torch.isfinite(buffers["1.running_var"]).all())
