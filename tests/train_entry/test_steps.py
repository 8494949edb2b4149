import tempfile
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train_entry.datasets import MadeUp
from train_entry.errors import ConfigError, DataError
from train_entry.steps import ReaderOptions, ReaderState, Steps

# Worlds that share a batch of 12 equally.
BATCH = 12
worlds = st.sampled_from([1, 2, 3, 4, 6, 12])
workers = st.integers(1, 4)


@pytest.fixture(autouse=True, scope="module")
def _planned_in_small_portions():
    """So that portions end within the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train_entry.steps._PLANNED_SLOTS", 40)
        yield


@st.composite
def made_up(draw):
    """A dataset with tombstones, and a reader's options."""
    num_kept = draw(st.lists(st.integers(0, 15), min_size=1, max_size=6).filter(any))
    total = sum(num_kept)
    removed = draw(st.sets(st.integers(0, total - 1), max_size=total - 1))
    options = {
        "dataset": "",
        "batch": BATCH,
        "seed": draw(st.integers(0, 3)),
        "order": draw(st.sampled_from(["samples", "blocks"])),
        "block_mib": 1,
        "window_blocks": draw(st.integers(1, 4)),
    }
    with tempfile.TemporaryDirectory() as folder:
        # 300 KiB a sample: so blocks of 1 MiB hold few of them.
        dataset = MadeUp(num_kept, Path(folder), removed, 300 << 10)
    return dataset, options


def read(dataset, options, state, num_steps, world=1, num_workers=1):
    """(epoch, sample) of each step over all ranks, as workers would give them; the last state."""
    streams = []
    for rank in range(world):
        steps = Steps(dataset, ReaderOptions(**options, rank=rank, world=world))
        own_state = steps.begin() if state is None else steps.check(state)
        walks = [steps.walk(own_state, one, num_workers) for one in range(num_workers)]
        streams.append([next(walks[one % num_workers]) for one in range(num_steps)])
    batches = []
    for shares in zip(*streams, strict=True):
        assert len({(share.number, share.state) for share in shares}) == 1
        assert {len(share.places.sample) for share in shares} == {BATCH // world}
        pairs = [
            pair
            for share in shares
            for pair in zip(share.epochs.tolist(), share.places.sample.tolist(), strict=True)
        ]
        batches.append((pairs, shares[0].state))
    return [pairs for pairs, _ in batches], batches[-1][1] if batches else state


@settings(deadline=None)
@given(made_up(), worlds, workers, st.integers(1, 12))
def test_each_live_sample_is_read_once_an_epoch(world_of, world, num_workers, num_steps):
    dataset, options = world_of
    batches, _ = read(dataset, options, None, num_steps, world, num_workers)
    pairs = sorted(pair for batch in batches for pair in batch)
    live = sorted(set(range(dataset.num_samples)) - set(dataset.removed.tolist()))
    whole, rest = divmod(len(pairs), len(live))
    expected = [(epoch, sample) for epoch in range(whole) for sample in live]
    assert pairs[: whole * len(live)] == expected
    assert len(set(pairs[whole * len(live) :])) == rest
    assert {sample for _, sample in pairs[whole * len(live) :]} <= set(live)


@settings(deadline=None)
@given(made_up(), worlds, workers, worlds, workers, st.integers(0, 8), st.integers(1, 8))
def test_other_ranks_and_workers_go_on_exactly(
    world_of, world, num_workers, other_world, other_workers, before, after
):
    dataset, options = world_of
    whole, _ = read(dataset, options, None, before + after)
    first, state = read(dataset, options, None, before, world, num_workers)
    rest, _ = read(dataset, options, state, after, other_world, other_workers)
    # In block mode too the ranks one after the other have the whole batch in its order.
    assert first + rest == whole


@settings(deadline=None)
@given(made_up(), st.integers(0, 6), st.data())
def test_a_tombstone_in_the_middle_of_a_run_leaves_the_order_of_the_rest(world_of, before, data):
    dataset, options = world_of
    live = sorted(set(range(dataset.num_samples)) - set(dataset.removed.tolist()))
    removed = data.draw(st.sets(st.sampled_from(live), max_size=len(live) - 1))
    _, state = read(dataset, options, None, before)
    full = one_by_one(dataset, options, state, 3 * len(live))
    dataset.removed = np.array(sorted({*dataset.removed.tolist(), *removed}), np.int64)
    kept = [pair for pair in full if pair[1] not in removed]
    assert one_by_one(dataset, options, state, len(kept)) == kept


def one_by_one(dataset, options, state, num_samples):
    steps = Steps(dataset, ReaderOptions(**{**options, "batch": 1}))
    walk = islice(steps.walk(state or steps.begin()), num_samples)
    return [(int(step.epochs[0]), int(step.places.sample[0])) for step in walk]


@settings(deadline=None)
@given(made_up(), worlds)
def test_a_rank_gets_its_blocks_in_the_order_of_the_epoch(world_of, world):
    dataset, options = world_of
    options["order"] = "blocks"
    steps = Steps(dataset, ReaderOptions(**options))
    batches, _ = read(dataset, options, None, 3, world)
    for batch in batches:
        blocks = [(epoch, int(steps.layout.blocks(sample))) for epoch, sample in batch]
        runs = 1 + sum(one != other for one, other in pairwise(blocks))
        assert runs == len(set(blocks))


@pytest.fixture
def dataset(tmp_path):
    return MadeUp([10, 20], tmp_path)


def steps_of(dataset, **options):
    return Steps(dataset, ReaderOptions(**{"dataset": "", "batch": 4, **options}))


def test_a_batch_that_ranks_cannot_share_is_refused_with_both_numbers(dataset):
    with pytest.raises(ConfigError, match=r"that 3 ranks can share equally, got 4"):
        steps_of(dataset, world=3)


def test_a_rank_beyond_the_world_is_refused(dataset):
    with pytest.raises(ConfigError, match="expected a rank below 2, got 2"):
        steps_of(dataset, world=2, rank=2)


def test_a_dataset_without_live_samples_is_refused(tmp_path):
    with pytest.raises(DataError, match="expected samples, got none"):
        steps_of(MadeUp([2], tmp_path, removed=[0, 1]))


def test_a_state_of_another_root_is_refused_with_both_roots(dataset):
    state = ReaderState("cd" * 32, 0, 0, 0)
    with pytest.raises(DataError, match=f"expected Merkle root {'cd' * 32}, got {'ab' * 32}"):
        steps_of(dataset).check(state)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 1}, "seed of the samples: expected 0, got 1"),
        ({"order": "blocks"}, "order of the samples: expected samples, got blocks"),
    ],
)
def test_a_state_of_another_order_is_refused_with_both(dataset, options, message):
    state = steps_of(dataset).begin()
    with pytest.raises(ConfigError, match=message):
        steps_of(dataset, **options).check(state)


def test_a_position_beyond_the_samples_is_refused(dataset):
    with pytest.raises(DataError, match="expected a position below 30, got 30"):
        steps_of(dataset).check(ReaderState("ab" * 32, 0, 0, 30))


def test_a_state_survives_a_checkpoint_among_other_values(dataset):
    state = next(steps_of(dataset, order="blocks").walk(steps_of(dataset).begin())).state
    assert ReaderState.from_dict({**state.to_dict(), "step": 7}) == state


def test_how_many_steps_are_planned_at_once_does_not_show(dataset, monkeypatch):
    def states():
        steps = steps_of(dataset)
        return [step.state for step in islice(steps.walk(steps.begin(), 1, 3), 40)]

    before = states()
    monkeypatch.setattr("train_entry.steps._PLANNED_SLOTS", 1)
    assert states() == before
