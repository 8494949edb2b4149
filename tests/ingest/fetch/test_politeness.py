import asyncio
from collections import Counter
from itertools import pairwise

import pytest
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
                found.append(gate.reserve_s("a.example", "192.0.2.1"))
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
        async with gate.turn("a.example", "192.0.2.1"):
            gate.succeeded("a.example")
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
        return [gate.reserve_s(f"host{number % 50}.example", "192.0.2.1") for number in range(100)]

    assert asyncio.run(run()) == [0.0] * 50 + [1.0] * 50


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def outcome_of(gate, host="a.example", address="192.0.2.1"):
    """The wait for a turn, or the outcome when there is none."""
    try:
        return gate.reserve_s(host, address)
    except FetchError as error:
        return error.outcome


def fail(gate, times, outcome=Outcome.TIMEOUT):
    for _ in range(times):
        gate.failed("a.example", outcome)


def test_hosts_at_one_address_share_its_rate():
    options = PolitenessOptions(address_requests_per_s=2.0)
    gate = HostGate(options, num_processes=1, clock=lambda: 0.0)
    waits = [gate.reserve_s(f"{name}.example", "192.0.2.1") for name in "abc"]
    assert waits == [0.0, 0.5, 1.0]
    assert gate.reserve_s("d.example", "192.0.2.2") == 0.0


@pytest.mark.parametrize(
    ("outcome", "counts"),
    [
        (Outcome.TIMEOUT, True),
        (Outcome.CONNECT, True),
        (Outcome.TLS, True),
        (Outcome.LOW_SPEED, True),
        (Outcome.TOO_LARGE, False),
        (Outcome.PROTOCOL, False),
        (Outcome.CONNECTION_LOST, False),
    ],
)
def test_three_failures_of_a_host_leave_it_alone(outcome, counts):
    gate = HostGate(PolitenessOptions(), clock=Clock())
    fail(gate, 2, outcome)
    assert outcome_of(gate) == 0.0
    fail(gate, 1, outcome)
    assert outcome_of(gate) == (Outcome.HOST_DOWN if counts else 0.0)
    assert outcome_of(gate, "b.example") == 0.0


def test_failures_that_are_not_in_a_row_do_not_count():
    gate = HostGate(PolitenessOptions(), clock=Clock())
    for _ in range(10):
        fail(gate, 2)
        gate.succeeded("a.example")
    assert outcome_of(gate) == 0.0


def test_a_host_that_was_left_alone_is_probed_and_then_left_alone_for_longer():
    clock = Clock()
    gate = HostGate(PolitenessOptions(host_pause_s=60.0), clock=clock)
    fail(gate, 3)
    for pause_s in (60.0, 120.0, 240.0):
        clock.now += pause_s - 1
        assert outcome_of(gate) is Outcome.HOST_DOWN
        clock.now += 1
        assert outcome_of(gate) == 0.0
        fail(gate, 1)
    clock.now += 480.0
    gate.succeeded("a.example")
    fail(gate, 2)
    assert outcome_of(gate) == 0.0


def test_who_waits_for_a_host_that_dies_is_sent_away():
    gate = HostGate(PolitenessOptions(host_connections=16), clock=Clock())
    asked = 0

    async def request():
        nonlocal asked
        async with gate.turn("a.example", "192.0.2.1"):
            asked += 1
            await asyncio.sleep(0)
            gate.failed("a.example", Outcome.TIMEOUT)
            raise FetchError(Outcome.TIMEOUT, "too long")

    async def run():
        found = await asyncio.gather(*(request() for _ in range(50)), return_exceptions=True)
        return Counter(error.outcome for error in found)

    assert asyncio.run(run()) == {Outcome.TIMEOUT: 3, Outcome.HOST_DOWN: 47}
    assert asked == 3


def test_who_waits_too_long_for_a_slot_is_deferred():
    clock = Clock()
    gate = HostGate(PolitenessOptions(host_connections=1, host_wait_s=30.0), clock=clock)

    async def request():
        async with gate.turn("a.example", "192.0.2.1"):
            gate.succeeded("a.example")
            await asyncio.sleep(0)
            clock.now += 20.0

    async def run():
        found = await asyncio.gather(*(request() for _ in range(5)), return_exceptions=True)
        return [error and error.outcome for error in found]

    late = Outcome.DEFERRED
    assert asyncio.run(run()) == [None, None, late, late, late]


def test_a_rest_is_kept_by_all_and_grows_until_the_host_serves_again():
    clock = Clock()
    gate = HostGate(PolitenessOptions(host_wait_s=1000.0), clock=clock)
    rests = []
    for _ in range(5):
        gate.rest("a.example", 0.0)
        # Answers to requests that were in flight together are one wish.
        gate.rest("a.example", 0.0)
        rests.append(gate.reserve_s("a.example", "192.0.2.1"))
        clock.now += rests[-1]
    assert all(2**n <= rest_s <= 1.5 * 2**n for n, rest_s in enumerate(rests))
    gate.succeeded("a.example")
    gate.rest("a.example", 0.0)
    assert gate.reserve_s("a.example", "192.0.2.1") <= 1.5


def test_a_rest_is_as_long_as_the_host_asks():
    gate = HostGate(PolitenessOptions(host_wait_s=1000.0), clock=Clock())
    gate.rest("a.example", 100.0)
    assert gate.reserve_s("a.example", "192.0.2.1") == 100.0
    gate.rest("a.example", 2000.0)
    assert outcome_of(gate) is Outcome.DEFERRED


def test_a_crawl_delay_is_kept_up_to_its_limit_by_all_processes_together():
    options = PolitenessOptions(max_crawl_delay_s=10.0, host_wait_s=1000.0)
    gate = HostGate(options, num_processes=2, clock=Clock())
    gate.slow_down("a.example", 4.0)
    assert [gate.reserve_s("a.example", "192.0.2.1") for _ in range(3)] == [0.0, 8.0, 16.0]
    gate.slow_down("b.example", 4000.0)
    assert [gate.reserve_s("b.example", "192.0.2.1") for _ in range(2)] == [0.0, 20.0]
