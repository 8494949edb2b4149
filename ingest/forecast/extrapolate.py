"""From what became of a sample to a forecast of the whole."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ingest.forecast.hosts import forecast_hosts
from ingest.forecast.interval import estimate_mean, estimate_share, share_interval
from ingest.forecast.sample import Effort, Sample
from ingest.host_counts import HostCounts
from schemas.forecast import Estimate, Forecast, SampleRecord
from schemas.outcome import Outcome
from schemas.prices import Prices

_GB = 1e9


@dataclass(frozen=True)
class Scope:
    """What is forecast: options, rows of the input, how many are taken, and the rate of a host."""

    options: Mapping[str, Any]
    num_rows: int
    num_candidates: int
    sample_rate: float
    rate_of: Callable[[str], float]


def extrapolate(
    scope: Scope, sample: Sample, counts: HostCounts, efforts: tuple[Effort, Effort], prices: Prices
) -> Forecast:
    """The forecast; `efforts`: of building the sample, and of building no candidates at all.

    CPU time is one number, so its interval is as wide as that of the bytes it is spent on.
    """
    whole, clusters = scope.num_candidates, sample.clusters
    num_sampled = clusters.num_candidates
    received = estimate_mean(sample.received_bytes, clusters)
    stored_bytes = estimate_mean(sample.stored_bytes, clusters).times(whole)
    record = _record(scope, sample, efforts)
    cpu_per_candidate_s = like(record.cpu_s / num_sampled, received)
    vcpu_hours = cpu_per_candidate_s.times(whole / 3600 / prices.vcpu_utilisation)
    shares = {word: estimate_share(sample.outcomes == word, clusters) for word in record.outcomes}
    return Forecast(
        options=dict(scope.options),
        num_rows=scope.num_rows,
        num_candidates=whole,
        sample=record,
        shares=shares,
        unseen_share=round(share_interval(np.zeros(num_sampled, dtype=np.bool_), clusters)[1], 6),
        num_kept=estimate_share(sample.outcomes == Outcome.KEPT, clusters).times(whole),
        received_bytes=received.times(whole),
        stored_bytes=stored_bytes,
        vcpu_hours=vcpu_hours,
        candidates_per_vcpu_s=inverse(cpu_per_candidate_s),
        costs=price(prices, vcpu_hours, received.times(whole), stored_bytes),
        prices=prices,
        hosts=forecast_hosts(counts, whole / max(1, scope.num_rows), sample, scope.rate_of),
        host_count_error=counts.error,
    )


def price(
    prices: Prices, vcpu_hours: Estimate, received_bytes: Estimate, stored_bytes: Estimate
) -> dict[str, Estimate]:
    """The cost of each item, and `total`; its ends are those of the items together."""
    memory = prices.memory_gib_per_vcpu * prices.memory_gib_hour
    costs = {
        "vcpu": vcpu_hours.times(prices.vcpu_hour),
        "memory": vcpu_hours.times(memory),
        "received": received_bytes.times(prices.received_gb / _GB),
        "storage": stored_bytes.times(prices.storage_gb_month * prices.storage_months / _GB),
    }
    total = Estimate.of(0.0, 0.0, 0.0)
    for cost in costs.values():
        total = total.plus(cost)
    return {**costs, "total": total}


def like(value: float, pattern: Estimate) -> Estimate:
    """A value with an interval as wide, relatively, as another estimate's."""
    if not pattern.value:
        return Estimate.of(value, value, value)
    return Estimate.of(
        value, value * pattern.low / pattern.value, value * pattern.high / pattern.value
    )


def inverse(estimate: Estimate) -> Estimate:
    """One over an estimate; 0 where nothing was measured."""
    ends = [1 / end if end else 0.0 for end in (estimate.value, estimate.high, estimate.low)]
    return Estimate.of(*ends)


def _record(scope: Scope, sample: Sample, efforts: tuple[Effort, Effort]) -> SampleRecord:
    spent, startup = efforts
    return SampleRecord(
        sample_rate=scope.sample_rate,
        num_candidates=sample.clusters.num_candidates,
        num_hosts=len({host for host in sample.hosts if host is not None}),
        outcomes=dict(Counter(sample.outcomes.tolist()).most_common()),
        cpu_s=round(max(spent.cpu_s - startup.cpu_s, 0.0), 3),
        wall_s=round(max(spent.wall_s - startup.wall_s, 0.0), 3),
        startup_cpu_s=round(startup.cpu_s, 3),
    )
