"""Whose turn it is at a host: request rate and requests in flight."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from ingest.errors import FetchError
from schemas.options import PolitenessOptions
from schemas.outcome import Outcome


@dataclass
class _Host:
    slots: asyncio.Semaphore
    next_turn: float = 0.0
    num_users: int = 0


class HostGate:
    """Lets requests to a host through at its rate; `num_processes` share the promised rate."""

    def __init__(
        self,
        options: PolitenessOptions,
        num_processes: int = 1,
        clock: Callable[[], float] = time.monotonic,
        max_hosts: int = 100_000,
    ) -> None:
        rate = options.host_requests_per_s / num_processes
        self._interval_s = 1.0 / rate if rate else 0.0
        self._options = options
        self._clock = clock
        self._hosts: dict[str, _Host] = {}
        self._max_hosts = max_hosts

    @asynccontextmanager
    async def turn(self, host: str) -> AsyncIterator[None]:
        """Wait for this host's turn and hold one of its slots.

        Raises FetchError (deferred) at once when the turn is further away than `host_wait_s`.
        """
        wait_s = self.reserve_s(host)
        if wait_s:
            await asyncio.sleep(wait_s)
        state = self._host(host)
        state.num_users += 1
        try:
            async with state.slots:
                yield
        finally:
            state.num_users -= 1

    def reserve_s(self, host: str) -> float:
        """Seconds until the turn that is now the caller's; raises FetchError (deferred)."""
        if not self._interval_s:
            return 0.0
        state, now, longest_s = self._host(host), self._clock(), self._options.host_wait_s
        wait_s = max(0.0, state.next_turn - now)
        if wait_s > longest_s:
            detail = f"expected a turn at {host} within {longest_s} s, it is {wait_s:.1f} s away"
            raise FetchError(Outcome.DEFERRED, detail)
        state.next_turn = now + wait_s + self._interval_s
        return wait_s

    def _host(self, host: str) -> _Host:
        state = self._hosts.get(host)
        if state is None:
            if len(self._hosts) >= self._max_hosts:
                self._forget_idle()
            slots = asyncio.Semaphore(self._options.host_connections)
            state = self._hosts[host] = _Host(slots)
        return state

    def _forget_idle(self) -> None:
        """Drop hosts that nobody waits for and whose next turn has come: they start afresh."""
        now = self._clock()
        self._hosts = {
            host: state
            for host, state in self._hosts.items()
            if state.next_turn > now or state.num_users
        }
