"""Any torch module as an encoder.

B images, H and W pixels, C channels, D dimensions, T tokens.
"""

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from inspect import signature
from typing import Any

from torch import Tensor, nn

from schemas.figures import EncoderRecord
from train_entry.errors import ConfigError
from train_entry.evaluation.encoder import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    POOL,
    Encoder,
    Network,
    Placement,
    Rgb,
    weights_sha256,
)


@dataclass(frozen=True)
class TorchEncoder:
    """A module of another library, for `--model package.module:function`, which returns one.

    A module alone will do if it gives [B, D], a map [B, C, H, W] (its mean is taken), or an object
    with `pooler_output` or `last_hidden_state` (its first token is taken, or its mean if a map):

        torchvision   model = regnet_y_32gf(weights=...); model.fc = nn.Identity()
        timm          timm.create_model("vit_base_patch16_224", pretrained=True, num_classes=0)
        transformers  AutoModel.from_pretrained("facebook/dinov2-base")

    forward: of the module and normalised images, for those that need another call than the module's
    own; it may give several taps by name, which `taps` then lists. mean, std: what its colours were
    normalised with, of 0 to 1.
    """

    module: nn.Module
    forward: Callable[[nn.Module, Tensor], Any] | None = None
    mean: Rgb = IMAGENET_MEAN
    std: Rgb = IMAGENET_STD
    name: str = ""
    taps: tuple[str, ...] = (POOL,)

    def placed(self, placement: Placement, name: str) -> Encoder:
        """The encoder, on its device; name: what to call it if it has none of its own."""
        if placement.shard:
            raise ConfigError(f"shard: expected a checkpoint of ours, got {name}")
        module = self.module.to(placement.ranks.device).eval().requires_grad_(requires_grad=False)
        record = EncoderRecord(
            name=self.name or name,
            sha256=weights_sha256(module.state_dict()),
            num_parameters=sum(one.numel() for one in module.parameters()),
        )
        network = Network(module, self._taps_of, self.taps, self.mean, self.std)
        return Encoder(network, record, placement)

    def _taps_of(self, images_BCHW: Tensor, taps: Collection[str]) -> Mapping[str, Tensor]:
        call = self.forward or _call
        output = call(self.module, images_BCHW)
        if isinstance(output, Mapping) and POOL in output:
            return output
        return {POOL: _pooled(output)}


def _call(module: nn.Module, images_BCHW: Tensor) -> Any:
    return module(images_BCHW)


def _pooled(output: Any) -> Tensor:
    """One row an image [B, D], out of what modules give; raises ConfigError."""
    for name in ("pooler_output", "last_hidden_state"):
        if getattr(output, name, None) is not None:
            output = getattr(output, name)
            break
    if not isinstance(output, Tensor) or output.dim() not in (2, 3, 4):
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ConfigError(f"expected features [B, D], [B, T, D] or [B, C, H, W], got {got}")
    if output.dim() == 4:
        return output.float().mean(dim=(2, 3))
    return output[:, 0] if output.dim() == 3 else output


def make_torch_encoder(reference: str) -> TorchEncoder:
    """What `package.module:function`, called without arguments, makes; raises ConfigError."""
    module_name, _, name = reference.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{reference}: expected package.module:function: {error}") from error
    try:
        signature(function).bind()
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{reference}: expected a function that needs no arguments: {error}"
        ) from error
    made = function()
    if isinstance(made, nn.Module):
        return TorchEncoder(made)
    if not isinstance(made, TorchEncoder):
        raise ConfigError(
            f"{reference}: expected a torch module or a TorchEncoder, got {type(made).__name__}"
        )
    return made
