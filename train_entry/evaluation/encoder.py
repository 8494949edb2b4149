"""What turns images into features.

B images, H and W pixels, D dimensions. Features come from named places of a network, its taps; each
encoder has at least `pool`, [B, D].
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from schemas.figures import EncoderRecord
from train_entry.errors import ConfigError
from train_entry.parallel import DTYPES, Ranks

POOL, POOL_NORM = "pool", "pool_norm"
Rgb = tuple[float, float, float]
IMAGENET_MEAN: Rgb = (0.485, 0.456, 0.406)
IMAGENET_STD: Rgb = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Placement:
    """Where an encoder computes, and how; precision: of the passes, float32 or bfloat16.

    shard: spread the weights over all ranks, each of which must then run equally many passes.
    """

    ranks: Ranks
    precision: str = "float32"
    shard: bool = False


@dataclass(frozen=True)
class Network:
    """A module in evaluation mode that gives the asked-for taps of normalised images.

    forward: of images [B, 3, H, W] and the names of taps. mean, std: of the colours, of 0 to 1.
    """

    module: nn.Module
    forward: Callable[[Tensor, Collection[str]], Mapping[str, Tensor]]
    taps: tuple[str, ...]
    mean: Rgb = IMAGENET_MEAN
    std: Rgb = IMAGENET_STD


class Encoder:
    """Gives features of pixels; `record` says whose they are, `taps` which there are.

    network: what it computes with, for whoever wants to train on.
    """

    def __init__(self, network: Network, record: EncoderRecord, placement: Placement) -> None:
        self.record, self.placement, self.taps = record, placement, network.taps
        self.network = network
        device = placement.ranks.device
        self._mean = torch.tensor(network.mean, device=device) * 255
        self._std = torch.tensor(network.std, device=device) * 255

    @property
    def colours(self) -> tuple[Rgb, Rgb]:
        """Mean and standard deviation that images are normalised with."""
        return self.network.mean, self.network.std

    @property
    def collective(self) -> bool:
        """Whether no rank can compute without the others."""
        return self.placement.shard and self.placement.ranks.world > 1

    def chosen(self, taps: Collection[str]) -> tuple[str, ...]:
        """Those of the taps that there are; `pool` if there is none of them.

        `pool_norm` is `pool` for whoever has a batch norm before his classifier.
        """
        known = [POOL if tap == POOL_NORM else tap for tap in taps]
        return tuple(dict.fromkeys(tap for tap in known if tap in self.taps)) or (POOL,)

    @torch.no_grad()
    def encode(self, pixels_BHWC: Tensor, taps: Collection[str] = (POOL,)) -> dict[str, Tensor]:
        """Features by tap, float32 on the encoder's device; pixels are uint8 on any device.

        Raises ConfigError if the network gives no features of some tap, or not a row an image.
        """
        device = self.placement.ranks.device
        images_BHWC = pixels_BHWC.to(device, non_blocking=True).float()
        images_BCHW = ((images_BHWC - self._mean) / self._std).permute(0, 3, 1, 2)
        with self._autocast():
            found = self.network.forward(images_BCHW, taps)
        return {tap: self._rows(found, tap, len(pixels_BHWC)) for tap in taps}

    def _rows(self, found: Mapping[str, Tensor], tap: str, num_images: int) -> Tensor:
        if tap not in found:
            given = ", ".join(found) or "none"
            raise ConfigError(f"{self.record.name}: expected features of {tap}, got {given}")
        shape = tuple(found[tap].shape)
        if len(shape) < 2 or shape[0] != num_images or 0 in shape:
            raise ConfigError(
                f"{self.record.name}: {tap}: expected features of each of {num_images} images, "
                f"got {shape}"
            )
        return found[tap].float()

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = DTYPES[self.placement.precision]
        if dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self.placement.ranks.device.type, dtype)


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors in order of name.

    Counters of batches are left out: nothing is computed from them, and older files lack them.
    Collective if tensors are spread over ranks.
    """
    digest = sha256()
    for name in sorted(state):
        if name.endswith("num_batches_tracked"):
            continue
        tensor = state[name].detach()
        whole = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        digest.update(f"{name} {whole.dtype} {tuple(whole.shape)}\n".encode())
        digest.update(whole.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
