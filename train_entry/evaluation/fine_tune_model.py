"""An encoder that trains on: its network, perhaps a layer of its head, and a new classifier.

B images, D dimensions, K classes. Weights are whole on each rank, and gradients then averaged by
hand; or spread over ranks by FSDP2, as the encoder came, and only the classifier is whole.
"""

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from train_entry.batch_norm import tape_contexts, use_group_batch_norm
from train_entry.evaluation.encoder import POOL, Encoder, Network, Placement
from train_entry.initialize import initialize
from train_entry.parallel import DTYPES
from train_entry.regnet import Block

# Gradients are copied together and reduced so many values at a time.
_BUCKET_VALUES = 16 << 20


@contextmanager
def borrowed_network(encoder: Encoder) -> Iterator[Network]:
    """The encoder's network to be changed at will: a copy, or itself, put right in the end.

    Weights that are spread over ranks are not there twice on the device: a copy waits on the CPU.
    """
    if not encoder.placement.shard:
        yield copy.deepcopy(encoder.network)
        return
    module = encoder.network.module
    kept = {name: _local(tensor).cpu().clone() for name, tensor in module.state_dict().items()}
    try:
        yield encoder.network
    finally:
        _spread_again(module)
        with torch.no_grad():
            for name, tensor in module.state_dict().items():
                _local(tensor).copy_(kept[name])
        for one in module.modules():
            # An activation checkpoint, if there was one, hides the class's own.
            vars(one).pop("forward", None)
        module.zero_grad(set_to_none=True)
        module.eval()


class TunedModel(nn.Module):
    """Scores [B, K] of normalised images, float32; collective if weights are spread."""

    def __init__(
        self, network: Network, placement: Placement, head: nn.Sequential | None, px: int
    ) -> None:
        super().__init__()
        self.encoder, self._forward = network.module, network.forward
        self._placement = placement
        ranks = placement.ranks
        self.encoder.requires_grad_(requires_grad=True)
        self.head = nn.Identity() if head is None else head.to(ranks.device)
        group = dist.group.WORLD if ranks.world > 1 else None
        use_group_batch_norm(self, group)
        if placement.shard:
            _checkpoint_blocks(self.encoder)
        self.eval()
        with torch.no_grad():
            blank_BCHW = torch.zeros((1, 3, px, px), device=ranks.device)
            self.width = self._features(blank_BCHW).shape[1]
        _spread_again(self.encoder)
        self.classifier: nn.Linear | None = None

    def add_classifier(self, num_classes: int, seed: int) -> None:
        """Put a new linear layer on top, its weights drawn by the seed."""
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.width, num_classes)
        initialize(self.classifier, seed)
        self.classifier.to(self._placement.ranks.device)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        assert self.classifier is not None
        scores_BK: Tensor = self.classifier(self._features(images_BCHW))
        return scores_BK

    def _features(self, images_BCHW: Tensor) -> Tensor:
        """[B, D], float32; of the kept layer if there is one."""
        with self._autocast():
            pooled_BD = self._forward(images_BCHW, (POOL,))[POOL]
        features_BD: Tensor = self.head(pooled_BD.float())
        return features_BD

    def groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Parameters for the optimizer; batch norms do not decay."""
        norms = {
            id(parameter)
            for module in self.modules()
            if isinstance(module, nn.modules.batchnorm._BatchNorm)
            for parameter in module.parameters(recurse=False)
        }
        # Spread and whole tensors cannot be updated by one call.
        split: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for parameter in self.parameters():
            key = isinstance(parameter, DTensor), id(parameter) in norms
            split.setdefault(key, []).append(parameter)
        return [
            {"params": parameters, "weight_decay": 0.0 if norm else weight_decay}
            for (_, norm), parameters in split.items()
        ]

    @torch.no_grad()
    def average_gradients(self) -> None:
        """Average the gradients of whole parameters over ranks; FSDP2 has done the others."""
        world = self._placement.ranks.world
        if world == 1:
            return
        # Not overlapped with the backward pass: at a few images a second that costs little, and any
        # module will do, however it is called.
        bucket: list[Tensor] = []
        for parameter in self.parameters():
            # What no rank's output depends on has no gradient anywhere.
            if isinstance(parameter, DTensor) or parameter.grad is None:
                continue
            bucket.append(parameter.grad)
            if sum(one.numel() for one in bucket) >= _BUCKET_VALUES:
                _average(bucket, world)
                bucket = []
        if bucket:
            _average(bucket, world)

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = DTYPES[self._placement.precision]
        if dtype is torch.float32:
            return nullcontext()
        return torch.autocast(self._placement.ranks.device.type, dtype)


def _average(gradients: list[Tensor], world: int) -> None:
    flat = torch.cat([one.reshape(-1).float() for one in gradients])
    dist.all_reduce(flat)
    flat /= world
    for one, mean in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
        one.copy_(mean.view_as(one))


def _checkpoint_blocks(module: nn.Module) -> None:
    """Compute each block of a RegNet again in the backward pass, instead of keeping its maps."""
    for block in module.modules():
        if isinstance(block, Block):
            block.forward = partial(  # type: ignore[method-assign]
                checkpoint,
                block.forward,
                use_reentrant=False,
                context_fn=tape_contexts,
                preserve_rng_state=False,
            )


def _spread_again(module: nn.Module) -> None:
    """Let go of whole weights, which FSDP2 keeps after a forward pass for a backward one."""
    if isinstance(module, FSDPModule):
        module.reshard()


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor
