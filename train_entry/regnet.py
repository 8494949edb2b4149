"""RegNetY, the trunk: from five numbers to a module.

B images, C channels, H and W pixels.
Source: Radosavovic et al. 2020, arXiv:2003.13678; as SEER has it: a stem of one convolution, and
squeeze and excitation of a quarter of the block's *input* width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from train_entry.family import RegNetConfig, Stage

BN_EPSILON, BN_MOMENTUM = 1e-5, 0.1
# The trunk halves the resolution once in the stem and once in each stage.
STEM_STRIDE = STAGE_STRIDE = 2


class ConvNorm(nn.Module):
    """A convolution without bias and its batch norm."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        padding = kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, BN_EPSILON, BN_MOMENTUM)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(x_BCHW))
        return normed


class Gate(nn.Module):
    """Squeeze and excitation: each channel times a factor that depends on all channels' means."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        means = x_BCHW.mean(dim=(2, 3), keepdim=True)
        return x_BCHW * torch.sigmoid(self.excite(relu(self.squeeze(means))))


class Block(nn.Module):
    """A residual block: 1 x 1, grouped 3 x 3, gate, 1 x 1; all of one width."""

    def __init__(self, inputs: int, stage: Stage, stride: int, se_ratio: float) -> None:
        super().__init__()
        width = stage.width
        self.reduce = ConvNorm(inputs, width)
        self.spatial = ConvNorm(width, width, 3, stride, groups=width // stage.group_width)
        self.gate = Gate(width, round(se_ratio * inputs))
        self.expand = ConvNorm(width, width)
        resized = inputs != width or stride != 1
        self.shortcut = ConvNorm(inputs, width, stride=stride) if resized else None

    def forward(self, x_BCHW: Tensor) -> Tensor:
        residual = x_BCHW if self.shortcut is None else self.shortcut(x_BCHW)
        inner = relu(self.spatial(relu(self.reduce(x_BCHW))))
        return relu(residual + self.expand(self.gate(inner)))


class RegNet(nn.Module):
    """A RegNetY without classifier; its output is the average over the last map."""

    def __init__(self, config: RegNetConfig) -> None:
        super().__init__()
        stages = config.stages()
        self.stem = ConvNorm(3, config.stem_width, 3, STEM_STRIDE)
        self.stages = nn.ModuleList()
        inputs = config.stem_width
        for stage in stages:
            blocks = nn.Sequential()
            for number in range(stage.depth):
                stride = STAGE_STRIDE if number == 0 else 1
                blocks.append(Block(inputs, stage, stride, config.se_ratio))
                inputs = stage.width
            self.stages.append(blocks)
        self.width = inputs
        self.stride = STEM_STRIDE * STAGE_STRIDE ** len(stages)

    def forward(
        self, images_BCHW: Tensor, sizes: Sequence[tuple[int, int]] | None = None
    ) -> Tensor:
        """Features [B, width].

        sizes: of images that were padded at the right and at the bottom, in order: how many have
        which true side, pixels. Their padding is left out of the average, and of nothing before.
        """
        x = relu(self.stem(images_BCHW))
        for stage in self.stages:
            x = stage(x)
        if sizes is None:
            return x.mean(dim=(2, 3))
        parts, pooled = x.split([count for count, _ in sizes]), []
        for part, (_, px) in zip(parts, sizes, strict=True):
            side = math.ceil(px / self.stride)
            pooled.append(part[:, :, :side, :side].mean(dim=(2, 3)))
        return torch.cat(pooled)
