"""Work of a step: floating-point operations per image, counted, never run.

A multiply-add is two operations. Only convolutions and matrix products count, as is usual for MFU.
The count of a backward pass is twice that of the forward pass by definition here, because
`FlopCounterMode` takes the weight gradient of a grouped convolution for that of a full one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from train_entry.config import CropGroup, TrainConfig
from train_entry.swav import SwAV

# Forward, gradient of the inputs, gradient of the weights; one more forward where it is repeated.
_PASSES, _PASSES_CHECKPOINTED = 3, 4


@dataclass(frozen=True)
class ImageFlops:
    """Operations for one image, all its crops together."""

    forward: int
    checkpointed: int  # of `forward`: stages that are computed again in the backward pass

    @property
    def model(self) -> int:
        """What training needs at least: three times the forward pass; MFU is told of these."""
        return _PASSES * self.forward

    @property
    def hardware(self) -> int:
        """What is really computed, with the second forward pass of checkpointed stages."""
        return self.model + (_PASSES_CHECKPOINTED - _PASSES) * self.checkpointed


def count_flops(config: TrainConfig) -> ImageFlops:
    """The work of one image in trunk, head and prototypes, as the configuration passes its crops.

    Without loss and Sinkhorn, whose products are too few to count, and without the queue.
    """
    model = meta_model(config).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        for images in meta_passes(config, num_images=1):
            model(images)
    by_module = {
        name.removeprefix("SwAV."): sum(counts.values())
        for name, counts in counter.get_flop_counts().items()
    }
    stages = set(config.parallel.checkpoint_stages)
    checkpointed = sum(by_module.get(f"trunk.stages.{stage - 1}", 0) for stage in stages)
    return ImageFlops(counter.get_total_flops(), checkpointed)


def meta_model(config: TrainConfig) -> SwAV:
    """The model without memory, in the precision of its passes; the prototypes stay float32."""
    with torch.device("meta"):
        model = SwAV(config.model, config.swav)
    dtype = getattr(torch, config.model.precision)
    model.trunk.to(dtype)
    model.head.to(dtype)
    return model


def passes(config: TrainConfig) -> list[tuple[CropGroup, ...]]:
    """The sizes of crops that go forward and backward together, pass by pass."""
    groups = config.crops.groups
    return [groups] if config.swav.single_pass else [(group,) for group in groups]


def meta_passes(config: TrainConfig, num_images: int) -> list[list[Tensor]]:
    """Crops without memory: for each size of each pass [crops * B, 3, px, px]."""
    dtype = getattr(torch, config.model.precision)
    return [
        [
            torch.empty(group.count * num_images, 3, group.px, group.px, dtype=dtype, device="meta")
            for group in groups
        ]
        for groups in passes(config)
    ]
