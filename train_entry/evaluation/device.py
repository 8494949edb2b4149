"""Where protocols compute: told by the runner, for protocols know features and labels alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch

_CHOSEN: ContextVar[torch.device | None] = ContextVar("protocol_device", default=None)


def protocol_device() -> torch.device:
    """The device of the evaluation; without one, the GPU if there is one."""
    chosen = _CHOSEN.get()
    return chosen or torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def protocols_on(device: torch.device) -> Iterator[None]:
    """Let protocols compute on this device."""
    token = _CHOSEN.set(device)
    try:
        yield
    finally:
        _CHOSEN.reset(token)
