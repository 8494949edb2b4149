"""A run saved as one unit: model, optimizer, queue, reader state; loaded on any number of ranks.

    checkpoints/step-00001000/           torch.distributed.checkpoint's files, and run.json
    checkpoints/step-00001000.partial    being written, or what a crash left of it

A folder is renamed when all ranks have written, so a checkpoint is there whole or not at all.
Random state needs no bytes: all that is drawn depends on the seed, the epoch and a sample's id.
"""

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint import state_dict_loader, state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from train_entry.errors import CheckpointError

FOLDER, RUN_FILE, PARTIAL = "checkpoints", "run.json", ".partial"
Model = TypeVar("Model", bound=nn.Module)


class Checkpoints:
    """The checkpoints of one run folder. Collective, unless said otherwise."""

    def __init__(self, output: str, keep: int, asynchronous: bool) -> None:
        self._folder = Path(output).absolute() / FOLDER
        self._keep, self._asynchronous = keep, asynchronous
        self._pending: tuple[Path, Future[Any]] | None = None
        # The writing thread must not meet the training's collectives on the same group.
        self._group = dist.new_group(backend="gloo")
        if dist.get_rank() == 0:
            self._folder.mkdir(parents=True, exist_ok=True)
            for left in self._folder.glob(f"*{PARTIAL}"):
                shutil.rmtree(left)
        dist.barrier(self._group)

    def save(self, step: int, state: "State[Any]", run: Mapping[str, Any]) -> None:
        """Save what is true before `step`; waits for the last one, then goes on while it writes.

        run: what to find in run.json, the same on all ranks.
        """
        self.finish()
        final = self._folder / f"step-{step:08d}"
        partial = final.with_name(final.name + PARTIAL)
        if dist.get_rank() == 0:
            partial.mkdir()
            (partial / RUN_FILE).write_text(json.dumps({"step": step, **run}, indent=2) + "\n")
        dist.barrier(self._group)
        writer = FileSystemWriter(partial)
        tensors = state.tensors()
        if self._asynchronous:
            future = cast(
                "Future[Any]",
                state_dict_saver.async_save(
                    tensors, storage_writer=writer, process_group=self._group
                ),
            )
        else:
            state_dict_saver.save(tensors, storage_writer=writer, process_group=self._group)
            future = Future()
            future.set_result(None)
        self._pending = final, future
        self.poll()

    def poll(self) -> None:
        """Give a checkpoint its name if all has been written. Not collective, never waits."""
        if self._pending is not None and self._pending[1].done():
            self._publish()

    def finish(self) -> None:
        """Wait until the last checkpoint is written and named."""
        if self._pending is not None:
            self._pending[1].result()
            self._publish()
        dist.barrier(self._group)

    def latest(self) -> Path | None:
        """The newest checkpoint; None if there is none. Not collective."""
        found = sorted(self._folder.glob("step-????????"))
        return found[-1] if found else None

    def _publish(self) -> None:
        assert self._pending is not None
        (final, future), self._pending = self._pending, None
        future.result()
        # The first rank writes the table of contents after all others have written.
        if dist.get_rank() == 0:
            final.with_name(final.name + PARTIAL).rename(final)
            for old in sorted(self._folder.glob("step-????????"))[: -self._keep]:
                shutil.rmtree(old)


class State(Generic[Model]):
    """The tensors of a run, by name, to be saved from and loaded into."""

    def __init__(self, model: Model, optimizer: Optimizer, queue: Tensor | None) -> None:
        self.model, self._optimizer, self._queue = model, optimizer, queue

    def tensors(self) -> dict[str, Any]:
        """All of them, nested; those of the model stand under `model`."""
        found: dict[str, Any] = {
            "model": get_model_state_dict(self.model),
            "optimizer": get_optimizer_state_dict(self.model, self._optimizer),
        }
        if self._queue is not None:
            found["queue"] = self._queue
        return found

    def load(self, folder: Path, model_only: bool = False) -> None:
        """Fill model, optimizer and queue from a checkpoint, in place. Collective."""
        tensors = self.tensors()
        if model_only:
            tensors = {"model": tensors["model"]}
        try:
            state_dict_loader.load(tensors, storage_reader=FileSystemReader(folder))
        except (OSError, RuntimeError, ValueError, KeyError, CheckpointException) as error:
            raise CheckpointError(
                f"{folder}: expected a checkpoint of this run: {error}"
            ) from error
        set_model_state_dict(self.model, tensors["model"])
        if model_only:
            return
        set_optimizer_state_dict(self.model, self._optimizer, tensors["optimizer"])
        if self._queue is not None:
            self._queue.copy_(tensors["queue"])


def read_run(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of its run; raises CheckpointError."""
    path = folder / RUN_FILE
    try:
        return cast("dict[str, Any]", json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected the record of a run, got {error}") from error
