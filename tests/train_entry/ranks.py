"""A function on several gloo ranks, each a process of its own."""

import multiprocessing
import os
import pickle
import tempfile
from pathlib import Path

import torch
import torch.distributed as dist

from train_entry.command_line import leave

# Imports the trainer once, which takes seconds, and forks the ranks.
_SERVED = multiprocessing.get_context("forkserver")
_SERVED.set_forkserver_preload(["train_entry.loop", "train_entry.evaluation.whole"])


def on_ranks(world, function, *arguments, timeout_s=250):
    """What `function(*arguments)` gives on each of `world` ranks, in order."""
    with tempfile.TemporaryDirectory() as folder:
        children = [
            _SERVED.Process(target=_run, args=(folder, rank, world, function, arguments))
            for rank in range(world)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join(timeout_s)
        left = [child for child in children if child.is_alive()]
        for child in left:
            child.kill()
        assert not left, "a rank hangs"
        assert [child.exitcode for child in children] == [0] * world
        return [pickle.loads(Path(folder, str(rank)).read_bytes()) for rank in range(world)]


def _run(folder, rank, world, function, arguments):
    torch.set_num_threads(1)
    # Whoever asks for the ranks that torchrun started finds these.
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank))
    store = dist.FileStore(f"{folder}/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    try:
        result = function(*arguments)
    finally:
        dist.destroy_process_group()
    Path(folder, str(rank)).write_bytes(pickle.dumps(result))
    leave(0)
