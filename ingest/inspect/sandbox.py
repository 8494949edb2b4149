"""Decoder processes: a crash, a hang or a memory hog costs one image its outcome, nothing else."""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ingest.child_pool import ChildPool
from ingest.fingerprint import View
from ingest.inspect.decode import Inspection
from ingest.spool import Region
from schemas.options import InspectOptions


class DecoderPool:
    """A pool of decoder processes over some spools; use it from one event loop."""

    def __init__(self, options: InspectOptions, spools: Sequence[int]) -> None:
        self._pool: ChildPool[list[Any]] = ChildPool(
            ["ingest.inspect.decoder"], orjson.loads, options, spools
        )

    async def inspect(self, region: Region) -> Inspection:
        """What the image in `region` is; raises InspectError, also when it killed its decoder."""
        *plain, notes, assertions, views = await self._pool.ask(region)
        fields = [*plain, tuple(notes), tuple(assertions), tuple(map(_view, views))]
        return Inspection(*fields)

    async def small_picture(self, region: Region, side_px: int) -> NDArray[np.uint8]:
        """The image in colour, uint8 [h, w, 3], sides at most `side_px`; raises InspectError."""
        height, width, pixels = await self._pool.ask(region, side_px)
        return np.frombuffer(b64decode(pixels), np.uint8).reshape(height, width, 3)

    def close(self) -> None:
        """End all decoder processes."""
        self._pool.close()


def _view(values: list[Any]) -> View:
    code, texture, certainty, thumbnail = values
    return View(b64decode(code), texture, b64decode(certainty), b64decode(thumbnail))
