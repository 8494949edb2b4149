import asyncio
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import FetchError
from ingest.fetch.politeness import HostGate
from schemas.options import PolitenessOptions
from schemas.outcome import Outcome


def turns(rate, wait_s, num_requests, num_processes=1):
    """When each of `num_requests` that come at time 0 gets its turn, or its outcome."""
    options = PolitenessOptions(host_requests_per_s=rate, host_wait_s=wait_s)
    gate = HostGate(options, num_processes, clock=lambda: 0.0)

    async def run():
        found = []
        for _ in range(num_requests):
            try:
                found.append(gate.reserve_s("a.example"))
            except FetchError as error:
                found.append(error.outcome)
        return found

    return asyncio.run(run())


def test_turns_are_spaced_by_the_rate_and_those_too_far_away_are_deferred():
    assert turns(2.0, 1.0, 5) == [0.0, 0.5, 1.0, Outcome.DEFERRED, Outcome.DEFERRED]


def test_processes_share_the_rate_of_a_host():
    assert turns(2.0, 10.0, 3, num_processes=4) == [0.0, 2.0, 4.0]


def test_without_a_rate_nobody_waits():
    assert turns(0.0, 0.0, 3) == [0.0, 0.0, 0.0]


@given(st.floats(0.1, 100), st.floats(0, 50), st.integers(1, 300))
def test_no_host_is_promised_more_than_its_rate(rate, wait_s, num_requests):
    found = [turn for turn in turns(rate, wait_s, num_requests) if turn is not Outcome.DEFERRED]
    assert len(found) <= wait_s * rate + 1 + 1e-6
    assert all(b - a >= 1 / rate - 1e-9 for a, b in pairwise(found))


def test_a_host_has_no_more_requests_in_flight_than_allowed():
    gate = HostGate(PolitenessOptions(host_connections=3))
    running, most = 0, 0

    async def request():
        nonlocal running, most
        async with gate.turn("a.example"):
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    async def run():
        await asyncio.gather(*(request() for _ in range(20)))

    asyncio.run(run())
    assert most == 3


def test_idle_hosts_are_forgotten_but_not_those_with_a_rate_to_keep():
    options = PolitenessOptions(host_requests_per_s=1.0)
    gate = HostGate(options, clock=lambda: 0.0, max_hosts=10)

    async def run():
        return [gate.reserve_s(f"host{number % 50}.example") for number in range(100)]

    assert asyncio.run(run()) == [0.0] * 50 + [1.0] * 50
