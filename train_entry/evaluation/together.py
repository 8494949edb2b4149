"""What ranks tell each other, however long the slowest of them takes."""

from datetime import timedelta
from typing import TypeVar

import torch.distributed as dist

from train_entry.errors import DataError
from train_entry.parallel import Ranks

T = TypeVar("T")

# A rank may be done long before the others.
_PATIENCE = timedelta(days=7)


class Unreadable(DataError):
    """Files that one rank could not read; raised by all of them together."""


def gathered(mine: T, ranks: Ranks) -> list[T]:
    """What each rank has, in their order; whoever returns knows that all have come here.

    Collective.
    """
    if ranks.world == 1:
        return [mine]
    group = dist.new_group(backend="gloo", timeout=_PATIENCE)
    try:
        found = [mine] * ranks.world
        dist.all_gather_object(found, mine, group=group)
        return found
    finally:
        dist.destroy_process_group(group)


def raise_together(unreadable: str, ranks: Ranks) -> None:
    """Raise Unreadable on all ranks if one of them has a reason, which is not empty. Collective."""
    for reason in gathered(unreadable, ranks):
        if reason:
            raise Unreadable(reason)
