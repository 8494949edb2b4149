import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.survey.bins import ASPECT_RATIOS, BYTES, PIXELS, BinCounts


@given(st.lists(st.lists(st.integers(1, 2**40))))
def test_each_value_is_in_the_bin_whose_edges_hold_it(batches):
    bins = BinCounts(*BYTES)
    for batch in batches:
        bins.add(np.array(batch, np.float64))
    found, values = bins.result(), [value for batch in batches for value in batch]
    assert sum(found.counts) == len(values)
    for low, high, count in zip(found.edges[:-1], found.edges[1:], found.counts, strict=True):
        assert count == sum(low <= value < high for value in values)


def test_edges_are_the_same_for_all_but_the_largest():
    small, large = BinCounts(*PIXELS), BinCounts(*PIXELS)
    small.add(np.array([3.0]))
    large.add(np.array([3.0, 70_000.0]))
    assert small.result().edges == tuple(2.0**power for power in range(17))
    assert large.result().edges == tuple(2.0**power for power in range(18))


def test_no_shape_is_too_long_for_a_bin():
    bins = BinCounts(*ASPECT_RATIOS)
    bins.add(np.array([1 / 2**32, 1.0, 4 / 3, 2.0**31]))
    found = bins.result()
    assert sum(found.counts) == 4
    assert (found.counts[0], found.counts[-1]) == (1, 1)
    assert {1 / 16, 1.0, 16.0} <= set(found.edges)
