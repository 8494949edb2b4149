"""R-MAC: the largest values in regions of a map, whitened and summed to one vector an image.

B or N images, C channels, H and W pixels, R regions, K dimensions that are kept.
Source: Tolias et al. 2016, arXiv:1511.05879, section 4.2. Where it leaves things open, this follows
VISSL, with which SEER was evaluated: each region has the length 1 before and after the whitening,
and small variances of the whitening are raised to a share of the largest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh  # type: ignore[import-untyped]  # it has no types
from torch import Tensor
from torch.nn.functional import normalize

from train_entry.errors import DataError
from train_entry.evaluation.scores import Features
from train_entry.evaluation.taps import features_of

# Neighbouring regions should share this part of their area; the longer side has so many more.
_OVERLAP = 0.4
_MORE_REGIONS = range(1, 7)
# Variances below this share of the largest are raised to it; those that are mere rounding are not.
_LEAST_VARIANCE, _ROUNDING = 1e-5, 1e-12
# Regions at once: 64 MiB of float64.
_BLOCK_VALUES = 1 << 23
Doubles = NDArray[np.float64]


def region_boxes(height: int, width: int, levels: int) -> list[tuple[int, int, int]]:
    """Squares that cover a map, as (top, left, side): at level 1 the largest, then smaller ones.

    Level L has squares of side 2 * min(height, width) / (L + 1), L along the shorter side of the
    map and as many more along the longer one as make neighbours overlap by about 40 %.
    """
    shorter = min(height, width)
    more = _more_regions(height, width)
    boxes = []
    for level in range(1, levels + 1):
        side = 2 * shorter // (level + 1)
        if side:
            tops = _starts(height - side, level + (more if height > width else 0))
            lefts = _starts(width - side, level + (more if width > height else 0))
            boxes += [(top, left, side) for top in tops for left in lefts]
    return boxes


def _more_regions(height: int, width: int) -> int:
    shorter, longer = sorted((height, width))
    shared = [1 - (longer - shorter) / more / shorter for more in _MORE_REGIONS]
    return 1 + int(np.argmin([abs(share - _OVERLAP) for share in shared]))


def _starts(room: int, num: int) -> list[int]:
    return [room * number // (num - 1) for number in range(num)] if num > 1 else [0]


def regions(map_BCHW: Tensor, levels: int) -> Tensor:
    """The largest value of each channel in each region, [B, R, C]."""
    boxes = region_boxes(map_BCHW.shape[2], map_BCHW.shape[3], levels)
    found = [
        map_BCHW[:, :, top : top + side, left : left + side].amax(dim=(2, 3))
        for top, left, side in boxes
    ]
    return torch.stack(found, dim=1)


@dataclass(frozen=True)
class Whitening:
    """What makes regions uncorrelated and of equal variance. mean: [C]; projection: [C, K]."""

    mean: Tensor
    projection: Tensor

    @property
    def dimensions(self) -> int:
        """How many are kept."""
        return self.projection.shape[1]


def learn_whitening(features: Tensor, dimensions: int) -> Whitening:
    """Principal components of regions of length 1, each divided by its standard deviation.

    features: [N, R, C], or [N, C] of one region each. There are at most `dimensions` components,
    and fewer if the regions do not vary in so many. Memory: float64 of the square of C or, if that
    is less, of the number of regions. Raises DataError if the regions do not vary at all.
    """
    num = features.shape[:-1].numel()
    if not num:
        raise DataError("whitening: expected images to learn it on, got none")
    mean = sum((block.sum(axis=0) for block in _unit_blocks(features)), np.zeros(1)) / num
    few = num <= features.shape[-1]
    spread = _gram(features, mean) if few else _covariance(features, mean)
    most = min(dimensions, len(spread))
    # Only the largest are worth finding: the others take most of the time.
    found = eigh(spread, subset_by_index=(len(spread) - most, len(spread) - 1))
    variances, vectors = found[0][::-1], found[1][:, ::-1]
    kept = variances > max(_ROUNDING * len(spread) * variances[0], 0.0)
    if not kept.any():
        raise DataError(f"whitening: expected regions that differ, got {num} alike")
    variances, vectors = variances[kept], vectors[:, kept]
    if few:
        vectors = _centred(features, mean).T @ vectors / np.sqrt(variances)
    # A component may be turned round; which way must not depend on the library.
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(len(largest))])
    raised = np.sqrt(np.maximum(variances, _LEAST_VARIANCE * variances[0]) / num)
    return Whitening(torch.from_numpy(mean), torch.from_numpy(vectors / raised))


def _unit_blocks(features: Tensor) -> Iterator[Doubles]:
    """All regions, of length 1, some images at a time; float64, in which sums are exact enough."""
    step = max(1, _BLOCK_VALUES // max(1, features.shape[1:].numel()))
    for begin in range(0, len(features), step):
        block = features[begin : begin + step].double()
        yield normalize(block, dim=-1).reshape(-1, features.shape[-1]).numpy()


def _covariance(features: Tensor, mean: Doubles) -> Doubles:
    """The sum over regions of products of channels, [C, C]."""
    total = np.zeros((features.shape[-1],) * 2)
    for block in _unit_blocks(features):
        total += (block - mean).T @ (block - mean)
    return total


def _gram(features: Tensor, mean: Doubles) -> Doubles:
    """The products of all regions, which has the same variances where they are fewer."""
    whole = _centred(features, mean)
    products: Doubles = whole @ whole.T
    return products


def _centred(features: Tensor, mean: Doubles) -> Doubles:
    return np.concatenate([block - mean for block in _unit_blocks(features)])


def aggregate(features: Tensor, whitening: Whitening | None = None) -> Tensor:
    """One vector of length 1 an image, float32 [N, K] or [N, C]: the sum of its regions.

    features: [N, R, C], or [N, C] of one region each. Each region is brought to the length 1,
    whitened if that is asked for, and brought to the length 1 again.
    """
    width = whitening.dimensions if whitening else features.shape[-1]
    found = torch.empty((len(features), width))
    step = max(1, _BLOCK_VALUES // max(1, features.shape[1:].numel()))
    for begin in range(0, len(features), step):
        block = features[begin : begin + step]
        unit = normalize((block if block.ndim == 3 else block.unsqueeze(1)).double(), dim=-1)
        if whitening:
            unit = normalize((unit - whitening.mean) @ whitening.projection, dim=-1)
        found[begin : begin + step] = normalize(unit.sum(dim=1), dim=-1)
    return found


@dataclass(frozen=True)
class Description:
    """How features of a tap become vectors that are compared, and what a figure should say of it.

    num_regions: how many of an image's regions count, from the first. told: the whitening in words.
    """

    tap: str
    num_regions: int
    whitening: Whitening | None
    told: str

    @classmethod
    def of(
        cls, tap: str, levels: int, learned_on: Features | None, dimensions: int
    ) -> "Description":
        """Learns the whitening, if there are images to learn it on; raises DataError."""
        # On a square map, as all of ours are, the regions of the first levels come first.
        num = sum(level**2 for level in range(1, levels + 1))
        plain = cls(tap, num, None, "not whitened")
        if learned_on is None:
            return plain
        whitening = learn_whitening(plain.regions(learned_on), dimensions)
        kept = whitening.dimensions
        fewer = f"{kept} of {dimensions}" if kept < dimensions else f"{kept}"
        return cls(tap, num, whitening, f"whitened to {fewer} dimensions")

    def regions(self, part: Features) -> Tensor:
        """The features of a part, without regions of levels that were not asked for."""
        features = features_of(part, self.tap)
        return features[:, : self.num_regions] if features.ndim == 3 else features

    def vectors(self, part: Features) -> Tensor:
        """One vector an image, [N, K]; of a part without regions or whitening, its features."""
        features = self.regions(part)
        if features.ndim == 2 and self.whitening is None:
            return features
        return aggregate(features, self.whitening)
