"""Histograms over edges that are the same for every dataset, so that two can be compared."""

import numpy as np
from numpy.typing import NDArray

from schemas.survey import Histogram

# The last edges are more than a ledger can hold; what is above the common ones is shown if there.
BYTES = (tuple(2.0**power for power in range(64)), 26)
PIXELS = (tuple(2.0**power for power in range(33)), 16)
# A quarter of an octave keeps 1:1, 4:3, 3:2 and 16:9 apart; the ends are open.
_RATIOS = (2.0**-32, *(2.0 ** (power / 4) for power in range(-16, 17)), 2.0**32)
ASPECT_RATIOS = (_RATIOS, len(_RATIOS) - 1)


class BinCounts:
    """Counts of values by bin; `common`: how many bins are shown even if they are empty."""

    def __init__(self, edges: tuple[float, ...], common: int) -> None:
        self._edges, self._common = np.array(edges), common
        self._counts = np.zeros(len(edges) - 1, np.int64)

    def add(self, values: NDArray[np.float64]) -> None:
        """Count values from the first edge to below the last; no others come in."""
        places = np.searchsorted(self._edges, values, side="right") - 1
        inside = places[(places >= 0) & (places < len(self._counts))]
        self._counts += np.bincount(inside, minlength=len(self._counts))

    def result(self) -> Histogram:
        """The histogram, without the empty bins above the common ones."""
        filled = np.flatnonzero(self._counts)
        shown = max(self._common, int(filled[-1]) + 1 if len(filled) else 0)
        return Histogram(
            edges=tuple(self._edges[: shown + 1].tolist()),
            counts=tuple(self._counts[:shown].tolist()),
        )
