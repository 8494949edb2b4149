"""Look-ups in indexes of made-up codes, compared with the plain definition."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.evaluation_index.match import Match, correlation_surplus
from ingest.evaluation_index.search import FARTHEST_REPORTED, MIN_QUERY_TEXTURE
from ingest.evaluation_index.variants import VARIANTS, place_of
from ingest.evaluation_index.verify import aligned_correlation
from ingest.fingerprint import pack_thumbnail, unpack_thumbnail
from schemas.benchmarks.model import MatchRule
from schemas.evaluation import BORDERLINE, least_correlation
from schemas.options import MatchOptions
from schemas.outcome import Outcome
from tests.ingest.evaluation_index.made_up import (
    THUMBNAILS,
    codes_32,
    distance,
    flipped,
    image,
    index_of,
    look_up,
    of_codes,
    query,
)

NEAR, EXACT = Outcome.DUPLICATE_NEAR, Outcome.DUPLICATE_EXACT


def stored(thumbnail):
    """What an index gives back of a thumbnail."""
    return unpack_thumbnail(np.frombuffer(pack_thumbnail(thumbnail), np.uint8)).tobytes()


def correlation(thumbnail, owner, variant):
    one, other = (
        np.frombuffer(one, np.uint8).reshape(32, 32)
        for one in (THUMBNAILS[thumbnail], stored(THUMBNAILS[owner % 4]))
    )
    return aligned_correlation(one, other, place_of(variant, 1.0))


def plain_match(codes, asked, thumbnail, options):
    """The definition of a match in `of_codes(codes)`, one code after the other."""
    near = sorted(
        (distance(code, one), place, number)
        for place, code in enumerate(codes)
        for number, one in enumerate(asked)
        if distance(code, one) <= FARTHEST_REPORTED
    )
    first, seen = None, set()
    for bits, place, number in near:
        owner, variant = place // 2, VARIANTS[place % 2]
        if (owner, number) in seen or len(seen) == 8:
            continue
        seen.add((owner, number))
        found = correlation(thumbnail, owner, variant)
        limits = options.match_radius, options.min_correlation
        surplus = correlation_surplus(bits, found, MatchRule(), *limits)
        copy, open_case = surplus >= 0, -BORDERLINE <= surplus < 0
        name, looked = f"s/{owner:03d}", ("plain", "trimmed")[number]
        match = Match(name, variant, looked, bits, found, NEAR if copy else None, place, open_case)
        first = first or match
        if copy:
            return match
    return first


@settings(deadline=None, max_examples=60)
@given(
    codes=st.lists(codes_32, min_size=1, max_size=30),
    edits=st.lists(
        st.tuples(
            st.integers(0, 29), st.sampled_from([0, 1, 30, 48, 49, 79, 80, 81]), st.integers(0, 9)
        ),
        max_size=20,
    ),
    strangers=st.lists(codes_32, max_size=5),
    radius=st.sampled_from([1, 2, 48, 80]),
    thumbnail=st.integers(0, 3),
    trimmed=st.booleans(),
)
def test_a_match_is_that_of_the_plain_definition(
    codes, edits, strangers, radius, thumbnail, trimmed
):
    asked = [(flipped(codes[place % len(codes)], bits, seed),) for place, bits, seed in edits]
    asked += [(one,) for one in strangers]
    if trimmed:
        asked += [(one, other) for (one,), (other,) in pairwise(asked)]
    options = MatchOptions(match_radius=radius)
    expected = [plain_match(codes, one, thumbnail, options) for one in asked]
    queries = [query(*one, thumbnail=thumbnail) for one in asked]
    assert of_codes(codes).match(queries, options) == expected


def test_distances_to_80_are_reported_and_only_the_radius_makes_a_copy():
    code = bytes(32)
    index = index_of([image(0, [code])])
    asked = [query(flipped(code, bits, 1)) for bits in (0, 31, 32, 80, 81)]
    found = look_up(index, *asked, match_radius=31)
    assert [one and one.outcome for one in found] == [NEAR, NEAR, None, None, None]
    assert [one and one.distance for one in found] == [0, 31, 32, 80, None]


def test_a_copy_needs_more_correlation_the_further_it_is():
    assert [least_correlation(bits, 0.35) for bits in (0, 48)] == [0.35, 0.35]
    assert least_correlation(80, 0.35) == pytest.approx(0.6)
    rule = MatchRule()
    assert correlation_surplus(48, 0.35, rule, 80, 0.35) >= 0
    assert correlation_surplus(48, 0.349, rule, 80, 0.35) < 0
    assert correlation_surplus(80, 0.59, rule, 80, 0.35) < 0
    assert correlation_surplus(80, 0.61, rule, 80, 0.35) >= 0


@given(st.integers(0, 80), st.floats(0, 1))
def test_least_correlation_never_falls_with_distance(bits, base):
    assert base <= least_correlation(bits, base) <= least_correlation(bits + 1, base)


def test_another_thumbnail_is_no_copy_but_is_reported():
    (found,) = look_up(index_of([image(0, [bytes(32)], thumbnail=1)]), query(bytes(32)))
    assert (found.name, found.distance, found.outcome) == ("s/000", 0, None)
    assert found.correlation < 0.3


@pytest.mark.parametrize(("least", "outcome"), [(0.0, NEAR), (1.0, None)])
def test_min_correlation_decides(least, outcome):
    index = index_of([image(0, [bytes(32)], thumbnail=1)])
    # Two of noise correlate a little, either way.
    asked = next(
        one
        for one in (query(bytes(32), thumbnail=number) for number in (0, 2, 3))
        if look_up(index, one)[0].correlation > 0
    )
    assert look_up(index, asked, min_correlation=least)[0].outcome is outcome


def test_the_nearest_that_agrees_wins_over_a_nearer_that_does_not():
    code = bytes(32)
    index = index_of(
        [image(0, [code], thumbnail=1), image(1, [flipped(code, 5, 1)]), image(2, [code])]
    )
    (found,) = look_up(index, query(code))
    assert (found.name, found.distance, found.outcome) == ("s/002", 0, NEAR)
    (found,) = look_up(index, query(flipped(code, 5, 1)))
    assert (found.name, found.distance, found.outcome) == ("s/001", 0, NEAR)
    (found,) = look_up(index, query(code, thumbnail=3))
    assert (found.name, found.outcome) == ("s/000", None)


def test_ties_go_to_the_first_set_and_name_then_the_first_variant():
    code, other = bytes(range(32)), b"\x0f" * 32
    # No thumbnail agrees, so that the first candidate is told.
    asked = query(code, thumbnail=3)
    (found,) = look_up(index_of([image(0, [other, code]), image(1, [code, code])]), asked)
    assert (found.name, found.variant) == ("s/000", VARIANTS[1])
    (found,) = look_up(index_of([image(0, [other]), image(1, [code, code])]), asked)
    assert (found.name, found.variant) == ("s/001", VARIANTS[0])
    both = [image(0, [code], set_name="b"), image(9, [code], set_name="a")]
    assert look_up(index_of(both), query(code))[0].name == "a/009"


def test_the_trimmed_view_is_told():
    index = index_of([image(0, [bytes(32)])])
    (found,) = look_up(index, query(flipped(bytes(32), 70, 1), bytes(32)))
    assert (found.view, found.distance, found.outcome) == ("trimmed", 0, NEAR)
    (found,) = look_up(index, query(bytes(32), bytes(32)))
    assert found.view == "plain"


def test_a_flat_view_is_not_looked_up():
    index = index_of([image(0, [bytes(32)])])
    assert look_up(index, query(bytes(32), texture=MIN_QUERY_TEXTURE - 1)) == [None]
    assert look_up(index, query(bytes(32), texture=MIN_QUERY_TEXTURE))[0].distance == 0
    asked = query(bytes(32), bytes(32))
    flat = replace(asked, views=(replace(asked.views[0], texture=0), asked.views[1]))
    assert look_up(index, flat)[0].view == "trimmed"


def test_views_out_of_a_ledger_are_candidates_but_no_copies():
    index = index_of([image(0, [bytes(32)])])
    (found,) = look_up(index, query(bytes(32), thumbnail=None, certainty=b""))
    assert (found.name, found.variant, found.view) == ("s/000", "identity", "plain")
    assert (found.distance, found.correlation, found.outcome) == (0, None, None)


def test_queries_with_and_without_certainty_can_be_mixed():
    index = index_of([image(0, [bytes(32)])])
    bare = query(bytes(32), thumbnail=None, certainty=b"")
    found = look_up(index, bare, query(bytes(32)), bare)
    assert [one.outcome for one in found] == [None, NEAR, None]


def test_of_many_alike_only_the_nearest_eight_are_verified():
    code = bytes(32)
    lookalikes = [image(number, [flipped(code, number, 1)], thumbnail=1) for number in range(12)]
    for place, outcome in ((7, NEAR), (8, None)):
        images = [*lookalikes]
        images[place] = image(place, [flipped(code, place, 1)], thumbnail=0)
        assert look_up(index_of(images), query(code))[0].outcome is outcome


@pytest.mark.parametrize(
    ("rule", "outcomes"),
    [
        (MatchRule(), [NEAR, NEAR, None]),
        (MatchRule(perceptual=False, note="why"), [None, None, None]),
        (MatchRule(max_distance=9, note="why"), [NEAR, None, None]),
        (MatchRule(min_correlation=0.0, note="why"), [NEAR, NEAR, None]),
        (MatchRule(min_correlation=1.0, note="why"), [None, None, None]),
    ],
)
def test_the_rule_of_a_set_decides_for_it_alone(rule, outcomes):
    code, other = bytes(32), b"\x0f" * 32
    index = index_of(
        [image(0, [code], set_name="ruled"), image(0, [other], set_name="a", thumbnail=0)],
        ruled=rule,
    )
    asked = [query(flipped(code, bits, 1)) for bits in (0, 10, 81)]
    found = look_up(index, *asked, query(other))
    assert [one and one.outcome for one in found] == [*outcomes, NEAR]


def test_a_rule_may_be_wider_than_the_options():
    index = index_of([image(0, [bytes(32)])], s=MatchRule(max_distance=40, note="why"))
    (found,) = look_up(index, query(flipped(bytes(32), 40, 1)), match_radius=3)
    assert found.outcome is NEAR


def test_no_queries_give_no_matches():
    assert look_up(index_of([image(0, [bytes(32)])])) == []
    assert look_up(index_of([])) == []


def test_an_empty_index_matches_nothing():
    assert look_up(index_of([]), query(bytes(32)), query()) == [None, None]


def test_an_index_without_codes_matches_by_digests():
    index = index_of([image(0, sha256=b"a" * 32)])
    found = look_up(index, query(bytes(32), sha256=b"a" * 32), query(bytes(32)))
    assert [one and one.outcome for one in found] == [EXACT, None]


def test_images_are_asked_for_by_name():
    index = index_of([image(0, [bytes(32)] * 2), image(1, thumbnail=2), image(2, [bytes(32)])])
    assert [index.num_codes_of(f"s/{number:03d}") for number in range(4)] == [2, 0, 1, 0]
    assert index.thumbnail_of("s/001") == stored(THUMBNAILS[2])
    assert index.thumbnail_of("s/nobody") is None
    assert index.name_of(2) == "s/002"


def test_the_arrays_are_mapped_and_cannot_be_written(index):
    with pytest.raises(ValueError, match="read-only"):
        index.arrays["codes"][0, 0] = 1
