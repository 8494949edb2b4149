from itertools import pairwise

import pytest
import torch

from train_entry.config import TrainConfig, validated
from train_entry.family import FAMILY, RegNetConfig
from train_entry.flops import count_flops, meta_model
from train_entry.swav import SwAV

TINY = {"w_0": 16, "w_a": 8, "w_m": 2.2, "depth": 5, "group_width": 8, "stem_width": 16}
CROPS = ((2, 64), (4, 32))


def _config(crops=CROPS, **sections) -> TrainConfig:
    groups = [{"count": count, "px": px, "area_min": 0.1, "area_max": 1} for count, px in crops]
    values = {
        "output": "none",
        "data": {"dataset": "none", "batch": 8},
        "model": TINY,
        "crops": {"groups": groups},
        "swav": {"hidden": [24, 12], "dim": 8, "prototypes": 30},
    }
    return validated({**values, **sections}, "test")


def _seer(name: str, **parallel) -> TrainConfig:
    """A member of the family with SEER's crops and head."""
    values = {"output": "none", "data": {"dataset": "none", "batch": 8}, "model": {"name": name}}
    return validated({**values, "parallel": parallel}, "test")


def _stage_multiply_adds(config: RegNetConfig, px: int) -> list[int]:
    """Of the stem, then of each stage, for one square image; written down from the paper."""
    side = -(-px // 2)
    found = [side**2 * config.stem_width * 3 * 9]
    inputs = config.stem_width
    for stage in config.stages():
        total, width = 0, stage.width
        for number in range(stage.depth):
            before = side
            side = -(-side // 2) if number == 0 else side
            squeezed = round(config.se_ratio * inputs)
            total += before**2 * inputs * width
            total += side**2 * (width * stage.group_width * 9 + width * width)
            total += 2 * width * squeezed
            total += side**2 * inputs * width if number == 0 else 0
            inputs = width
        found.append(total)
    return found


def _head_multiply_adds(config: TrainConfig) -> int:
    swav = config.swav
    widths = [config.model.stages()[-1].width, *swav.hidden, swav.dim, swav.prototypes]
    return sum(inputs * outputs for inputs, outputs in pairwise(widths))


@pytest.mark.parametrize("crops", [CROPS, ((1, 96),), ((2, 48), (3, 40), (1, 33))])
def test_each_size_is_counted_by_itself(crops):
    config = _config(crops)
    expected = sum(
        count * (sum(_stage_multiply_adds(config.model, px)) + _head_multiply_adds(config))
        for count, px in crops
    )
    assert count_flops(config).forward == 2 * expected


def test_in_a_single_pass_small_crops_cost_as_much_as_large_ones():
    padded = _config(swav={"hidden": [24, 12], "dim": 8, "prototypes": 30, "single_pass": True})
    assert count_flops(padded).forward == count_flops(_config(crops=((6, 64),))).forward


def test_training_is_three_forward_passes_and_four_of_checkpointed_stages():
    flops = count_flops(_config(parallel={"checkpoint_stages": [2]}))
    stages = [_stage_multiply_adds(_config().model, px) for _, px in CROPS]
    again = 2 * sum(count * stage[2] for (count, _), stage in zip(CROPS, stages, strict=True))
    assert flops.checkpointed == again
    assert flops.model == 3 * flops.forward
    assert flops.hardware == 3 * flops.forward + again


def test_batch_and_parts_of_it_change_nothing():
    expected = count_flops(_config())
    parts = _config(data={"dataset": "none", "batch": 64}, optim={"accumulate": 4})
    assert count_flops(parts) == expected


# GMAC of the trunk at 96, 160 and 224 px, and TFLOP of an image: measured by the feasibility study.
@pytest.mark.parametrize(
    ("name", "gmac", "tflop"),
    [
        ("rg_32gf", (5.9, 16.5, 32.3), 0.34),
        ("rg_64gf", (11.8, 32.7, 64.1), 0.68),
        ("rg_128gf", (23.5, 65.1, 127.5), 1.35),
        ("rg_256gf", (46.9, 129.9, 254.4), 2.68),
        ("rg_10b", (343.2, 951.3, 1_863.3), 19.65),
    ],
)
def test_the_family_costs_what_was_measured(name, gmac, tflop):
    trunk = [sum(_stage_multiply_adds(FAMILY[name], px)) for px in (96, 160, 224)]
    assert [one / 1e9 for one in trunk] == pytest.approx(gmac, abs=0.06)
    config = _seer(name)
    head = 6 * 3 * 2 * _head_multiply_adds(config)
    assert (count_flops(config).model - head) / 1e12 == pytest.approx(tflop, abs=0.006)


def test_the_10b_costs_what_was_measured():
    flops = count_flops(_seer("rg_10b", checkpoint_stages=[1, 2, 3, 4]))
    assert flops.forward / 2e9 == pytest.approx(3_277, abs=0.5)
    assert flops.model / 1e12 == pytest.approx(19.66, abs=0.005)
    assert flops.hardware / 1e12 == pytest.approx(26.22, abs=0.01)


def test_nothing_of_the_model_is_allocated_and_prototypes_stay_float32():
    model = meta_model(_config(model={**TINY, "precision": "bfloat16"}))
    assert isinstance(model, SwAV)
    assert {one.device.type for one in model.state_dict().values()} == {"meta"}
    assert model.prototypes.weight.dtype == torch.float32
    assert {one.dtype for one in model.head.parameters()} == {torch.bfloat16}
