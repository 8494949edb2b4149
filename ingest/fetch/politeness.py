"""Whose turn it is at a host: request rate, requests in flight, back-off, and hosts left alone."""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ingest.errors import FetchError
from ingest.fetch.host_limits import HostLimits
from schemas.options import PolitenessOptions
from schemas.outcome import Outcome

_LONGEST_PAUSE_S = 3600.0
_FIRST_REST_S, _LONGEST_REST_S = 1.0, 600.0
# Failures that tell of the host, not of one page.
_HOST_FAILURES = frozenset({Outcome.CONNECT, Outcome.TLS, Outcome.TIMEOUT, Outcome.LOW_SPEED})


@dataclass
class _Turns:
    """Moments of the gate's clock, `interval_s` apart; 0: any moment."""

    interval_s: float
    next_s: float = 0.0


@dataclass
class _Host:
    """What is known of a host; times in seconds of the gate's clock."""

    turns: _Turns
    connections: int
    in_flight: int = 0
    # Those who wait for a slot, and since when.
    waiting: deque[tuple["asyncio.Future[None]", float]] = field(default_factory=deque)
    answered: bool = False
    failures: int = 0
    pauses: int = 0
    left_alone_until_s: float = 0.0
    rests: int = 0
    rests_until_s: float = 0.0


class HostGate:
    """Lets requests to a host through at its rate; `num_processes` share the promised rate."""

    def __init__(
        self,
        options: PolitenessOptions,
        num_processes: int = 1,
        clock: Callable[[], float] = time.monotonic,
        max_hosts: int = 100_000,
    ) -> None:
        self._options, self._num_processes = options, num_processes
        self._clock, self._max_hosts = clock, max_hosts
        self._limits = HostLimits(options)
        self._hosts: dict[str, _Host] = {}
        self._addresses: dict[str, _Turns] = {}
        # Spreads the returns to a busy host; nothing but times depends on it.
        self._jitter = random.Random(0)

    @asynccontextmanager
    async def turn(self, host: str, address: str) -> AsyncIterator[None]:
        """Wait for this host's turn and hold one of its slots.

        Raises FetchError: `host_down` while the host is left alone, `deferred` at once when the
        turn is further away than `host_wait_s`.
        """
        state = self._host(host)
        while True:
            wait_s = self.reserve_s(host, address)
            if wait_s:
                await asyncio.sleep(wait_s)
            await self._enter(host, state)
            # The host may have asked for a rest meanwhile.
            if state.rests_until_s <= self._clock():
                break
            self._leave(state)
        try:
            yield
        finally:
            self._leave(state)

    def reserve_s(self, host: str, address: str) -> float:
        """Seconds until the turn that is now the caller's; raises FetchError."""
        state, now = self._host(host), self._clock()
        self._check_asked(host, state, now)
        turns = [state.turns]
        if self._options.address_requests_per_s:
            turns.append(self._address(address))
        turn_s = max(now, state.rests_until_s, *(one.next_s for one in turns))
        if turn_s - now > self._options.host_wait_s:
            raise FetchError(
                Outcome.DEFERRED,
                f"expected a turn at {host} ({address}) within {self._options.host_wait_s:g} s, "
                f"it is {turn_s - now:.1f} s away",
            )
        for one in turns:
            if one.interval_s:
                one.next_s = turn_s + one.interval_s
        return turn_s - now

    def succeeded(self, host: str) -> None:
        """Note that a host answered, and did not ask for a rest."""
        state = self._host(host)
        state.answered, state.failures, state.pauses, state.rests = True, 0, 0, 0
        self._wake(state)

    def failed(self, host: str, outcome: Outcome) -> None:
        """Note a failure; after too many in a row the host is left alone, and longer each time."""
        if outcome not in _HOST_FAILURES:
            return
        state, now = self._host(host), self._clock()
        state.failures += 1
        enough = state.failures >= self._options.host_failures or state.pauses
        if not enough or state.left_alone_until_s > now:
            return
        pause_s = min(self._options.host_pause_s * 2**state.pauses, _LONGEST_PAUSE_S)
        state.left_alone_until_s = now + pause_s
        state.pauses, state.answered = state.pauses + 1, False
        while state.waiting:
            _settle(state.waiting.popleft()[0], _down(host, state.failures))

    def slow_down(self, host: str, delay_s: float) -> None:
        """Keep to a host's own wish of so many seconds between requests of the whole run."""
        turns = self._host(host).turns
        kept_s = min(delay_s, self._options.max_crawl_delay_s)
        turns.interval_s = max(turns.interval_s, kept_s * self._num_processes)

    def rest(self, host: str, retry_after_s: float) -> None:
        """Give a host that has too much to do a rest: as long as it asks, and longer each time."""
        state, now = self._host(host), self._clock()
        pause_s = retry_after_s
        # Answers to requests that were in flight together count once.
        if state.rests_until_s <= now:
            doubled_s = min(_FIRST_REST_S * 2**state.rests, _LONGEST_REST_S)
            pause_s = max(pause_s, doubled_s * self._jitter.uniform(1.0, 1.5))
            state.rests = min(state.rests + 1, 16)
        state.rests_until_s = max(state.rests_until_s, now + pause_s)

    async def _enter(self, host: str, state: _Host) -> None:
        """Take one of the host's slots; raises FetchError (host_down)."""
        while state.in_flight >= self._num_slots(state):
            # Nobody begins to wait at a host that is left alone: `failed` has sent all away.
            self._check_asked(host, state, self._clock())
            waiting = asyncio.get_running_loop().create_future()
            state.waiting.append((waiting, self._clock()))
            await waiting
        self._check_asked(host, state, self._clock())
        state.in_flight += 1

    def _leave(self, state: _Host) -> None:
        state.in_flight -= 1
        self._wake(state)

    def _num_slots(self, state: _Host) -> int:
        """Requests at a time: of a host that has not answered yet, no more than it may fail."""
        if state.pauses or state.rests:
            return 1
        if state.answered:
            return state.connections
        return min(state.connections, self._options.host_failures)

    def _wake(self, state: _Host) -> None:
        """Let those who wait in, as far as there are slots; send away who waited too long."""
        longest_s = self._options.host_wait_s
        while state.waiting and state.waiting[0][1] + longest_s < self._clock():
            detail = f"expected a free connection to the host within {longest_s:g} s, got none"
            _settle(state.waiting.popleft()[0], FetchError(Outcome.DEFERRED, detail))
        free = self._num_slots(state) - state.in_flight
        while state.waiting and free > 0:
            free -= _settle(state.waiting.popleft()[0], None)

    def _check_asked(self, host: str, state: _Host, now: float) -> None:
        if state.left_alone_until_s > now:
            raise _down(host, state.failures)

    def _host(self, host: str) -> _Host:
        state = self._hosts.get(host)
        if state is None:
            if len(self._hosts) >= self._max_hosts:
                self._forget_idle()
            limit = self._limits.find(host)
            turns = _Turns(self._interval_s(limit.requests_per_s))
            state = self._hosts[host] = _Host(turns, limit.connections)
        return state

    def _address(self, address: str) -> _Turns:
        turns = self._addresses.get(address)
        if turns is None:
            if len(self._addresses) >= self._max_hosts:
                self._forget_idle()
            interval_s = self._interval_s(self._options.address_requests_per_s)
            turns = self._addresses[address] = _Turns(interval_s)
        return turns

    def _interval_s(self, requests_per_s: float) -> float:
        return self._num_processes / requests_per_s if requests_per_s else 0.0

    def _forget_idle(self) -> None:
        """Drop those that nobody waits for and that have no turn or rest to keep."""
        now = self._clock()
        self._addresses = {key: one for key, one in self._addresses.items() if one.next_s > now}
        self._hosts = {
            name: one
            for name, one in self._hosts.items()
            if max(one.turns.next_s, one.rests_until_s, one.left_alone_until_s) > now
            or one.in_flight
            or one.waiting
        }


def _settle(waiting: "asyncio.Future[None]", error: FetchError | None) -> bool:
    """Let one who waits go on, or fail; False if it waits no longer."""
    if waiting.done():
        return False
    if error is None:
        waiting.set_result(None)
    else:
        waiting.set_exception(error)
    return True


def _down(host: str, failures: int) -> FetchError:
    return FetchError(
        Outcome.HOST_DOWN, f"{host} failed {failures} times in a row and is left alone for a while"
    )
