"""How often each host occurs in a long stream, in bounded memory."""

from collections import Counter
from collections.abc import Mapping
from heapq import nlargest


class HostCounts:
    """Counts by host; exact while there are at most `max_hosts`, else too low by at most `error`.

    Source: Misra and Gries 1982, in the form that can be merged: Agarwal et al. 2012, Mergeable
    Summaries, section 2. When there are too many hosts, all counts sink by that of the middle one,
    and those at nothing are forgotten; so `error` is at most `2 * total / max_hosts`.
    """

    def __init__(self, max_hosts: int = 1_000_000) -> None:
        self._max_hosts = max_hosts
        self._counts: Counter[str] = Counter()
        self.total = 0
        self.error = 0

    def add(self, counts: Mapping[str, int]) -> None:
        """Count each host so many times."""
        self._counts.update(counts)
        self.total += sum(counts.values())
        if len(self._counts) > self._max_hosts:
            self._sink()

    def heaviest(self, count: int) -> list[tuple[str, int]]:
        """The hosts with the highest counts and these, in falling order, then by name."""
        return nlargest(count, sorted(self._counts.items()), key=lambda item: item[1])

    @property
    def num_hosts(self) -> int:
        """The number of hosts; of those not forgotten if `error` is not 0."""
        return len(self._counts)

    def _sink(self) -> None:
        depth = sorted(self._counts.values())[len(self._counts) - self._max_hosts // 2 - 1]
        self._counts = Counter(
            {host: count - depth for host, count in self._counts.items() if count > depth}
        )
        self.error += depth
