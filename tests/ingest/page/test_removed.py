from hypothesis import given
from hypothesis import strategies as st

from ingest.audit.copies import NearImage
from ingest.page.removed import (
    EXACT_OF_A_SET,
    PAIRS_OF_A_PAGE,
    CutCounts,
    allot,
    choose_removed,
)
from schemas.evaluation import least_correlation
from schemas.outcome import Outcome

candidates = st.lists(st.tuples(st.integers(0, 80), st.floats(-1, 1)), max_size=60)


def near(number, correlation=0.9, distance=20, name="s/x", outcome=Outcome.DUPLICATE_NEAR):
    return NearImage(
        f"{number:032x}", "https://a.example/", outcome, name, "identity", "plain",
        distance, correlation, None, None,
    )  # fmt: skip


@given(candidates, st.integers(0, 80), st.floats(0, 1))
def test_curves_are_recounts_at_each_cut(found, radius, base):
    def recount(radius, base):
        return sum(d <= radius and c >= least_correlation(d, base) for d, c in found)

    cuts = CutCounts(radius, base)
    for distance, correlation in found:
        cuts.add(distance, correlation)
    assert cuts.by_radius == [recount(cut, base) for cut in range(81)]
    assert cuts.by_shift == sorted(cuts.by_shift, reverse=True)
    assert cuts.by_shift[7] == recount(radius, base) == cuts.by_radius[radius]


def test_the_least_sure_of_each_set_come_first_and_all_are_counted():
    images = [
        near(1, 0.9), near(2, 0.5), near(3, 0.9, 80), near(4, 0.6, name="t/x"),
        near(5, 1.0, 0, outcome=Outcome.DUPLICATE_EXACT), near(6, 0.1, outcome=Outcome.KEPT),
    ]  # fmt: skip
    removed = choose_removed(iter(images), 80, 0.3)
    assert list(removed.sets) == ["s", "t"]
    found = removed.sets["s"]
    assert [int(one.id, 16) for one in found.near] == [2, 3, 1]
    assert (found.num_near, found.num_exact, len(found.exact)) == (3, 1, 1)
    # Exact copies are removed at any cut, images that were kept might be at others.
    assert removed.cuts.by_radius[80] == 4


def test_of_very_many_only_the_least_sure_are_held():
    many = 3 * PAIRS_OF_A_PAGE
    images = [near(number, 1 - number / many, 0) for number in range(many)]
    images += [near(number, outcome=Outcome.DUPLICATE_EXACT) for number in range(many)]
    found = choose_removed(iter(images), 80, 0.0).sets["s"]
    assert [int(one.id, 16) for one in found.near[:2]] == [many - 1, many - 2]
    assert len(found.near) == PAIRS_OF_A_PAGE
    assert len(found.exact) == EXACT_OF_A_SET
    assert (found.num_near, found.num_exact) == (many, many)


@given(st.dictionaries(st.text(max_size=3), st.integers(0, 500), max_size=8), st.integers(0, 400))
def test_places_are_all_given_out_evenly_and_to_who_wants_them(wanted, total):
    given_out = allot(wanted, total)
    assert given_out.keys() == wanted.keys()
    assert sum(given_out.values()) == min(total, sum(wanted.values()))
    assert all(given_out[name] <= count for name, count in wanted.items())
    lacking = [given_out[name] for name, count in wanted.items() if given_out[name] < count]
    assert not lacking or max(lacking) - min(lacking) <= 1
    assert not lacking or max(given_out.values()) <= max(lacking)
