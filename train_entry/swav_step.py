"""One step of SwAV on this rank's part of a batch: passes, assignment, loss, gradients.

A crops with codes, B images, D dimensions, K prototypes, N rows, Q places of a queue, V crops.
"""

import math
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from train_entry.augment import augment
from train_entry.config import TrainConfig
from train_entry.crops import CropBatch
from train_entry.embedding_queue import EmbeddingQueue
from train_entry.parallel import DTYPES, Ranks
from train_entry.swav import SwAV, balanced_assignment, prototype_usage, swav_loss


class StepFacts(NamedTuple):
    """What a step tells of itself: scalars on the device, of this rank unless said otherwise."""

    loss: Tensor
    prototype_usage: Tensor  # of all ranks, 0 to 1: how evenly nearest prototypes are chosen
    code_entropy: Tensor  # 0 to 1: 1 is a code that tells nothing, as after a collapse


class SwavStep:
    """Computes gradients; the parameters are changed elsewhere."""

    def __init__(self, config: TrainConfig, model: SwAV, ranks: Ranks) -> None:
        self._config, self._model, self._ranks = config, model, ranks
        groups, swav = config.crops.groups, config.swav
        self._num_crops = sum(group.count for group in groups)
        self._num_codes = groups[0].count
        self.queue = (
            EmbeddingQueue(self._num_codes, swav.queue, swav.dim, ranks.device)
            if swav.queue
            else None
        )

    def __call__(self, step: int, crops: CropBatch) -> StepFacts:
        """Add the gradients of a batch to those of the parameters. Collective."""
        num_parts = self._config.optim.accumulate
        facts = [
            self._part(step, self._images(crops, part), last=part == num_parts - 1)
            for part in range(num_parts)
        ]
        if step < self._config.swav.freeze_prototypes:
            self._model.prototypes.weight.grad = None
        return StepFacts(*(torch.stack(one).mean() for one in zip(*facts, strict=True)))

    def _images(self, crops: CropBatch, part: int) -> list[Tensor]:
        """The augmented images of a part of the batch, a tensor for each size."""
        images = []
        for group, pixels, parameters in zip(
            self._config.crops.groups, crops.images, crops.parameters, strict=True
        ):
            chosen, told = (
                one.unflatten(0, (group.count, -1))
                .chunk(self._config.optim.accumulate, dim=1)[part]
                .flatten(0, 1)
                for one in (pixels, parameters)
            )
            moved = chosen.to(self._ranks.device, non_blocking=True)
            made = augment(moved, told, self._config.crops)
            images.append(made.to(DTYPES[self._config.model.precision]))
        return images

    def _part(self, step: int, images: list[Tensor], last: bool) -> StepFacts:
        """One pass forward and backward for each size, so that no two must fit into memory."""
        swav, num_parts = self._config.swav, self._config.optim.accumulate
        sizes = [images] if swav.single_pass else [[one] for one in images]
        codes_ABK, usage, first_crop = None, None, 0
        losses = []
        for number, some in enumerate(sizes):
            queue_AQD = self._earlier(step) if number == 0 else None
            queue_ND = None if queue_AQD is None else queue_AQD.flatten(0, 1)
            embeddings_ND, scores_NK = self._model(some, queue_ND)
            num_rows, batch = len(embeddings_ND), len(images[0]) // self._num_codes
            scores_VBK = scores_NK[:num_rows].unflatten(0, (-1, batch))
            if codes_ABK is None:
                earlier = scores_NK[num_rows:].detach().unflatten(0, (self._num_codes, -1))
                codes_ABK = self._codes(scores_VBK.detach()[: self._num_codes], earlier)
                usage = prototype_usage(scores_VBK[0].detach(), dist.group.WORLD)
                self._remember(embeddings_ND.detach().unflatten(0, (-1, batch)))
            loss = swav_loss(
                scores_VBK,
                codes_ABK,
                swav.temperature,
                first_crop=first_crop,
                num_crops=self._num_crops,
            )
            # With HSDP, gradients cross between nodes once a step.
            assert isinstance(self._model, FSDPModule)
            self._model.set_requires_all_reduce(last and number == len(sizes) - 1)
            (loss / num_parts).backward()
            losses.append(loss.detach())
            first_crop += len(scores_VBK)
        assert codes_ABK is not None
        assert usage is not None
        entropy = -torch.special.xlogy(codes_ABK, codes_ABK).sum(dim=2).mean()
        return StepFacts(torch.stack(losses).sum(), usage, entropy / math.log(swav.prototypes))

    def _earlier(self, step: int) -> Tensor | None:
        """This rank's share of the queue, if it takes part in this step."""
        if self.queue is None or step < self._config.swav.queue_from_step:
            return None
        return self.queue.mine()

    def _codes(self, scores_ABK: Tensor, earlier_AQK: Tensor) -> Tensor:
        """The balanced assignment [A, B, K] of each crop, earlier embeddings taking part."""
        swav = self._config.swav
        codes = [
            balanced_assignment(
                torch.cat(both), epsilon=swav.epsilon, rounds=swav.rounds, group=dist.group.WORLD
            )
            for both in zip(scores_ABK, earlier_AQK, strict=True)
        ]
        return torch.stack(codes)[:, : scores_ABK.shape[1]]

    def _remember(self, embeddings_VBD: Tensor) -> None:
        if self.queue is not None:
            self.queue.push(embeddings_VBD[: self._num_codes])
