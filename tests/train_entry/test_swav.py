import math

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.train_entry.ranks import on_ranks
from train_entry.config import ModelConfig, SwavConfig
from train_entry.swav import SwAV, balanced_assignment, prototype_usage, swav_loss

TINY = ModelConfig(w_0=16, w_a=8, w_m=2.2, depth=3, group_width=8, stem_width=16)
SWAV = SwavConfig(hidden=(24,), dim=8, prototypes=12)


def plain_assignment(scores, epsilon, rounds):
    """Sinkhorn's algorithm as the paper writes it, K x B, float64, one number at a time."""
    num_samples, num_prototypes = scores.shape
    plan = [
        [math.exp(scores[b, k] / epsilon) for b in range(num_samples)]
        for k in range(num_prototypes)
    ]
    total = sum(map(sum, plan))
    plan = [[value / total for value in row] for row in plan]
    for _ in range(rounds):
        plan = [[value / sum(row) / num_prototypes for value in row] for row in plan]
        columns = [sum(row[b] for row in plan) for b in range(num_samples)]
        plan = [[row[b] / columns[b] / num_samples for b in range(num_samples)] for row in plan]
    columns = [sum(row[b] for row in plan) for b in range(num_samples)]
    return np.array(
        [[plan[k][b] / columns[b] for k in range(num_prototypes)] for b in range(num_samples)]
    )


cosines = st.tuples(st.integers(1, 6), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(-1, 1, width=32))
)


@settings(deadline=None)
@given(scores=cosines, epsilon=st.sampled_from([0.03, 0.05, 0.5]), rounds=st.integers(1, 10))
def test_the_assignment_is_that_of_a_plain_computation_in_float64(scores, epsilon, rounds):
    got = balanced_assignment(torch.tensor(scores), epsilon=epsilon, rounds=rounds)
    expected = plain_assignment(scores.astype(np.float32).astype(np.float64), epsilon, rounds)
    np.testing.assert_allclose(got.double().numpy(), expected, atol=2e-5)
    np.testing.assert_allclose(got.sum(dim=1).numpy(), 1, rtol=1e-6)


def test_the_assignment_of_a_batch_is_exact_to_a_millionth():
    generator = torch.Generator().manual_seed(1)
    scores = torch.nn.functional.normalize(torch.randn(24, 9, generator=generator), dim=1)
    got = balanced_assignment(scores, epsilon=0.05, rounds=3)
    np.testing.assert_allclose(
        got.double().numpy(), plain_assignment(scores.double().numpy(), 0.05, 3), atol=1e-6
    )


def test_many_rounds_use_all_prototypes_equally():
    scores = torch.rand(64, 8, generator=torch.Generator().manual_seed(0))
    plan = balanced_assignment(scores, epsilon=0.1, rounds=200)
    torch.testing.assert_close(plan.sum(dim=0), torch.full((8,), 8.0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_and_the_sharpest_setting_overflow_nowhere(dtype):
    scores = torch.tensor([[1.0, -1.0, 0.9], [1.0, -1.0, -0.9]], dtype=dtype)
    plan = balanced_assignment(scores, epsilon=0.01, rounds=10)
    assert plan.dtype == torch.float32
    assert bool(torch.isfinite(plan).all())
    torch.testing.assert_close(plan.sum(dim=1), torch.ones(2))


def test_a_senseless_epsilon_is_refused():
    with pytest.raises(ValueError, match="expected epsilon > 0 and rounds >= 1, got 0 and 3"):
        balanced_assignment(torch.zeros(2, 2), epsilon=0, rounds=3)


def _share(scores):
    own = scores.chunk(dist.get_world_size())[dist.get_rank()]
    group = dist.group.WORLD
    plan = balanced_assignment(own, epsilon=0.05, rounds=3, group=group)
    return plan, prototype_usage(own, group)


def test_ranks_together_assign_as_one_rank_does():
    scores = torch.rand(20, 7, generator=torch.Generator().manual_seed(2)) * 2 - 1
    results = on_ranks(2, _share, scores)
    expected = balanced_assignment(scores, epsilon=0.05, rounds=3)
    torch.testing.assert_close(torch.cat([plan for plan, _ in results]), expected)
    for _, usage in results:
        torch.testing.assert_close(usage, prototype_usage(scores))


def plain_loss(scores, codes, temperature):
    total, terms = 0.0, 0
    for a in range(len(codes)):
        for v in range(len(scores)):
            if a == v:
                continue
            terms += 1
            for b in range(scores.shape[1]):
                exponents = [math.exp(x / temperature) for x in scores[v, b]]
                for k, exponent in enumerate(exponents):
                    share = exponent / sum(exponents)
                    total -= codes[a, b, k] * math.log(share) / scores.shape[1]
    return total / terms


def test_the_loss_is_that_of_a_plain_computation_in_float64():
    generator = torch.Generator().manual_seed(4)
    scores = torch.rand(6, 5, 9, generator=generator, dtype=torch.float64) * 2 - 1
    codes = torch.softmax(torch.randn(2, 5, 9, generator=generator, dtype=torch.float64), dim=2)
    expected = plain_loss(scores.numpy(), codes.numpy(), 0.1)
    assert swav_loss(scores, codes, 0.1).item() == pytest.approx(expected, rel=1e-10)
    assert swav_loss(scores.float(), codes.float(), 0.1).item() == pytest.approx(expected, rel=1e-6)


def test_usage_is_1_if_all_prototypes_are_chosen_and_0_if_one_is():
    assert prototype_usage(torch.eye(8)).item() == pytest.approx(1)
    assert prototype_usage(torch.ones(8, 1) * torch.arange(8)).item() == 0


def test_losses_of_sizes_add_up_to_that_of_all_crops():
    generator = torch.Generator().manual_seed(4)
    scores = torch.rand(6, 5, 9, generator=generator) * 2 - 1
    codes = torch.softmax(torch.randn(2, 5, 9, generator=generator), dim=2)
    parts = [
        swav_loss(scores[begin:end], codes, 0.1, first_crop=begin, num_crops=6)
        for begin, end in ((0, 2), (2, 6))
    ]
    torch.testing.assert_close(sum(parts), swav_loss(scores, codes, 0.1))


def test_embeddings_and_scores_come_in_order_and_those_of_a_queue_last():
    model = SwAV(TINY, SWAV).eval()
    torch.nn.init.normal_(model.prototypes.weight)
    model.prototypes.normalise()
    images = torch.randn(10, 3, 32, 32)
    queue = torch.nn.functional.normalize(torch.randn(4, SWAV.dim), dim=1)
    embeddings, scores = model([images], queue)
    assert embeddings.shape == (10, SWAV.dim)
    assert scores.shape == (14, SWAV.prototypes)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(10))
    torch.testing.assert_close(scores[10:], queue @ model.prototypes.weight.T)
    torch.testing.assert_close(model.prototypes.weight.norm(dim=1), torch.ones(SWAV.prototypes))
    alone, _ = model([images[5:]])
    torch.testing.assert_close(alone, embeddings[5:])


def test_in_a_single_pass_large_crops_come_out_the_same():
    model = SwAV(TINY, SWAV).eval()
    torch.nn.init.normal_(model.prototypes.weight)
    large, small = torch.randn(4, 3, 64, 64), torch.randn(6, 3, 32, 32)
    got, _ = model([large, small])
    torch.testing.assert_close(got[:4], model([large])[0])
    # Padding takes part in the means of the gates, as in SEER.
    assert not torch.allclose(got[4:], model([small])[0])
