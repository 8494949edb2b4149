"""Placeholder until the compiled tables land: an exact scan."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GUARANTEED_RADIUS = 80


@dataclass(frozen=True)
class Hits:
    """Near codes, sorted by (query, distance, place)."""

    query: NDArray[np.int32]
    place: NDArray[np.int64]
    distance: NDArray[np.uint8]


def build_tables(codes: NDArray[np.uint64]) -> dict[str, NDArray[Any]]:
    return {}


class Tables:
    def __init__(self, codes: NDArray[np.uint64], arrays: dict[str, NDArray[Any]]) -> None:
        self._codes = codes

    def near(
        self, queries: NDArray[np.uint8], certainty: NDArray[np.uint8] | None, limit: int
    ) -> Hits:
        q, p, d = [], [], []
        for number, one in enumerate(queries.view(np.uint64).reshape(-1, 4)):
            distances = np.bitwise_count(self._codes ^ one).sum(axis=1, dtype=np.int64)
            places = np.flatnonzero(distances <= limit)
            order = places[np.argsort(distances[places], kind="stable")]
            q += [number] * len(order)
            p += order.tolist()
            d += distances[order].tolist()
        return Hits(np.array(q, np.int32), np.array(p, np.int64), np.array(d, np.uint8))
