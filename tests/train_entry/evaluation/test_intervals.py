import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from schemas.certificate import wilson_interval
from train_entry.evaluation.intervals import (
    bootstrap,
    cluster_bootstrap,
    mean_interval,
    share_interval,
)

# Samples of each simulation, and twice the standard error of what it finds.
SAMPLES = 1000
SLACK = 2 * (0.95 * 0.05 / SAMPLES) ** 0.5


def covered(draw, interval, truth, samples=SAMPLES):
    """How often the intervals of samples contain the truth; each has a seed of its own."""
    generator = np.random.default_rng(0)
    found = [interval(draw(generator), seed=seed) for seed in range(samples)]
    return np.mean([low <= truth <= high for low, high in found])


@pytest.mark.parametrize(("around", "num"), [(0.5, 50), (0.8, 100), (0.95, 400)])
def test_intervals_of_shares_cover_the_true_one_95_times_of_100(around, num):
    # Exactly, by all numbers of hits; over a range of shares, for with whole hits it goes up and
    # down from one to the next.
    hits = np.arange(num + 1)
    values = [np.repeat([1.0, 0.0], [one, num - one]) for one in hits]
    low, high = np.array(list(map(mean_interval, values))).T
    shares = np.linspace(around - 0.03, around + 0.03, 61)
    found = [
        scipy.stats.binom.pmf(hits, num, one)[(low <= one) & (one <= high)].sum() for one in shares
    ]
    assert 0.94 <= np.mean(found) <= 0.96
    assert min(found) > 0.92


@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        pytest.param(lambda g: g.gamma(4.0, size=50), 4.0, id="skewed"),
        pytest.param(lambda g: g.exponential(size=100), 1.0, id="very skewed"),
        pytest.param(lambda g: g.beta(2.0, 0.5, size=60), 0.8, id="average precisions"),
        pytest.param(lambda g: g.binomial(5, 0.9, size=100) / 5, 0.9, id="precisions at 5"),
        pytest.param(lambda g: g.normal(size=50), 0.0, id="normal"),
    ],
)
def test_intervals_of_means_cover_the_true_one_95_times_of_100(draw, mean):
    assert 0.94 - SLACK <= covered(draw, mean_interval, mean) <= 0.96 + SLACK


def test_the_mean_over_households_of_means_is_covered_95_times_of_100():
    def draw(generator):
        sizes = generator.integers(1, 40, size=60)
        rates = generator.beta(4, 1.5, size=60)
        return generator.binomial(sizes, rates) / sizes

    assert 0.94 - SLACK <= covered(draw, mean_interval, 4 / 5.5) <= 0.96 + SLACK


def test_a_ratio_of_sums_over_clusters_is_covered_95_times_of_100():
    def draw(generator):
        sizes = generator.integers(1, 10, size=80)
        return generator.binomial(sizes, generator.beta(3, 2, size=80)), sizes

    def interval(sample, seed):
        hits, sizes = sample

        def ratio(places):
            return hits[places].sum() / sizes[places].sum()

        return bootstrap(ratio, 80, rounds=300, seed=seed)

    # Each takes 380 calls, so that there are fewer samples, and more slack.
    assert 0.94 - 2 * SLACK <= covered(draw, interval, 0.6, SAMPLES // 4) <= 0.96 + 2 * SLACK


def test_drawing_clusters_gives_what_drawing_their_sums_gives():
    generator = np.random.default_rng(2)
    clusters = generator.permutation(np.repeat(np.arange(20), generator.integers(1, 6, size=20)))
    values = generator.random(len(clusters))
    order = list(dict.fromkeys(clusters.tolist()))
    sums = np.array([values[clusters == one].sum() for one in order])
    sizes = np.array([(clusters == one).sum() for one in order])
    found = cluster_bootstrap(lambda places: float(values[places].mean()), clusters.tolist())
    expected = bootstrap(lambda drawn: float(sums[drawn].sum() / sizes[drawn].sum()), 20)
    assert found == pytest.approx(expected, rel=1e-12)


def test_shares_of_people_who_are_shown_several_times_are_covered_95_times_of_100():
    clusters = np.repeat(np.arange(100), 4)

    def draw(generator):
        return (generator.random(400) < generator.beta(1, 3, size=100)[clusters]).astype(float)

    def interval(hits, seed):
        return share_interval(hits, clusters.tolist())

    assert 0.94 - SLACK <= covered(draw, interval, 0.25) <= 0.96 + SLACK
    assert covered(draw, lambda hits, seed: share_interval(hits), 0.25) < 0.91


def test_the_studentised_interval_is_that_of_a_plain_computation():
    values = np.random.default_rng(3).gamma(2.0, size=80)
    generator = np.random.default_rng(0)
    drawn = values[generator.integers(80, size=(1000, 80), dtype=np.int32)]
    error = values.std(ddof=1) / 80**0.5
    found = [(one.mean() - values.mean()) / (one.std(ddof=1) / 80**0.5) for one in drawn]
    low, high = np.percentile(found, [2.5, 97.5])
    expected = values.mean() - high * error, values.mean() - low * error
    assert mean_interval(values) == pytest.approx(expected, rel=1e-9)


def test_few_distinct_values_are_drawn_as_all_values_would_be():
    # A little noise makes them many; the draws differ, not what they are drawn from.
    values = np.random.default_rng(3).binomial(5, 0.9, size=600) / 5
    noisy = values + np.random.default_rng(4).normal(size=600) * 1e-9
    assert mean_interval(values, rounds=20_000) == pytest.approx(
        mean_interval(noisy, rounds=20_000), abs=3e-4
    )


def test_very_many_values_need_no_draws_unless_they_are_skewed():
    generator = np.random.default_rng(0)
    even = generator.random(50_000)
    assert mean_interval(even, seed=1) == mean_interval(even, seed=2)
    error = even.std(ddof=1) / 50_000**0.5
    assert mean_interval(even) == pytest.approx(
        (even.mean() - 1.96 * error, even.mean() + 1.96 * error), rel=1e-9
    )
    skewed = np.where(generator.random(5000) < 0.005, 7.3, generator.random(5000) * 1e-3)
    low, high = mean_interval(skewed)
    assert high - skewed.mean() > 1.2 * (skewed.mean() - low)


def test_the_general_interval_is_that_of_scipy_where_samples_are_large():
    values = np.random.default_rng(5).exponential(size=400)
    expected = scipy.stats.bootstrap(
        (values,), np.std, n_resamples=5000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    found = bootstrap(lambda places: float(values[places].std()), 400, rounds=5000)
    width = expected.high - expected.low
    assert found == pytest.approx((expected.low, expected.high), abs=0.05 * width)


def test_a_cluster_of_one_unit_each_is_no_cluster():
    values = np.random.default_rng(0).random(30)

    def median(places):
        return float(np.median(values[places]))

    names = [f"unit {place}" for place in range(30)]
    assert cluster_bootstrap(median, names, seed=4) == bootstrap(median, 30, seed=4)


def test_repeating_each_unit_within_its_cluster_adds_nothing():
    values = np.random.default_rng(0).random(25)
    fourfold, clusters = np.repeat(values, 4), np.repeat(np.arange(25), 4).tolist()
    once = bootstrap(lambda places: float(values[places].mean()), 25)
    found = cluster_bootstrap(lambda places: float(fourfold[places].mean()), clusters)
    assert found == pytest.approx(once)
    hits = (fourfold > 0.5).astype(float)
    # Wilson's of 25 trials, but for the one degree of freedom that a mean takes.
    trials = 24
    expected = wilson_interval(hits.mean() * trials, trials)
    assert share_interval(hits, clusters) == pytest.approx(expected)


def test_where_no_image_is_a_hit_each_person_counts_once():
    hits, people = np.zeros(40), [place // 4 for place in range(40)]
    assert share_interval(hits, people) == wilson_interval(0, 10)
    assert share_interval(1 - hits, people) == wilson_interval(10, 10)
    assert share_interval(hits) == wilson_interval(0, 40)


def test_values_that_do_not_differ_prove_no_certainty():
    assert mean_interval(np.full(3, 0.4)) == wilson_interval(1.2000000000000002, 3)
    assert mean_interval(np.array([])) == (0.0, 1.0)
    assert mean_interval(np.array([7.0])) == (7.0, 7.0)
    low, high = mean_interval(np.array([*np.ones(49), 0.5]))
    assert low < 0.96
    assert high == 1.0


def test_an_undefined_statistic_has_no_interval_and_undefined_draws_are_left_out():
    assert np.isnan(bootstrap(lambda _: float("nan"), 5)).all()
    values = np.array([*np.zeros(5), *np.random.default_rng(0).random(5)])

    def mean_of_hits(places):
        hits = values[places][values[places] > 0]
        return float(hits.mean()) if len(hits) else float("nan")

    low, high = bootstrap(mean_of_hits, 10)
    assert 0 < low < mean_of_hits(np.arange(10)) < high < 1


def test_the_same_seed_gives_the_same_interval_and_another_one_not():
    values = np.random.default_rng(0).random(70)

    def mean(places):
        return float(values[places].mean())

    assert bootstrap(mean, 70, seed=1) == bootstrap(mean, 70, seed=1)
    assert bootstrap(mean, 70, seed=1) != bootstrap(mean, 70, seed=2)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1, width=16)))
def test_an_interval_contains_the_mean_and_stays_between_0_and_1(values):
    low, high = mean_interval(values, rounds=200)
    assert 0 <= low <= values.mean() + 1e-12
    assert values.mean() - 1e-12 <= high <= 1


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 1000), st.floats(-100, 100))
def test_other_units_give_the_same_interval_in_those(scale, shift):
    values = np.random.default_rng(1).gamma(2.0, size=40) + 2
    low, high = mean_interval(values, rounds=200)
    expected = (low * scale + shift, high * scale + shift)
    found = mean_interval(values * scale + shift, rounds=200)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-6)
