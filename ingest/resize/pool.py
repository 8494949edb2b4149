"""Resizer processes: the pool that a run asks for smaller copies."""

from collections.abc import Sequence
from importlib.util import find_spec

from ingest.child_pool import ChildPool
from ingest.errors import SetupError
from ingest.spool import Region
from schemas.options import InspectOptions, ResizeOptions


class ResizerPool:
    """A pool of resizer processes over some spools; use it from one event loop.

    `inspect` limits each image and says how many processes there are. Raises SetupError if
    img2dataset is not installed.
    """

    def __init__(
        self, options: ResizeOptions, inspect: InspectOptions, spools: Sequence[int]
    ) -> None:
        if find_spec("img2dataset") is None:
            raise SetupError(
                "expected the package img2dataset, got none: pip install 'uncurated[img2dataset]'"
            )
        program = ["ingest.resize.resizer", options.model_dump_json()]
        self._pool: ChildPool[bytes] = ChildPool(program, bytes, inspect, spools)

    async def resize(self, region: Region) -> bytes:
        """The smaller copy of the image in `region`, a whole file; raises InspectError."""
        return await self._pool.ask(region)

    def close(self) -> None:
        """End all resizer processes."""
        self._pool.close()
