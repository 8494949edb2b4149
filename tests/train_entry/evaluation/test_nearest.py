import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from train_entry.errors import DataError
from train_entry.evaluation import nearest as search
from train_entry.evaluation.nearest import nearest, rankings

# Of length 1 and with few decimals, so that cosines are exact and many of them equal.
UNIT = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0.0, 0.6, 0.8]])
PICKS = st.lists(st.integers(0, len(UNIT) - 1), min_size=1, max_size=30)


def by_sorting(queries, database):
    """Places by cosine, then by place; plain Python on float64."""
    cosines = (queries.double() @ database.double().T).round(decimals=6).tolist()
    return [sorted(range(len(row)), key=lambda place: (-row[place], place)) for row in cosines]


def small_blocks(monkeypatch, rows=3):
    monkeypatch.setattr(search, "_QUERY_ROWS", 2)
    monkeypatch.setattr(search, "_DATABASE_ROWS", rows)
    monkeypatch.setattr(search, "_BLOCK_COSINES", 2 * rows)


@settings(deadline=None)
@given(PICKS, PICKS, st.integers(1, 40), st.integers(1, 9))
def test_the_nearest_are_those_of_a_whole_sort_and_equal_ones_come_by_place(asked, shown, k, rows):
    with pytest.MonkeyPatch.context() as monkeypatch:
        small_blocks(monkeypatch, rows)
        queries, database = UNIT[asked], UNIT[shown]
        found = nearest(queries, database, k)
        wanted = by_sorting(queries, database)
        num = min(k, len(shown))
        assert found.places[:, :num].tolist() == [row[:num] for row in wanted]
        assert found.places[:, num:].tolist() == [[-1] * (k - num)] * len(asked)
        assert np.isneginf(found.cosines[:, num:]).all()
        assert [row.tolist() for row in rankings(queries, database)] == wanted


def test_cosines_do_not_depend_on_lengths_and_are_told():
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(5, 7, generator=generator)
    database = 100 * torch.randn(300, 7, generator=generator)
    found = nearest(queries, database, 4)
    cosines = queries.numpy() @ database.numpy().T
    cosines /= np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(database, axis=1)
    np.testing.assert_allclose(found.cosines, -np.sort(-cosines)[:, :4], rtol=1e-5)
    np.testing.assert_array_equal(found.places, np.argsort(-cosines)[:, :4])


def test_the_nearest_are_found_in_a_memory_mapped_file_that_cannot_be_written(tmp_path):
    features = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    np.save(tmp_path / "pool.npy", features)
    mapped = torch.from_numpy(np.load(tmp_path / "pool.npy", mmap_mode="c"))
    np.testing.assert_array_equal(nearest(mapped, mapped, 1).places[:, 0], np.arange(50))


def test_features_without_length_are_as_far_from_all(monkeypatch):
    small_blocks(monkeypatch)
    found = nearest(torch.zeros(1, 3), UNIT, 6)
    assert found.places.tolist() == [[0, 1, 2, 3, 4, 5]]
    assert found.cosines.tolist() == [[0.0] * 6]


def test_no_queries_find_nothing():
    assert nearest(UNIT[:0], UNIT, 2).places.shape == (0, 2)


def test_features_that_are_no_numbers_are_refused():
    broken = UNIT.clone()
    broken[3, 1] = torch.nan
    with pytest.raises(DataError, match="expected finite numbers"):
        nearest(UNIT, broken, 1)
    with pytest.raises(DataError, match="expected finite numbers"):
        next(rankings(UNIT, broken))
    with pytest.raises(ValueError, match="k: expected 1 or more, got 0"):
        nearest(UNIT, UNIT, 0)
