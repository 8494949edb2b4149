"""What asking for one candidate came to."""

from dataclasses import dataclass, field

from ingest.fetch.transfer import Answer
from ingest.spool import Region
from schemas.outcome import Outcome


@dataclass
class Visit:
    """What asking for one candidate came to; `body` is set exactly if `outcome` is not.

    requests: host and time (microseconds since 1970) of each request that was made for it, in
    order: robots.txt, redirects and retries included. signals: opt-out signals, as `where: value`.
    rule: the one that decided. left_s: what remains of the candidate's deadline, seconds.
    """

    left_s: float = 0.0
    outcome: Outcome | None = None
    detail: str | None = None
    body: Region | None = None
    final_url: str | None = None
    redirects: list[str] = field(default_factory=list)
    answer: Answer | None = None
    fetched_at_us: int | None = None
    fetch_ms: int | None = None
    requests: list[dict[str, object]] = field(default_factory=list)
    robots_sha256: str | None = None
    robots_fetched_at_us: int | None = None
    signals: tuple[str, ...] = ()
    rule: str | None = None
    attempts: int = 0

    def next_attempt(self) -> "Visit":
        """A fresh visit that carries on the count, the requests and the deadline of this one."""
        return Visit(left_s=self.left_s, requests=self.requests, attempts=self.attempts)
