import random

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ingest.audit.traffic import Sweep, flatten_requests, most_in_window

SECOND, MINUTE = 1_000_000, 60_000_000
REQUESTS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 300_000_000)), max_size=120)


def most_of_host(times, window_us):
    """By looking at the window that begins at each request."""
    return max(sum(begin <= time < begin + window_us for time in times) for begin in times)


def times_by_host(requests):
    return {
        host: [time for name, time in requests if name == host]
        for host in {name for name, _ in requests}
    }


@given(REQUESTS, st.sampled_from([1, SECOND, MINUTE]))
def test_the_fullest_window_is_that_of_a_plain_search(requests, window_us):
    hosts = np.array([ord(host) for host, _ in requests], dtype=np.int64)
    times = np.array([time for _, time in requests], dtype=np.int64)
    names, most = most_in_window(hosts, times, window_us)
    expected = {
        ord(host): most_of_host(times, window_us) for host, times in times_by_host(requests).items()
    }
    assert dict(zip(names.tolist(), most.tolist(), strict=True)) == expected


def swept(parts, watched, fewest_held):
    """A sweep over (host, time) lists, put into the order that it wants."""
    sweep = Sweep(watched, fewest_held)
    ordered = sorted(
        (part for part in parts if part), key=lambda part: min(time for _, time in part)
    )
    firsts = [min(time for _, time in part) for part in ordered]
    for part, next_us in zip(ordered, [*firsts[1:], None], strict=False):
        names = pa.array([host for host, _ in part], pa.string())
        sweep.add(names, np.array([time for _, time in part], dtype=np.int64), next_us)
    return sweep


@given(REQUESTS, st.integers(1, 8), st.integers(0, 50), st.randoms(use_true_random=False))
def test_a_sweep_finds_windows_across_parts_that_overlap(requests, num_parts, held, generator):
    parts = [[] for _ in range(num_parts)]
    for request in requests:
        parts[generator.randrange(num_parts)].append(request)
    sweep = swept(parts, ["a", "b"], held)
    by_host = times_by_host(requests)
    for one in sweep.hosts():
        times = by_host.get(one.host, [])
        assert one.num_requests == len(times)
        assert one.most_in_1_s == (most_of_host(times, SECOND) if times else 0)
        assert one.most_in_60_s == (most_of_host(times, MINUTE) if times else 0)
    for peak, window_us in zip(sweep.busiest(), (SECOND, MINUTE), strict=True):
        most = {host: most_of_host(times, window_us) for host, times in by_host.items()}
        if not most:
            assert peak is None
        else:
            assert peak.num_requests == max(most.values())
            assert peak.host == min(host for host in most if most[host] == peak.num_requests)


def test_a_sweep_holds_only_what_windows_may_need():
    """Ten thousand parts of a crawl of a year: what is held stays as small as what overlaps."""
    generator = random.Random(1)
    sweep, longest = Sweep(["0"], fewest_held=1000), 0
    starts = [number * 3000 * SECOND for number in range(2000)]
    for start, next_us in zip(starts, [*starts[1:], None], strict=True):
        hosts = pa.array([str(generator.randrange(5)) for _ in range(100)])
        times = np.array([start + number * SECOND for number in range(100)], dtype=np.int64)
        sweep.add(hosts, times, next_us)
        longest = max(longest, len(sweep._held.hosts))
    assert longest <= 1100
    assert sweep.hosts()[0].num_requests > 30_000


def test_requests_are_read_as_the_ledger_has_them():
    moment = pa.timestamp("us", tz="UTC")
    dtype = pa.list_(pa.struct([pa.field("host", pa.string()), pa.field("at", moment)]))
    rows = [[{"host": "a", "at": 5}, {"host": "b", "at": 7}], [], [{"host": "a", "at": 9}]]
    column = pa.chunked_array([pa.array(rows[:1], dtype), pa.array(rows[1:], dtype)])
    hosts, times_us = flatten_requests(column)
    assert hosts.to_pylist() == ["a", "b", "a"]
    assert times_us.tolist() == [5, 7, 9]
    empty = flatten_requests(pa.chunked_array([], dtype))
    assert (len(empty[0]), len(empty[1])) == (0, 0)


def test_a_clock_far_off_breaks_nothing():
    hosts = np.array([1, 1, 2], dtype=np.int64)
    times = np.array([0, 2**62, 2**62 + 1], dtype=np.int64)
    assert most_in_window(hosts, times, MINUTE)[1].tolist() == [1, 1]
