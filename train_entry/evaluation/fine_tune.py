"""All weights of an encoder trained on with a new linear layer, on images.

N images of a test set, K classes. Nesterov SGD and cross entropy on random parts of images that are
mirrored, distorted and blurred as in pretraining; batch norm over all ranks. A batch is the
recipe's, whatever the ranks. After each epoch all is saved, and goes on from there.
Source: SEER's released configurations (arXiv:2202.08360).
"""

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from schemas.benchmarks.recipes import FineTune
from train_entry.augment import augment, normalised
from train_entry.checkpoint import Checkpoints, State, read_run
from train_entry.config import CropsConfig
from train_entry.errors import CheckpointError, Diverged
from train_entry.evaluation.batches import (
    ImageBatch,
    ImageBatches,
    Images,
    load_ahead,
    load_batches,
)
from train_entry.evaluation.classification import (
    TOP1,
    classes_of,
    classification_scores,
    places_of_labels,
)
from train_entry.evaluation.encoder import Encoder
from train_entry.evaluation.fine_tune_data import (
    GREY,
    TrainingBatch,
    TrainingBatches,
    TrainingSet,
    crops_of,
)
from train_entry.evaluation.fine_tune_model import TunedModel, borrowed_network
from train_entry.evaluation.learning_rate import learning_rate
from train_entry.evaluation.meter import Meter
from train_entry.evaluation.scores import Score
from train_entry.evaluation.together import raise_together
from train_entry.evaluation.transforms import Transform
from train_entry.optimizer import set_learning_rate

_TEST_BATCH = 32
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tuning:
    """Where and how an encoder is fine-tuned; nothing of it changes what is found.

    folder: of the checkpoints, one an epoch, the last one kept. workers: decoding processes of a
    rank. head: gives the first layer of the pretraining head, for recipes that keep it.
    """

    folder: Path
    workers: int = 0
    head: Callable[[], nn.Sequential | None] | None = None
    title: str = "fine-tuning"


def fine_tune(
    recipe: FineTune, encoder: Encoder, train: Images, tests: Sequence[Images], tuning: Tuning
) -> list[list[Score]]:
    """Scores of each test set, of a copy of the encoder that is trained on; the primary one first.

    The encoder is as before afterwards. An image that cannot be decoded is shown grey. What was
    done in an earlier call with this folder is not done again. Collective.
    Raises DataError if labels are not one class an image or none is known, CheckpointError if the
    folder is of another encoder, recipe or training set, Diverged, Unreadable after an epoch.
    """
    labels = train.fields["label"]
    classes = classes_of(labels)
    training = TrainingSet(train, places_of_labels(labels, classes))
    # Before days of training, which labels that nobody knows would waste.
    right = [places_of_labels(test.fields["label"], classes) for test in tests]
    with borrowed_network(encoder) as network:
        head = tuning.head() if recipe.keep_head and tuning.head is not None else None
        if recipe.keep_head and head is None:
            _LOG.warning("%s: there is no pretraining head, of which to keep a layer", tuning.title)
        model = TunedModel(network, encoder.placement, head, recipe.crop_px)
        model.add_classifier(len(classes), recipe.seed)
        work = _Work(recipe, encoder, model, training, tuning)
        work.train()
        found = [work.test(test) for test in tests]
    setting = f"{recipe.crop_px} px"
    if recipe.keep_head and head is None:
        setting += ", no pretraining head to keep"
    return [
        [
            one.of(setting=f"{setting}, {one.setting}" if one.setting else setting)
            for one in classification_scores(
                recipe.metric or TOP1,
                scores_NK,
                right_N,
                test.fields,
                recipe.group_by,
            )
        ]
        for test, scores_NK, right_N in zip(tests, found, right, strict=True)
    ]


class _Work:
    """A model, where its training stands, and what it is tested on."""

    def __init__(
        self,
        recipe: FineTune,
        encoder: Encoder,
        model: TunedModel,
        training: TrainingSet,
        tuning: Tuning,
    ) -> None:
        self._recipe, self._model, self._training, self._tuning = recipe, model, training, tuning
        self._ranks = encoder.placement.ranks
        self._crops: CropsConfig = crops_of(recipe, *encoder.colours)
        told = [recipe.model_dump_json(), encoder.record.sha256, training.images.digest]
        self._identity = sha256(json.dumps(told).encode()).hexdigest()
        self._optimizer = torch.optim.SGD(
            model.groups(recipe.weight_decay),
            lr=learning_rate(recipe, 0),
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
        )
        self._state = State(model, self._optimizer, None)
        self._checkpoints = Checkpoints(str(tuning.folder), keep=1, asynchronous=False)
        self._losses: list[float] = []

    def train(self) -> None:
        """Train from the last saved epoch to the end. Collective."""
        self._resume()
        begin, epochs = len(self._losses), self._recipe.epochs
        num_batches = self._training.num_batches(self._recipe.batch)
        keys = [(epoch, one) for epoch in range(begin, epochs) for one in range(num_batches)]
        if not keys:
            return
        ranks = self._ranks
        batches = TrainingBatches(
            self._recipe, self._training, self._crops, ranks.rank, ranks.world
        )
        loader = load_ahead(batches, keys, self._tuning.workers, ranks.device.type == "cuda")
        num_images = len(self._training.labels) * (epochs - begin) // ranks.world
        total, num_bad, unreadable = torch.zeros(2, dtype=torch.float64), 0, ""
        with Meter(self._tuning.title, num_images, ranks.world, ranks.first) as meter:
            self._model.train()
            for (epoch, number), batch in zip(keys, loader, strict=True):
                rate = learning_rate(self._recipe, epoch + number / num_batches)
                total[0] += self._step(batch, rate)
                num_bad += batch.num_bad
                unreadable = unreadable or batch.unreadable
                meter.advance(len(batch.labels))
                if number == num_batches - 1:
                    # Not before: the other ranks count on this one.
                    raise_together(unreadable, ranks)
                    total[1] = num_bad
                    self._finish_epoch(epoch, total)
                    total, num_bad = torch.zeros(2, dtype=torch.float64), 0

    @torch.no_grad()
    def test(self, test: Images) -> Tensor:
        """Scores [N, K] of images in order, float32, on the CPU of each rank. Collective."""
        ranks, model = self._ranks, self._model
        batches = ImageBatches(test, Transform.of(self._recipe), _TEST_BATCH)
        count = len(test.names)
        num_batches = -(-count // _TEST_BATCH)
        numbers = range(ranks.rank, num_batches, ranks.world)
        pin_memory = ranks.device.type == "cuda"
        scores_NK = torch.zeros((count, model.num_classes))
        model.eval()
        unreadable = ""
        for batch in load_batches(batches, numbers, self._tuning.workers, pin_memory):
            begin = batch.number * _TEST_BATCH
            scores_BK = self._scores(_shown(batch))
            scores_NK[begin : begin + len(scores_BK)] = scores_BK.cpu()
            unreadable = unreadable or batch.unreadable
        for _ in range(-(-num_batches // ranks.world) - len(numbers)):
            # Spread weights are gathered by all ranks together.
            px = self._recipe.crop_px
            self._scores(torch.zeros((1, px, px, 3), dtype=torch.uint8))
        raise_together(unreadable, ranks)
        if ranks.world > 1:
            dist.all_reduce(scores_NK)
        return scores_NK

    def _scores(self, pixels_BHWC: Tensor) -> Tensor:
        images_BHWC = pixels_BHWC.to(self._ranks.device, non_blocking=True)
        scores_BK: Tensor = self._model(normalised(images_BHWC, self._crops))
        return scores_BK

    def _step(self, batch: TrainingBatch, rate: float) -> Tensor:
        """One update; gives the sum of this rank's losses."""
        device = self._ranks.device
        images_BHWC = batch.pixels.to(device, non_blocking=True)
        images_BCHW = augment(images_BHWC, batch.parameters, self._crops)
        labels = batch.labels.to(device, non_blocking=True)
        losses = cross_entropy(self._model(images_BCHW), labels, reduction="sum")
        self._optimizer.zero_grad(set_to_none=True)
        # Gradients are averaged over ranks, whose shares of a batch may differ by an image.
        (losses * (self._ranks.world / batch.num_images)).backward()
        self._model.average_gradients()
        set_learning_rate(self._optimizer, rate)
        self._optimizer.step()
        return losses.detach()

    def _finish_epoch(self, epoch: int, total: Tensor) -> None:
        """Save what the next epoch begins with; total: losses, images that could not be decoded."""
        if self._ranks.world > 1:
            dist.all_reduce(total)
        loss = float(total[0]) / len(self._training.labels)
        if not math.isfinite(loss):
            raise Diverged(f"{self._tuning.title}: epoch {epoch}: expected a loss, got {loss}")
        self._losses.append(loss)
        told = {"identity": self._identity, "losses": self._losses}
        self._checkpoints.save(epoch + 1, self._state, told)
        self._checkpoints.finish()
        if self._ranks.first:
            _LOG.info(
                "%s: epoch %d: loss %.4f, %d images grey",
                self._tuning.title,
                epoch,
                loss,
                int(total[1]),
            )

    def _resume(self) -> None:
        newest = self._checkpoints.latest()
        if newest is None:
            return
        record: dict[str, Any] = read_run(newest)
        if record.get("identity") != self._identity:
            raise CheckpointError(
                f"{newest}: expected fine-tuning {self._identity[:12]}, of this encoder, recipe "
                f"and training set, got {str(record.get('identity'))[:12]}"
            )
        self._state.load(newest)
        self._losses = [float(one) for one in record["losses"]]


def _shown(batch: ImageBatch) -> Tensor:
    """The pixels of a batch, grey for those that could not be decoded."""
    rows = [place - batch.number * _TEST_BATCH for place in batch.bad]
    batch.pixels[rows] = GREY
    return batch.pixels
