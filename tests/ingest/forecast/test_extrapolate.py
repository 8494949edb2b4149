import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.forecast.extrapolate import Scope, extrapolate, inverse, like, price
from ingest.forecast.interval import Clusters
from ingest.forecast.sample import Effort, Sample
from ingest.host_counts import HostCounts
from schemas.forecast import Estimate, Forecast
from schemas.manifest import decode, encode
from schemas.prices import default_prices

SIZES = st.floats(1e-3, 1e15)


def estimates():
    return (
        st.tuples(SIZES, SIZES, SIZES)
        .map(sorted)
        .map(lambda ends: Estimate.of(ends[1], ends[0], ends[2]))
    )


@given(estimates(), estimates(), estimates())
def test_costs_add_up_and_stay_in_order(vcpu_hours, received, stored):
    costs = price(default_prices(), vcpu_hours, received, stored)
    total = costs.pop("total")
    for end in ("value", "low", "high"):
        parts = sum(getattr(cost, end) for cost in costs.values())
        assert getattr(total, end) == pytest.approx(parts, rel=1e-4)
    assert total.low <= total.value <= total.high


@given(estimates())
def test_the_inverse_of_an_inverse_is_the_estimate(estimate):
    again = inverse(inverse(estimate))
    for end in ("value", "low", "high"):
        assert getattr(again, end) == pytest.approx(getattr(estimate, end), rel=1e-4)


@given(SIZES, estimates())
def test_a_likened_value_has_the_same_relative_interval(value, pattern):
    found = like(value, pattern)
    assert found.value == pytest.approx(value, rel=1e-4)
    assert found.high / found.value == pytest.approx(pattern.high / pattern.value, rel=1e-4)
    assert found.low / found.value == pytest.approx(pattern.low / pattern.value, rel=1e-4)


def forecast_of(outcomes, num_candidates):
    hosts = [f"host-{number % 7}" for number in range(len(outcomes))]
    kept_N = np.array(outcomes) == "kept"
    sample = Sample(
        hosts=hosts,
        outcomes=np.array(outcomes),
        requests=np.ones(len(outcomes), np.int64),
        received_bytes=kept_N * 1000.0,
        stored_bytes=kept_N * 1100.0,
        clusters=Clusters.of(hosts),
    )
    scope = Scope({"seed": 0}, 2 * num_candidates, num_candidates, 0.01, lambda host: 1.0)
    efforts = Effort(cpu_s=4.0, wall_s=3.0), Effort(cpu_s=1.0, wall_s=1.0)
    return extrapolate(scope, sample, HostCounts(), efforts, default_prices())


@given(st.lists(st.sampled_from(["kept", "http_404", "dns"]), min_size=1, max_size=300))
def test_everything_is_in_proportion_to_the_candidates(outcomes):
    small, large = forecast_of(outcomes, 10_000), forecast_of(outcomes, 1_000_000)
    for name in ("num_kept", "received_bytes", "stored_bytes", "vcpu_hours"):
        for end in ("value", "low", "high"):
            ends = getattr(getattr(small, name), end), getattr(getattr(large, name), end)
            assert ends[1] == pytest.approx(100 * ends[0], rel=1e-4)
    assert small.shares == large.shares
    assert sum(share.value for share in small.shares.values()) == pytest.approx(1, abs=1e-4)
    assert small.num_kept.value == pytest.approx(
        10_000 * outcomes.count("kept") / len(outcomes), rel=1e-4
    )


def test_start_up_is_not_counted():
    found = forecast_of(["kept"] * 100, 3600)
    utilisation = found.prices.vcpu_utilisation
    assert found.sample.cpu_s == 3.0
    assert found.sample.startup_cpu_s == 1.0
    assert found.vcpu_hours.value == pytest.approx(0.03 / utilisation, rel=1e-4)
    assert found.candidates_per_vcpu_s.value == pytest.approx(100 / 3, rel=1e-4)


def test_a_forecast_survives_its_file():
    found = forecast_of(["kept", "dns"] * 50, 1000)
    assert decode(Forecast, encode(found)) == found
