"""Bytes that some code allocates, by what it does rather than by what the allocator says."""

import weakref
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages that were made inside and still exist; `most`: at once.

    On any device, the meta device too, where nothing is allocated.
    """

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._now = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._add(tensor)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage, address = tensor.untyped_storage(), storage_address(tensor)
        if address not in self._seen:
            self._seen.add(address)
            self._now += storage.nbytes()
            self.most = max(self.most, self._now)
            weakref.finalize(storage, self._remove, address, storage.nbytes())

    def _remove(self, address: int, num_bytes: int) -> None:
        self._seen.discard(address)
        self._now -= num_bytes


def storage_address(tensor: Tensor) -> int:
    """Tells storages apart as long as they exist, on the meta device too."""
    return int(tensor.untyped_storage()._cdata)
