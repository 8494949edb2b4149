"""Draws the canaries of an evaluation set: copies of its images that a build must find."""

import heapq
import logging
import random
from itertools import count

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingest.copies.kinds import KINDS, open_original
from schemas.evaluation import Canary, ProtectedImage

logger = logging.getLogger(__name__)

# Sets with few images make several of each.
_DRAWS_PER_IMAGE = 8


class CanaryDraw:
    """The canaries of lowest rank among those of the images offered so far.

    Ranks are drawn from the names, so that the lowest of a whole set are the same however it is
    split: `lowest_ranks` takes them from the parts' canaries.
    """

    def __init__(self, num_canaries: int, seed: int) -> None:
        self._num_canaries, self._seed = num_canaries, seed
        self._heap: list[tuple[float, int, Canary]] = []
        self._order = count()

    def offer(self, image: ProtectedImage, content: bytes) -> None:
        """Make those copies of an image that rank low enough."""
        for number in range(_DRAWS_PER_IMAGE):
            key = f"{self._seed} {number} {image.set} {image.name} {image.sha256.hex()}"
            draw = random.Random(key)
            rank = draw.random()
            full = len(self._heap) >= self._num_canaries
            if not self._num_canaries or (full and -rank <= self._heap[0][0]):
                continue
            canary = _make(image, content, rank, draw.choice(list(KINDS)), key)
            if canary is not None:
                push = heapq.heappushpop if full else heapq.heappush
                push(self._heap, (-rank, next(self._order), canary))

    def drawn(self) -> list[Canary]:
        """The canaries, by rank."""
        return [canary for _, _, canary in sorted(self._heap, reverse=True)]


def lowest_ranks(canaries: pa.Table, num_canaries: int) -> pa.Table:
    """The `num_canaries` of lowest rank of each set, by set and rank."""
    ordered = canaries.sort_by([("set", "ascending"), ("rank", "ascending")])
    sets = ordered["set"]
    kept = [
        ordered.filter(pc.equal(sets, name)).slice(0, num_canaries)
        for name in sorted(sets.unique().to_pylist())
    ]
    return pa.concat_tables([ordered.slice(0, 0), *kept])


def _make(image: ProtectedImage, content: bytes, rank: float, kind: str, key: str) -> Canary | None:
    try:
        copy = KINDS[kind].make(open_original(content), key)
    except MemoryError:
        raise
    # Pillow's plugins raise anything for a file that only its luma could be read of.
    except Exception as error:
        logger.warning("%s/%s: no canary %s: %s", image.set, image.name, kind, error)
        return None
    return Canary(
        set=image.set,
        name=image.name,
        rank=rank,
        kind=kind,
        params=orjson.dumps(copy.params).decode(),
        protected=bool(image.codes),
        content=copy.content,
    )
