from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ingest.host_counts import HostCounts

BATCHES = st.lists(
    st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.integers(1, 50)), max_size=30
)


@given(BATCHES)
def test_few_hosts_are_counted_exactly(batches):
    counts, truth = HostCounts(max_hosts=16), Counter()
    for batch in batches:
        counts.add(batch)
        truth.update(batch)
    assert counts.error == 0
    assert counts.total == truth.total()
    assert dict(counts.heaviest(16)) == truth
    assert counts.num_hosts == len(truth)


@given(BATCHES, st.integers(2, 8))
def test_of_many_hosts_each_count_is_too_low_by_at_most_the_error(batches, max_hosts):
    counts, truth = HostCounts(max_hosts), Counter()
    for batch in batches:
        counts.add(batch)
        truth.update(batch)
        assert counts.num_hosts <= max_hosts
    told = dict(counts.heaviest(max_hosts))
    for host, count in truth.items():
        assert count - counts.error <= told.get(host, 0) <= count
    assert counts.error <= 2 * truth.total() / max_hosts


@given(BATCHES)
def test_the_heaviest_come_first_and_equals_by_name(batches):
    counts, truth = HostCounts(), Counter()
    for batch in batches:
        counts.add(batch)
        truth.update(batch)
    expected = sorted(truth.items(), key=lambda item: (-item[1], item[0]))
    assert counts.heaviest(5) == expected[:5]
