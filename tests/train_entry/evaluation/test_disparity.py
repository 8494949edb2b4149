import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.certificate import wilson_interval
from train_entry.evaluation.disparity import (
    Estimate,
    against_others,
    contrast,
    difference,
    group_mean,
    ratio,
    spread,
)

# Samples of each simulation, and twice the standard error of what it finds.
SAMPLES = 500
SLACK = 2 * (0.95 * 0.05 / SAMPLES) ** 0.5
hits = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=40)


def people(num, num_hits):
    return [1.0] * num_hits + [0.0] * (num - num_hits)


def test_the_difference_of_two_shares_is_newcombes():
    # Newcombe 1998, table II, method 10, for 56 of 70 and 48 of 80.
    found = difference(group_mean(people(70, 56)), group_mean(people(80, 48)))
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_shares_of_nothing_still_differ_by_an_unknown_amount():
    found = difference(group_mean(people(10, 10)), group_mean(people(10, 0)))
    # Table II again: 10 of 10 and 0 of 10.
    assert found == pytest.approx((1.0, 0.6075, 1.0), abs=5e-5)
    assert spread({"a": people(50, 0), "b": people(50, 0)}).high > 0.05


@pytest.mark.parametrize(
    ("first", "second", "truth"),
    [
        pytest.param(
            lambda g: (g.random(120) < 0.8) * 1.0,
            lambda g: (g.random(60) < 0.65) * 1.0,
            0.15,
            id="shares",
        ),
        pytest.param(
            lambda g: g.beta(2, 0.5, size=80),
            lambda g: g.beta(2, 1, size=50),
            0.8 - 2 / 3,
            id="means",
        ),
    ],
)
def test_intervals_of_differences_cover_the_true_one_95_times_of_100(first, second, truth):
    generator = np.random.default_rng(0)
    found = [
        difference(group_mean(first(generator)), group_mean(second(generator)))
        for _ in range(SAMPLES)
    ]
    coverage = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.94 - SLACK <= coverage <= 0.96 + SLACK


@pytest.mark.parametrize(
    "shares", [[0.8] * 5, [0.8, 0.8, 0.8, 0.6], [0.9, 0.8, 0.7, 0.6, 0.5], [0.02, 0.01, 0.001]]
)
def test_intervals_of_spreads_and_ratios_cover_the_true_ones_at_least_as_often(shares):
    generator = np.random.default_rng(0)
    truth, true_ratio = max(shares) - min(shares), min(shares) / max(shares)
    covered, covered_ratio = [], []
    for _ in range(500):
        groups = {str(n): (generator.random(150) < p) * 1.0 for n, p in enumerate(shares)}
        found, quotient = spread(groups), ratio(groups)
        covered.append(found.low <= truth <= found.high)
        covered_ratio.append(not quotient.high < true_ratio and not quotient.low > true_ratio)
    # The standard error of 95 % of 500 is 1 %.
    assert np.mean(covered) >= 0.93
    assert np.mean(covered_ratio) >= 0.93


def test_groups_that_are_served_alike_have_a_spread_that_may_be_none():
    # The observed spread is 9 % on average, though the true one is 0.
    generator = np.random.default_rng(1)
    found = [
        spread({name: (generator.random(100) < 0.8) * 1.0 for name in "abcde"}) for _ in range(500)
    ]
    assert np.mean([one.value for one in found]) > 0.08
    assert 0.92 <= np.mean([one.low == 0 for one in found]) <= 0.98


def test_spread_and_ratio_are_of_the_best_and_the_worst_group():
    groups = {"a": people(10, 9), "b": people(20, 10), "c": people(10, 6)}
    assert spread(groups).value == pytest.approx(0.4)
    assert ratio(groups).value == pytest.approx(0.5 / 0.9)


def test_what_more_groups_leave_possible_is_wider():
    two = {"a": people(50, 40), "b": people(50, 20)}
    three = two | {"c": people(50, 30)}
    assert spread(two) == difference(group_mean(two["a"]), group_mean(two["b"]))
    assert spread(three).low < spread(two).low
    assert spread(three).high > spread(two).high


def test_two_means_have_the_ratio_of_their_logarithms():
    first, second = wilson_interval(20, 50), wilson_interval(40, 50)
    below = math.hypot(math.log(0.4 / first[0]), math.log(second[1] / 0.8))
    above = math.hypot(math.log(first[1] / 0.4), math.log(0.8 / second[0]))
    found = ratio({"a": people(50, 40), "b": people(50, 20)})
    expected = (0.5, 0.5 * math.exp(-below), 0.5 * math.exp(above))
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_group_without_hits_has_a_ratio_from_0_and_all_such_groups_none():
    low_alone = ratio({"a": people(50, 40), "b": people(50, 0)})
    assert low_alone.value == low_alone.low == 0
    assert 0 < low_alone.high < 0.2
    nothing = ratio({"a": people(50, 0), "b": people(50, 0)})
    assert math.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (0, 1)


def test_each_group_is_compared_with_the_mean_of_the_others():
    shares = {"a": (0.5, 0.4, 0.7), "b": (0.2, 0.1, 0.4), "c": (0.3, 0.3, 0.3)}
    found = against_others({name: Estimate(*one) for name, one in shares.items()})
    assert [found[name].value for name in "abc"] == pytest.approx([0.25, -0.2, -0.05])
    assert sum(one.value for one in found.values()) == pytest.approx(0)
    # By hand: 0.25 - sqrt(0.1 ** 2 + (0.2 / 2) ** 2), 0.25 + sqrt(0.2 ** 2 + (0.1 / 2) ** 2).
    assert found["a"].low == pytest.approx(0.25 - math.hypot(0.1, 0.1))
    assert found["a"].high == pytest.approx(0.25 + math.hypot(0.2, 0.05))


def test_people_who_are_shown_several_times_count_less():
    values, persons = people(80, 40), [place // 8 for place in range(80)]
    alone = group_mean(values)
    found = group_mean(values, persons)
    assert found.value == alone.value
    assert found.low < alone.low
    assert found.high > alone.high
    clustered = spread({"a": values, "b": people(80, 80)}, {"a": persons})
    assert clustered.low < spread({"a": values, "b": people(80, 80)}).low


def test_groups_without_values_and_comparisons_without_others_are_refused():
    with pytest.raises(ValueError, match="expected a value or more of each group, got none"):
        spread({"a": [1.0], "b": []})
    with pytest.raises(ValueError, match="expected a group or more, got none"):
        spread({})
    with pytest.raises(ValueError, match="expected two groups or more, got a"):
        against_others({"a": Estimate(0.5, 0.4, 0.6)})
    with pytest.raises(ValueError, match="clusters: expected values of 0 and 1"):
        group_mean([0.5], ["one"])


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdef"), hits, min_size=1))
def test_a_spread_lies_in_its_interval_and_within_0_and_1(groups):
    found = spread(groups)
    means = [np.mean(values) for values in groups.values()]
    assert found.value == pytest.approx(max(means) - min(means))
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1 + 1e-12


@settings(max_examples=60, deadline=None)
@given(hits, hits, st.floats(-3, 3))
def test_a_contrast_times_a_number_is_the_contrast_of_weights_times_that(first, second, factor):
    estimates = [group_mean(first), group_mean(second)]
    plain = contrast([(1.0, estimates[0]), (-0.5, estimates[1])])
    found = contrast([(factor, estimates[0]), (-0.5 * factor, estimates[1])])
    ends = sorted((plain.low * factor, plain.high * factor))
    assert found == pytest.approx((plain.value * factor, *ends), abs=1e-9)
