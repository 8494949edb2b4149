"""Report: what became of a dataset so far, and how hard its hosts were hit."""

from pydantic import BaseModel, ConfigDict, Field

from schemas.forecast import Estimate
from schemas.manifest import Document


class HostTraffic(BaseModel):
    """The requests that one host saw."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    num_requests: int
    most_in_1_s: int = Field(description="requests in the fullest second, wherever it begins")
    most_in_60_s: int = Field(description="requests in the fullest minute, wherever it begins")


class HostPeak(BaseModel):
    """The host with the fullest window of some length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    num_requests: int


class Traffic(BaseModel):
    """All requests of a crawl, of each generation and attempt that was committed.

    `hosts`, `busiest_second` and `busiest_minute` are exact. Of more than a million hosts, one may
    be missing that has at most `missing_requests` more requests than the last one listed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_requests: int
    num_hosts: int = Field(description="hosts asked; a lower bound if missing_requests is not 0")
    missing_requests: int
    hosts: tuple[HostTraffic, ...] = Field(description="those hit hardest, falling by requests")
    busiest_second: HostPeak | None = Field(description="of all hosts, the fullest second")
    busiest_minute: HostPeak | None = Field(description="of all hosts, the fullest minute")


class Comparison(BaseModel):
    """A forecast beside what happened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantity: str = Field(description="`kept_share`, `received_bytes`, ..., or `share of OUTCOME`")
    expected: Estimate
    actual: float
    inside: bool = Field(description="whether the actual value lies in the interval")


class Report(Document):
    """What is committed of a dataset; a ledger row of any generation counts as traffic."""

    dataset: str
    complete: bool = Field(description="whether the dataset is sealed and nothing was begun since")
    num_planned: int = Field(description="candidates of the plan")
    num_committed: int = Field(description="candidates of committed shards, each once")
    num_rows: int = Field(description="ledger rows, those of candidates tried again included")
    outcomes: dict[str, int] = Field(description="candidates by their last outcome")
    num_kept: int
    image_bytes: int = Field(description="of kept images")
    stored_bytes: int = Field(description="shards and ledgers")
    received_bytes: int = Field(description="bodies, as sent to us")
    first_fetch_us: int | None = Field(description="when the first fetch began, us since 1970 UTC")
    last_fetch_us: int | None = Field(description="when the last fetch began, us since 1970 UTC")
    active_s: float = Field(description="seconds from fetch to fetch, pauses over 60 s left out")
    mean_fetch_ms: float | None = Field(description="mean duration of the last request")
    traffic: Traffic | None = Field(description="null: the ledger has no column `requests`")
    comparisons: tuple[Comparison, ...] = Field(description="none without a forecast")
    notes: tuple[str, ...] = Field(description="what a reader must know of this report")

    @property
    def candidates_per_s(self) -> float:
        """Ledger rows for each active second; 0 if nothing was fetched."""
        return self.num_rows / self.active_s if self.active_s else 0.0

    @property
    def images_per_s(self) -> float:
        """Kept images for each active second; 0 if nothing was fetched."""
        return self.num_kept / self.active_s if self.active_s else 0.0
