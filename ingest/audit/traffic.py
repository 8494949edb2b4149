"""How hard hosts were hit: requests by host, and the fullest second and minute of each.

Two passes over the ledger. The first finds the hosts with the most requests. The second goes
through the parts by the time of their first request, like a line that sweeps over the crawl, and
keeps only the requests of the last minute before that line: memory holds what the shards that were
under way at one time asked, however long the crawl.

Legend: R requests, D hosts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from schemas.report import HostPeak, HostTraffic

_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
WINDOWS_US = (_SECOND_US, _MINUTE_US)
_FEWEST_HELD = 1_000_000


def flatten_requests(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """Hosts, and times in microseconds, of all requests in a ledger's column `requests`."""
    requests = pc.list_flatten(column).combine_chunks()
    times = requests.field("at").cast(pa.int64())
    return requests.field("host"), times.to_numpy(zero_copy_only=False)


def count_by_host(hosts: pa.Array) -> dict[str, int]:
    """How often each host occurs."""
    counted = pc.value_counts(hosts)
    return dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))


def most_in_window(
    hosts_R: NDArray[np.int64], times_us_R: NDArray[np.int64], window_us: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each host, and the most of its requests in any half-open window of this length: int64 [D].

    Of requests at 0 and at exactly `window_us`, no window holds both.
    """
    if not len(hosts_R):
        return hosts_R, times_us_R
    order = np.lexsort((times_us_R, hosts_R))
    hosts, times_us = hosts_R[order], times_us_R[order]
    is_first = np.concatenate([[True], hosts[1:] != hosts[:-1]])
    # One rising line for all hosts: whatever lies a window apart, or at another host, is as far.
    gaps = np.minimum(np.diff(times_us, prepend=times_us[0]), window_us)
    line = np.cumsum(np.where(is_first, window_us, gaps))
    counts_R = np.arange(1, len(line) + 1) - np.searchsorted(line, line - window_us, side="right")
    begins_D = np.flatnonzero(is_first)
    return hosts[begins_D], np.maximum.reduceat(counts_R, begins_D)


@dataclass
class _Held:
    """Requests that a window may still need: hashes of hosts [R], times [R], names by hash."""

    hosts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    times_us: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    names: dict[int, str] = field(default_factory=dict)


class Sweep:
    """The fullest second and minute: of each watched host, and of the hosts altogether.

    Parts must come by the time of their first request. `fewest_held`: requests that are held before
    the first look at them.
    """

    def __init__(self, watched: Iterable[str], fewest_held: int = _FEWEST_HELD) -> None:
        self._requests = dict.fromkeys(watched, 0)
        self._most = {host: [0, 0] for host in self._requests}
        self._busiest: list[tuple[int, str]] = [(0, ""), (0, "")]
        self._held = _Held()
        self._fewest_held = self._look_at = fewest_held

    def add(self, hosts: pa.Array, times_us_R: NDArray[np.int64], next_us: int | None) -> None:
        """Take the requests of a part; `next_us`: the first of the next part, None for the last."""
        encoded = hosts.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        # Hashes instead of numbers: hosts come and go, and a table of all would grow for ever.
        hashes = np.array([hash(name) for name in names], dtype=np.int64)
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        for name, count in count_by_host(hosts).items():
            if name in self._requests:
                self._requests[name] += count
        held = self._held
        held.names.update(zip(hashes.tolist(), names, strict=True))
        held.hosts = np.concatenate([held.hosts, hashes[codes]])
        held.times_us = np.concatenate([held.times_us, times_us_R])
        if next_us is None or len(held.hosts) >= self._look_at:
            self._look()
            self._forget(next_us)

    def hosts(self) -> list[HostTraffic]:
        """The traffic of the watched hosts."""
        return [
            HostTraffic(host=host, num_requests=count, most_in_1_s=second, most_in_60_s=minute)
            for (host, count), (second, minute) in zip(
                self._requests.items(), self._most.values(), strict=True
            )
        ]

    def busiest(self) -> list[HostPeak | None]:
        """Of all hosts, the one with the fullest second, and the one with the fullest minute."""
        return [
            HostPeak(host=host, num_requests=count) if count else None
            for count, host in self._busiest
        ]

    def _look(self) -> None:
        """Raise what is known of the fullest windows to what is held."""
        for number, window_us in enumerate(WINDOWS_US):
            names_D, most_D = most_in_window(self._held.hosts, self._held.times_us, window_us)
            for name_hash, most in zip(names_D.tolist(), most_D.tolist(), strict=True):
                host = self._held.names[name_hash]
                if host in self._most:
                    self._most[host][number] = max(self._most[host][number], most)
                highest, at = self._busiest[number]
                if most > highest or (most == highest and host < at):
                    self._busiest[number] = (most, host)

    def _forget(self, next_us: int | None) -> None:
        """Drop what no window that ends from `next_us` on can hold."""
        if next_us is None:
            self._held = _Held()
            return
        held, needed = self._held, self._held.times_us > next_us - _MINUTE_US
        hosts_R = held.hosts[needed]
        names = {name_hash: held.names[name_hash] for name_hash in np.unique(hosts_R).tolist()}
        self._held = _Held(hosts_R, held.times_us[needed], names)
        self._look_at = max(self._fewest_held, 2 * len(hosts_R))
