"""Forecast: what a whole input will bring and cost, from a small sample; `forecast.json`."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from schemas.manifest import Document
from schemas.prices import Prices

FORECAST_FILE = "forecast.json"
_DIGITS = 6


class Estimate(BaseModel):
    """A number with its 95 % interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, low: float, high: float) -> "Estimate":
        """An estimate, rounded to six digits that count."""
        return cls(value=_rounded(value), low=_rounded(low), high=_rounded(high))

    def times(self, factor: float) -> "Estimate":
        """The estimate of something `factor` times as large; `factor` is not negative."""
        return Estimate.of(self.value * factor, self.low * factor, self.high * factor)

    def plus(self, other: "Estimate") -> "Estimate":
        """The estimate of a sum whose parts are wrong together."""
        return Estimate.of(self.value + other.value, self.low + other.low, self.high + other.high)

    def covers(self, value: float) -> bool:
        """Whether a value lies in the interval."""
        return self.low <= value <= self.high


class SampleRecord(BaseModel):
    """The sample, and what it took to build it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sample_rate: float = Field(description="share of the rows of the input, by the same hash")
    num_candidates: int
    num_hosts: int = Field(description="hosts among them")
    outcomes: dict[str, int] = Field(description="candidates of the sample by outcome")
    cpu_s: float = Field(description="CPU time of all processes, start-up not counted, seconds")
    wall_s: float = Field(description="time, start-up not counted, seconds")
    startup_cpu_s: float = Field(description="CPU time of a build without candidates, seconds")


class HostForecast(BaseModel):
    """How long one host will be asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    num_candidates: int = Field(description="expected candidates of the whole build")
    requests_per_candidate: float = Field(description="to this host, with redirects and retries")
    requests_per_s: float = Field(description="the polite rate; 0: unlimited")
    hours: float = Field(description="at that rate, or at 1/s if it is unlimited")


class Forecast(Document):
    """What a build of the whole input will bring and cost; start-up is not counted."""

    options: dict[str, Any] = Field(description="the options of `plan` and `build`")
    num_rows: int = Field(description="rows of the input")
    num_candidates: int = Field(description="rows that the build will take; all else is for these")
    sample: SampleRecord
    shares: dict[str, Estimate] = Field(description="share of the candidates by outcome")
    unseen_share: float = Field(description="highest share of an outcome that the sample had not")
    num_kept: Estimate
    received_bytes: Estimate = Field(description="bodies, as sent to us")
    stored_bytes: Estimate = Field(description="shards and ledgers")
    vcpu_hours: Estimate = Field(description="at the utilisation of the prices")
    candidates_per_vcpu_s: Estimate = Field(description="candidates for a second of CPU time")
    costs: dict[str, Estimate] = Field(description="in the currency of the prices, by item")
    prices: Prices
    hosts: tuple[HostForecast, ...] = Field(description="those that need longest, falling")
    host_count_error: int = Field(description="candidates that a host may have more than told")

    @property
    def slowest_host(self) -> HostForecast | None:
        """The host that names the least duration; None if no rate is limited."""
        return next((host for host in self.hosts if host.requests_per_s), None)


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
