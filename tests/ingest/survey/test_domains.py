from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.survey import domains as module
from ingest.survey.domains import DomainCounts

BATCHES = st.lists(
    st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.integers(0, 9)), max_size=12),
    max_size=20,
)


def added(batches, max_domains=500_000):
    """Counts of (domain, bytes) pairs: an image of as many bytes each, none where it is 0."""
    counts = DomainCounts(max_domains)
    for batch in batches:
        rows = [(1, int(size > 0), size, int(size == 1)) for _, size in batch]
        counts.add([name for name, _ in batch], np.array(rows, np.int64).reshape(-1, 4))
    return counts.result()


@given(BATCHES)
def test_few_domains_are_counted_exactly(batches):
    found = added(batches)
    pairs = [pair for batch in batches for pair in batch]
    sizes = Counter()
    for name, size in pairs:
        sizes[name] += size
    kept = {name: size for name, size in sizes.items() if size}
    assert [(one.domain, one.kept_bytes) for one in found.top] == sorted(
        kept.items(), key=lambda item: (-item[1], item[0])
    )
    assert (found.num_domains, found.num_kept_domains) == (len(sizes), len(kept))
    assert found.error == 0
    for one in found.top:
        own = [size for name, size in pairs if name == one.domain]
        assert one.num_candidates == len(own)
        assert one.num_kept == sum(size > 0 for size in own)
        assert one.num_refused == own.count(1)


@given(BATCHES, st.integers(2, 8))
def test_of_many_domains_bytes_are_too_low_by_at_most_the_error(batches, max_domains):
    found = added(batches, max_domains)
    truth = Counter()
    for batch in batches:
        for name, size in batch:
            truth[name] += size
    listed = {one.domain: one.kept_bytes for one in found.top}
    assert len(listed) <= max_domains
    for name, size in truth.items():
        assert size - found.error <= listed.get(name, 0) <= size
    # What is not complete says so.
    assert found.error or found.num_domains == len(truth)


def test_the_list_ends_but_the_count_goes_on(monkeypatch):
    monkeypatch.setattr(module, "MAX_LISTED", 3)
    found = added([[(name, size) for size, name in enumerate("vwxyz", 1)]])
    assert [one.domain for one in found.top] == ["z", "y", "x"]
    assert found.num_kept_domains == 5
