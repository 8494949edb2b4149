from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.evaluation_index.match import Match
from schemas.benchmarks.model import MatchRule
from schemas.outcome import Outcome
from tests.ingest.evaluation_index.made_up import NOWHERE, codes_32, image, index_of, look_up, query

NEAR, EXACT = Outcome.DUPLICATE_NEAR, Outcome.DUPLICATE_EXACT


def test_exact_copies_are_found_whatever_the_rule_or_options_say():
    index = index_of([image(1, sha256=b"a" * 32)], s=MatchRule(perceptual=False, note="why"))
    (found,) = look_up(index, query(sha256=b"a" * 32), match_radius=0, min_correlation=1)
    assert found == Match("s/001", "bytes", "plain", 0, 1.0, EXACT)


# Zero bytes at either end: numpy strips them from S items when it hands them out.
awkward = st.builds(
    lambda zeros, middle, ones: (bytes(zeros) + middle + bytes(ones)).ljust(32, b"\0")[:32],
    st.integers(0, 31),
    st.binary(max_size=3),
    st.integers(0, 31),
)
digest_sets = st.lists(codes_32 | awkward, min_size=1, max_size=40, unique=True)


@settings(deadline=None, max_examples=60)
@given(present=digest_sets, asked=st.lists(codes_32 | awkward, max_size=20))
def test_a_digest_is_found_if_and_only_if_it_is_there(present, asked):
    by_bytes = index_of(image(n, sha256=one, pixels=NOWHERE) for n, one in enumerate(present))
    by_pixels = index_of(image(n, sha256=NOWHERE, pixels=one) for n, one in enumerate(present))
    asked = [one for one in (*asked, *present) if one != NOWHERE]
    absent = b"\xfe" * 32
    expected = [f"s/{present.index(one):03d}" if one in present else None for one in asked]
    found = look_up(by_bytes, *[query(sha256=one, pixels=absent) for one in asked])
    assert [one and (one.name, one.variant) for one in found] == [
        name and (name, "bytes") for name in expected
    ]
    found = look_up(by_pixels, *[query(sha256=absent, pixels=one) for one in asked])
    assert [one and (one.name, one.variant) for one in found] == [
        name and (name, "pixels") for name in expected
    ]


def test_equal_bytes_win_over_equal_pixels_and_those_over_near_codes():
    index = index_of(
        [
            image(0, [bytes(32)]),
            image(1, [bytes(32)], pixels=b"b" * 32),
            image(2, sha256=b"a" * 32),
        ]
    )
    first = query(bytes(32), sha256=b"a" * 32, pixels=b"b" * 32)
    found = look_up(index, first, replace(first, sha256=NOWHERE), query(bytes(32)))
    assert [(one.name, one.variant, one.outcome) for one in found] == [
        ("s/002", "bytes", EXACT),
        ("s/001", "pixels", EXACT),
        ("s/000", "identity", NEAR),
    ]


def test_equal_bytes_in_two_sets_belong_to_the_first():
    both = [image(0, sha256=b"a" * 32, set_name=name) for name in ("b", "a")]
    assert look_up(index_of(both), query(sha256=b"a" * 32))[0].name == "a/000"
