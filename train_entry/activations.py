"""Activations: bytes that a forward pass leaves for the backward pass, counted, never allocated.

A pass over one size of crops is over, backward too, before the next begins: the largest counts.

The model runs on the meta device, and each tensor that autograd saves is counted once, by its
storage. So the count follows the model's code, not a formula that has to be kept in step with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from train_entry.batch_norm import _Normalise as Normalise
from train_entry.batch_norm import use_group_batch_norm
from train_entry.config import TrainConfig
from train_entry.flops import meta_model, meta_passes, passes
from train_entry.live_bytes import LiveBytes, storage_address
from train_entry.swav import SwAV, swav_loss

# Statistics of batch norms do not grow with the batch: a difference leaves them out.
_FEW_IMAGES, _MORE_IMAGES = 2, 4


@dataclass(frozen=True)
class ImageActivations:
    """Bytes for one image, all its crops of one pass together."""

    kept: int  # at the end of the forward pass
    recomputed: int  # of the checkpointed block with the most, while it is computed again
    peak: int  # the most at once in the backward pass, with its temporary maps

    def __sub__(self, other: "ImageActivations") -> "ImageActivations":
        return ImageActivations(
            self.kept - other.kept, self.recomputed - other.recomputed, self.peak - other.peak
        )


@dataclass(frozen=True)
class Activations:
    """What an image costs with the stages that are checkpointed, and without any checkpoint."""

    planned: ImageActivations
    whole: ImageActivations


def measure_activations(config: TrainConfig, num_gpus: int) -> Activations:
    """What an image costs on each of so many GPUs, in the pass that needs the most."""
    every_pass = measure_passes(config, num_gpus)
    return Activations(
        max((one.planned for one in every_pass), key=lambda image: image.peak),
        max((one.whole for one in every_pass), key=lambda image: image.peak),
    )


def measure_passes(config: TrainConfig, num_gpus: int) -> list[Activations]:
    """What an image costs on each of so many GPUs, pass by pass."""
    return [_measure_pass(config, number, num_gpus) for number in range(len(passes(config)))]


def _measure_pass(config: TrainConfig, number: int, num_gpus: int) -> Activations:
    few, more = (
        _record(config, number, num_images, num_gpus) for num_images in (_FEW_IMAGES, _MORE_IMAGES)
    )
    images = _MORE_IMAGES - _FEW_IMAGES
    found = []
    for stages in (config.parallel.checkpoint_stages, ()):
        more_bytes = more.activations(stages) - few.activations(stages)
        kept, recomputed = more_bytes.kept // images, more_bytes.recomputed // images
        found.append(ImageActivations(kept, recomputed, more_bytes.peak // images))
    return Activations(*found)


@dataclass
class _Segment:
    """A block in one pass, or what lies between two of them."""

    stage: int  # from 1; 0: no block
    begin: Tensor | None = None
    saved: dict[int, Tensor] = field(default_factory=dict)
    largest_map: int = 0

    def save(self, tensor: Tensor) -> None:
        self.saved.setdefault(storage_address(tensor), tensor.detach())


class _Record:
    """Segments in the order of the forward pass; they hold tensors, so that addresses stay good."""

    def __init__(self, model: SwAV, images: list[Tensor]) -> None:
        self._ignored = {storage_address(one) for one in model.state_dict(keep_vars=True).values()}
        # Of all passes: they are made together, and none is let go of before the last.
        self._images = {storage_address(one): one for one in images}
        self._segments = [_Segment(0)]
        # Of a batch norm's backward pass, for each value of its input.
        self.working_bytes_per_value = 0.0

    def save(self, tensor: Tensor) -> Tensor:
        """Note a tensor that autograd saves."""
        if storage_address(tensor) not in self._ignored:
            self._segments[-1].save(tensor)
        return tensor

    def enter(self, stage: int, begin: Tensor | None = None) -> None:
        """Begin a block, or leave it for stage 0."""
        self._segments.append(_Segment(stage, begin))

    def see_map(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Note the input of a batch norm."""
        segment = self._segments[-1]
        segment.largest_map = max(segment.largest_map, inputs[0].numel())

    def activations(self, stages: tuple[int, ...]) -> ImageActivations:
        """Bytes if the blocks of these stages are checkpointed."""
        kept: dict[int, Tensor] = {}
        most_recomputed = peak = 0
        for segment in self._segments:
            recomputed = 0
            if segment.begin is not None and segment.stage in stages:
                begin = storage_address(segment.begin)
                kept.setdefault(begin, segment.begin)
                again = {place: one for place, one in segment.saved.items() if place != begin}
                recomputed = _num_bytes(again)
            else:
                kept.update(segment.saved)
            # When the backward pass has come here, all later segments are gone.
            working = int(self.working_bytes_per_value * segment.largest_map)
            peak = max(peak, _num_bytes(self._images | kept) + recomputed + working)
            most_recomputed = max(most_recomputed, recomputed)
        return ImageActivations(_num_bytes(kept), most_recomputed, peak)


def _record(config: TrainConfig, number: int, num_images: int, num_gpus: int) -> _Record:
    """Pass `number` of so many images."""
    counts = [sum(group.count for group in groups) for groups in passes(config)]
    model = meta_model(config).train()
    use_group_batch_norm(model, None)
    every_pass = meta_passes(config, num_images)
    record = _Record(model, list(chain.from_iterable(every_pass)))
    with _hooks(model, record), saved_tensors_hooks(record.save, lambda tensor: tensor):
        _, scores_NK = model(every_pass[number])
        scores_VBK = scores_NK.view(-1, num_images, scores_NK.shape[1])
        codes_ABK = scores_NK.new_empty(config.crops.groups[0].count, *scores_VBK.shape[1:])
        first_crop, num_crops = sum(counts[:number]), sum(counts)
        swav_loss(
            scores_VBK,
            codes_ABK,
            config.swav.temperature,
            first_crop=first_crop,
            num_crops=num_crops,
        )
    alone = min(config.model.batch_norm_group or num_gpus, num_gpus) == 1
    record.working_bytes_per_value = _working_bytes_per_value(model, alone)
    return record


@contextmanager
def _hooks(model: SwAV, record: _Record) -> Iterator[None]:
    handles = [
        module.register_forward_pre_hook(record.see_map)
        for module in model.modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    for stage, blocks in enumerate(model.trunk.stages, start=1):
        for block in blocks.children():

            def enter(module: nn.Module, inputs: tuple[Tensor, ...], stage: int = stage) -> None:
                record.enter(stage, inputs[0].detach())

            def leave(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
                record.enter(0)

            handles.append(block.register_forward_pre_hook(enter))
            handles.append(block.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _working_bytes_per_value(model: SwAV, alone: bool) -> float:
    """What appears while a batch norm is differentiated and is gone afterwards.

    alone: whether its statistics are those of one rank.
    """
    norm, dtype = model.trunk.stem.norm, model.trunk.stem.conv.weight.dtype
    shape = (1, norm.num_features, 64, 64)
    x_BCHW = torch.empty(shape, dtype=dtype, device="meta", requires_grad=True)
    if alone:
        normed_BCHW = norm(x_BCHW)
    else:
        channels_C = torch.empty(norm.num_features, device="meta")
        statistics = channels_C, channels_C, channels_C[:1]
        normed_BCHW = Normalise.apply(x_BCHW, norm.weight, norm.bias, statistics, None)
    live = LiveBytes()
    with live:
        torch.autograd.grad(normed_BCHW, x_BCHW, torch.empty_like(normed_BCHW))
    return live.most / x_BCHW.numel()


def _num_bytes(storages: dict[int, Tensor]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in storages.values())
