"""The training loop: from where a run stands to its end, or to a signal that asks it to stop."""

import logging
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from train_entry.checkpoint import Checkpoints, State, read_run
from train_entry.config import TrainConfig, to_yaml
from train_entry.crops import MultiCrop
from train_entry.errors import DataError, Diverged
from train_entry.flops import count_flops
from train_entry.journal import Journal, peak_flops, peak_memory_mib, profiler
from train_entry.loader import Loader
from train_entry.optimizer import learning_rate, make_optimizer, set_learning_rate
from train_entry.parallel import Ranks, build_model
from train_entry.reader import StreamDataset
from train_entry.record import check_same_run, run_record
from train_entry.swav import SwAV
from train_entry.swav_step import StepFacts, SwavStep

CONFIG_FILE, READ_LOGS = "config.yaml", "read-logs"
# So many steps in a row whose loss or gradients are no numbers end the run.
MAX_SKIPPED = 3
_LOG = logging.getLogger(__name__)


def train(config: TrainConfig, ranks: Ranks) -> bool:
    """Train until the last step, from the newest checkpoint if there is one. Collective.

    Returns whether the run is finished; False: a signal stopped it, and it is saved. Raises
    TrainError.
    """
    torch.manual_seed(config.seed)
    run = Run.open(config, ranks)
    with _stop_signals() as stop:
        with ExitStack() as stack:
            if ranks.first:
                steps = config.optim.steps
                run.journal = Journal(config.output, config.journal, run.step, steps)
                stack.enter_context(run.journal)
            batches = iter(run.loader)
            while run.step < config.optim.steps:
                with run.profiled():
                    stopped = run.advance(batches, bool(stop))
                last = stopped or run.step == config.optim.steps
                if last or run.step % config.checkpoint.every == 0:
                    run.save()
                if stopped:
                    break
        # At last: where one has left with 75, torchrun ends those that still write.
        run.checkpoints.finish()
    return run.step == config.optim.steps


@dataclass
class Clock:
    """Seconds since the last line of the journal, and how many of them went to waiting."""

    began_s: float
    waited_s: float = 0.0
    num_images: int = 0


@dataclass
class Run:
    """Everything that a run consists of; `step` is the number of the next step."""

    config: TrainConfig
    ranks: Ranks
    loader: Loader
    work: SwavStep
    optimizer: torch.optim.Optimizer
    state: State[SwAV]
    checkpoints: Checkpoints
    flops: float
    clock: Clock
    tombstones: Mapping[str, str]
    step: int = 0
    num_skipped: int = 0
    num_problems: int = 0
    journal: Journal | None = None

    @classmethod
    def open(cls, config: TrainConfig, ranks: Ranks) -> "Run":
        """A run at its newest checkpoint, or at its beginning. Collective."""
        saving = config.checkpoint
        checkpoints = Checkpoints(config.output, saving.keep, saving.asynchronous)
        newest = checkpoints.latest()
        record = None if newest is None else read_run(newest)
        if record is not None:
            check_same_run(record, config)
        loader = _open_loader(config, ranks)
        model = build_model(config, ranks)
        work = SwavStep(config, model, ranks)
        optimizer = make_optimizer(model, config.optim)
        queue = None if work.queue is None else work.queue.places_AQD
        state = State(model, optimizer, queue)
        clock = Clock(time.monotonic())
        # What a run obeys only since it went on, its first steps have read.
        seen = loader.dataset.dataset.tombstones if record is None else record.get("tombstones", {})
        run = cls(
            config,
            ranks,
            loader,
            work,
            optimizer,
            state,
            checkpoints,
            count_flops(config).model,
            clock,
            seen,
        )
        if newest is not None and record is not None:
            state.load(newest)
            loader.load_state_dict(record["reader"])
            run.step = int(record["step"])
            _LOG.info("going on at step %d of %s", run.step, config.output)
        if ranks.first:
            (Path(config.output) / CONFIG_FILE).write_text(to_yaml(config))
        return run

    def advance(self, batches: Iterator[Any], asked_to_stop: bool) -> bool:
        """Take one step; whether a rank was asked to stop, the same on all ranks."""
        asked_s = time.monotonic()
        batch = next(batches)
        self.clock.waited_s += time.monotonic() - asked_s
        rate = learning_rate(self.step, self.config.optim, self.config.data.batch)
        facts = self.work(self.step, batch.data)
        bad = ~(torch.isfinite(facts.loss) & self._finite_gradients())
        told = torch.stack(
            [
                facts.loss.nan_to_num(),
                bad.float(),
                torch.tensor(float(asked_to_stop), device=bad.device),
                torch.tensor(float(len(batch.problems)), device=bad.device),
            ]
        )
        dist.all_reduce(told)
        loss_sum, num_bad, num_stop, num_problems = told.tolist()
        self.num_problems += int(num_problems)
        if num_bad:
            self._skip()
        else:
            self.num_skipped = 0
            set_learning_rate(self.optimizer, rate)
            self.optimizer.step()
            self.state.model.prototypes.normalise()
        self.optimizer.zero_grad()
        self.clock.num_images += self.config.data.batch
        if self.journal is not None:
            self.journal.advance(self.step)
            if self.step % self.config.journal.every == 0 and not num_bad:
                self._tell(facts, loss_sum / self.ranks.world, rate)
        self.step += 1
        self.checkpoints.poll()
        return bool(num_stop)

    def save(self) -> None:
        """Save what the next step begins with. Collective."""
        reader, world = self.loader.state_dict(), self.ranks.world
        record = run_record(self.config, reader, world, self.tombstones)
        self.checkpoints.save(self.step, self.state, record)

    @contextmanager
    def profiled(self) -> Iterator[None]:
        """Trace this step if the configuration asks for it."""
        told = self.config.journal
        if not self.ranks.first or not 0 <= self.step - told.profile_from < told.profile_steps:
            yield
            return
        with profiler(self.config.output, self.ranks.device):
            yield

    def _skip(self) -> None:
        self.num_skipped += 1
        _LOG.warning("step %d: loss or gradients are no numbers; left out", self.step)
        if self.num_skipped == MAX_SKIPPED:
            raise Diverged(
                f"expected finite losses and gradients, got {MAX_SKIPPED} steps without in a row, "
                f"the last one step {self.step}"
            )

    def _finite_gradients(self) -> Tensor:
        gradients = [one.grad for one in self.state.model.parameters() if one.grad is not None]
        local = [one.to_local() if isinstance(one, DTensor) else one for one in gradients]
        norms = torch.stack([one.float() for one in torch._foreach_norm(local)])
        return torch.isfinite(norms).all().to(self.ranks.device)

    def _tell(self, facts: StepFacts, loss: float, rate: float) -> None:
        now_s, clock = time.monotonic(), self.clock
        seconds = now_s - clock.began_s
        images_per_s = clock.num_images / seconds
        peak = peak_flops(self.ranks.device, self.config.journal)
        assert self.journal is not None
        self.journal.write(
            {
                "step": self.step,
                "loss": loss,
                "lr": rate,
                "prototype_usage": facts.prototype_usage.item(),
                "code_entropy": facts.code_entropy.item(),
                "images_per_s": images_per_s,
                "data_wait": clock.waited_s / seconds,
                "mfu": None
                if peak is None
                else images_per_s * self.flops / (peak * self.ranks.world),
                "memory_mib": peak_memory_mib(self.ranks.device),
                "bad_samples": self.num_problems,
            }
        )
        self.clock = Clock(now_s)


def _open_loader(config: TrainConfig, ranks: Ranks) -> Loader:
    crop = MultiCrop(config.crops, config.seed)
    dataset = StreamDataset(
        config.data.dataset,
        transform=crop,
        collate=crop.collate,
        loader=config.loader,
        seed=config.seed,
        rank=ranks.rank,
        world=ranks.world,
        **config.data.model_dump(exclude={"dataset"}),
    )
    _check_removals(dataset.dataset.removed_digest)
    log = Path(config.output) / READ_LOGS / f"rank-{ranks.rank:05d}.jsonl"
    if config.loader.read_log:
        log.parent.mkdir(parents=True, exist_ok=True)
    return Loader(
        dataset,
        pin_memory=ranks.device.type == "cuda",
        read_log=log if config.loader.read_log else None,
    )


def _check_removals(digest: str) -> None:
    """Raise DataError unless all ranks saw the same tombstones: else their orders would differ."""
    digests: list[str] = [""] * dist.get_world_size()
    dist.all_gather_object(digests, digest)
    if len(set(digests)) > 1:
        raise DataError(
            "expected the same tombstones on all ranks, got some that were written meanwhile: "
            "start again"
        )


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """A list that is no longer empty once the run is asked to stop.

    SIGUSR1 asks every run. SIGTERM asks one that runs alone: torchrun sends it to the ranks that
    outlive another's crash, which can save nothing.
    """
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    asking = [signal.SIGUSR1, *([signal.SIGTERM] if not dist.is_torchelastic_launched() else [])]
    before = {number: signal.signal(number, note) for number in asking}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
