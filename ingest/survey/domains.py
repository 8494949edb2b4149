"""Registered domains by the bytes that they gave, in bounded memory."""

import math
from collections.abc import Sequence
from heapq import nsmallest

import numpy as np
from numpy.typing import NDArray

from ingest.survey.host_names import suffix_list_version
from schemas.survey import Domain, Domains

MAX_LISTED = 10_000
_COUNTS = 4
_BYTES, _KEPT = 2, 1


class DomainCounts:
    """Counts by domain; exact while there are at most `max_domains`.

    When there are more, bytes sink as in `ingest.host_counts` (Misra and Gries 1982): all by those
    of the middle domain, and domains at nothing are forgotten. The bytes of a domain are then too
    low by at most `error`, and its other counts are of the time since it was last forgotten.
    """

    def __init__(self, max_domains: int = 500_000) -> None:
        self._max_domains = max_domains
        self._places: dict[str, int] = {}
        self._counts = np.zeros((1024, _COUNTS), np.int64)
        self.error = 0

    def add(self, domains: Sequence[str], counts_D4: NDArray[np.int64]) -> None:
        """Add candidates, kept images, kept bytes and refusals of each domain: int64 [D, 4].

        A domain may occur more than once.
        """
        places = [self._places.setdefault(one, len(self._places)) for one in domains]
        while len(self._counts) < len(self._places):
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        np.add.at(self._counts, np.array(places, np.intp), counts_D4)
        if len(self._places) > self._max_domains:
            self._sink()

    def result(self) -> Domains:
        """The domains that gave an image, those with most bytes first, and how many there are.

        The top 10 % are among them, as long as these are no more than `MAX_LISTED`.
        """
        counts = self._counts[: len(self._places)]
        kept = counts[:, _KEPT] > 0
        leading = nsmallest(
            MAX_LISTED,
            (
                (-int(counts[place, _BYTES]), name, place)
                for name, place in self._places.items()
                if kept[place]
            ),
        )
        return Domains(
            top=tuple(_domain(name, counts[place].tolist()) for _, name, place in leading),
            num_domains=len(self._places),
            num_kept_domains=int(np.count_nonzero(kept)),
            suffix_list=suffix_list_version(),
            error=self.error,
        )

    def _sink(self) -> None:
        num = len(self._places)
        counts = self._counts[:num]
        middle = np.partition(counts[:, _BYTES], num - self._max_domains // 2 - 1)
        # At least one byte, so that `error` tells that domains were forgotten.
        depth = max(1, int(middle[num - self._max_domains // 2 - 1]))
        left = counts[:, _BYTES] > depth
        names = [name for name, place in self._places.items() if left[place]]
        sunk = counts[left]
        sunk[:, _BYTES] -= depth
        room = 1 << max(10, math.ceil(math.log2(len(names) + 1)))
        self._counts = np.zeros((room, _COUNTS), np.int64)
        self._counts[: len(names)] = sunk
        self._places = {name: place for place, name in enumerate(names)}
        self.error += depth


def _domain(name: str, counts: Sequence[int]) -> Domain:
    num_candidates, num_kept, kept_bytes, num_refused = counts
    return Domain(
        domain=name,
        num_candidates=num_candidates,
        num_kept=num_kept,
        kept_bytes=kept_bytes,
        num_refused=num_refused,
    )
