import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train_entry.order import BlockOrder, Permutation, Permutations, SampleOrder, block_layout

ROOT = "ab" * 32
shard_sizes = st.lists(st.integers(0, 60), min_size=1, max_size=12)


def layout_of(num_kept, sample_bytes, block_bytes):
    num_kept = np.array(num_kept, np.int64)
    return block_layout(num_kept, num_kept * sample_bytes + 1024, block_bytes)


@given(size=st.integers(1, 3000), key=st.binary(max_size=40))
def test_a_permutation_maps_onto_itself_and_back(size, key):
    permutation, positions = Permutation(key, size), np.arange(size)
    images = permutation.forward(positions)
    assert np.array_equal(np.sort(images), positions)
    assert np.array_equal(permutation.inverse(images), positions)


@given(sizes=st.lists(st.integers(1, 200), min_size=1, max_size=6), key=st.binary(max_size=8))
def test_each_member_of_a_family_is_a_permutation_of_its_own_size(sizes, key):
    family = Permutations(key, np.array(sizes))
    members = np.repeat(np.arange(len(sizes)), sizes)
    positions = np.concatenate([np.arange(size) for size in sizes])
    images = family.forward(positions, members)
    assert np.array_equal(family.inverse(images, members), positions)
    for member, size in enumerate(sizes):
        assert sorted(images[members == member]) == list(range(size))


@pytest.mark.parametrize("size", [2**40, 2**40 + 1, 10**12])
def test_a_permutation_of_a_huge_range_needs_no_table(size):
    positions = np.array([0, 1, size // 2, size - 1])
    images = Permutation(b"key", size).forward(positions)
    assert images.min() >= 0
    assert images.max() < size
    assert np.array_equal(Permutation(b"key", size).inverse(images), positions)


def test_positions_may_be_asked_for_in_any_portions():
    order = SampleOrder(ROOT, 1, 2, 1000)
    together = order.indices(np.arange(1000))
    alone = [int(order.indices(np.array([position]))[0]) for position in range(1000)]
    assert together.tolist() == alone


@pytest.mark.parametrize("changed", [("cd" * 32, 1, 2), (ROOT, 3, 2), (ROOT, 1, 3)])
def test_another_root_seed_or_epoch_gives_another_order(changed):
    positions = np.arange(1000)
    same = SampleOrder(ROOT, 1, 2, 1000).indices(positions)
    other = SampleOrder(*changed, 1000).indices(positions)
    assert np.count_nonzero(same == other) < 20


def test_the_orders_stay_as_they_were():
    """Whoever changes them breaks every run that is under way."""
    positions = np.arange(10)
    samples = SampleOrder(ROOT, 0, 0, 10).indices(positions)
    assert samples.tolist() == [1, 0, 9, 3, 4, 7, 2, 5, 8, 6]
    layout = block_layout(np.array([4, 6]), np.array([400, 600]), 200)
    blocks = BlockOrder(ROOT, 0, 0, layout, 3).indices(positions)
    assert blocks.tolist() == [6, 5, 7, 4, 9, 2, 8, 0, 1, 3]


def test_samples_are_as_far_from_their_places_as_chance_would_have_them():
    size = 100_000
    positions = np.arange(size)
    indices = SampleOrder(ROOT, 0, 0, size).indices(positions)
    assert abs(np.abs(indices - positions).mean() / size - 1 / 3) < 0.01
    assert abs(np.corrcoef(indices, positions)[0, 1]) < 0.01
    assert abs(np.corrcoef(indices[1:], indices[:-1])[0, 1]) < 0.01


@given(shard_sizes, st.integers(1, 50), st.integers(1, 3000))
def test_blocks_are_even_runs_within_shards_that_hold_every_sample(
    sizes, sample_bytes, block_bytes
):
    layout = layout_of(sizes, sample_bytes, block_bytes)
    assert layout.first[0] == 0
    assert layout.first[-1] == sum(sizes)
    lengths = np.diff(layout.first)
    assert (lengths > 0).all()
    ends = np.cumsum(sizes)
    for block, shard in enumerate(layout.shard):
        own = lengths[layout.shard == shard]
        assert own.max() - own.min() <= 1
        assert layout.first[block + 1] <= ends[shard]
        assert layout.first[block] >= ends[shard] - sizes[shard]


@given(
    sizes=shard_sizes.filter(any),
    block_bytes=st.integers(1, 3000),
    window_blocks=st.integers(1, 9),
    epoch=st.integers(0, 2**40),
)
def test_block_order_is_a_permutation_and_can_be_inverted(sizes, block_bytes, window_blocks, epoch):
    order = BlockOrder(ROOT, 5, epoch, layout_of(sizes, 20, block_bytes), window_blocks)
    positions = np.arange(sum(sizes))
    indices = order.indices(positions)
    assert np.array_equal(np.sort(indices), positions)
    assert np.array_equal(order.positions(indices), positions)


@given(
    sizes=shard_sizes.filter(any),
    block_bytes=st.integers(1, 3000),
    window_blocks=st.integers(1, 9),
)
def test_a_window_has_few_blocks_and_is_read_before_the_next(sizes, block_bytes, window_blocks):
    layout = layout_of(sizes, 20, block_bytes)
    order = BlockOrder(ROOT, 5, 0, layout, window_blocks)
    positions = np.arange(sum(sizes))
    blocks, windows = layout.blocks(order.indices(positions)), order.windows(positions)
    assert (np.diff(windows) >= 0).all()
    seen = set()
    for window in np.unique(windows):
        own = set(blocks[windows == window].tolist())
        assert len(own) <= 2 * window_blocks
        assert not own & seen
        seen |= own


def test_samples_of_a_window_are_mixed():
    layout = layout_of([1000] * 40, 100, 10_000)
    order = BlockOrder(ROOT, 0, 0, layout, 64)
    blocks = layout.blocks(order.indices(np.arange(64)))
    # 64 draws out of 64 blocks give 40.6 different ones on average.
    assert 33 <= len(set(blocks.tolist())) <= 50
