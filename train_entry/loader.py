"""Batches made by worker processes, in order, with a state that any other loader can take over."""

import json
import logging
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from train_entry.reader import Batch, StreamDataset
from train_entry.steps import ReaderState

_log = logging.getLogger(__name__)


class Loader:
    """The batches of a StreamDataset, without end; `state_dict` follows the last one given.

    read_log: a file that gets one JSON line for each step: which bytes of which shards were read.
    After a resumption the lines of steps that are made again are there twice: the last one counts.
    """

    def __init__(
        self,
        dataset: StreamDataset,
        *,
        pin_memory: bool = False,
        read_log: Path | None = None,
    ) -> None:
        self.dataset = dataset
        self._pin_memory, self._read_log = pin_memory, read_log
        self.step = 0

    def __iter__(self) -> Iterator[Batch]:
        before = self.dataset.state
        with _workers_deaf_to_signals():
            batches = iter(self._open())
        for batch in batches:
            self.step += 1
            # Before it is given: what is saved while it is in use must not give it again.
            self.dataset.state = batch.state
            for problem in batch.problems:
                name = problem.sample_id or "the whole shard"
                _log.warning("%s: %s left out: %s", problem.shard_file, name, problem.message)
            if self._read_log:
                self._write(before, batch)
            before = batch.state
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where to go on, and how many steps that is from the beginning."""
        return {**self.dataset.state_dict(), "step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on there with the next iteration; raises DataError for another Merkle root."""
        self.dataset.load_state_dict(state)
        self.step = int(state.get("step", 0))

    def _open(self) -> DataLoader[Batch]:
        config = self.dataset.loader
        workers = config.workers
        return DataLoader(
            self.dataset,
            batch_size=None,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=self._pin_memory,
            prefetch_factor=config.prefetch if workers else None,
            # Clients of object stores do not survive a fork, nor do threads.
            multiprocessing_context="spawn" if workers else None,
            # Else it would draw from the generator that the model's randomness comes from.
            generator=torch.Generator(),
        )

    def _write(self, before: ReaderState, batch: Batch) -> None:
        assert self._read_log is not None
        line = {
            "step": self.step,
            "rank": self.dataset.options.rank,
            "epoch": before.epoch,
            "position": before.position,
            "root": self.dataset.dataset.root,
            "reads": batch.reads,
        }
        with self._read_log.open("a") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")


def _as_it_is(batch: Any) -> Any:
    return batch


@contextmanager
def _workers_deaf_to_signals() -> Iterator[None]:
    """Processes started meanwhile inherit that SIGUSR1 is blocked.

    torchrun sends it to a rank's whole process group, and it would end the rank's workers, who
    hold the batches that are still to be read before the rank saves.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
