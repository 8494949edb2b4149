"""From a URL to its bytes: robots.txt, politeness, redirects by hand, opt-out headers, retries."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ingest.errors import FetchError
from ingest.fetch.address_guard import AddressGuard
from ingest.fetch.client import HttpClient
from ingest.fetch.opt_out import read_opt_out
from ingest.fetch.politeness import HostGate
from ingest.fetch.robots import MAX_ROBOTS_BYTES, RobotsCache
from ingest.fetch.transfer import Answer
from ingest.fetch.url import canonical_url, host_of, redirect_target
from ingest.spool import Region, Spool
from schemas.options import BuildOptions
from schemas.outcome import Outcome

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 10.0
# Failures that pass by themselves. Time-outs are not among them: they would cost a slot twice.
_PASSING = frozenset(
    {
        Outcome.CONNECT,
        Outcome.CONNECTION_LOST,
        Outcome.DNS,
        Outcome.HTTP_429,
        Outcome.HTTP_5XX,
    }
)
_STATUS_OUTCOMES = {status: Outcome(f"http_{status}") for status in (401, 403, 404, 410, 429)}


@dataclass
class Visit:
    """What asking for one candidate came to; `body` is set exactly if `outcome` is not."""

    outcome: Outcome | None = None
    detail: str | None = None
    body: Region | None = None
    final_url: str | None = None
    redirects: list[str] = field(default_factory=list)
    answer: Answer | None = None
    fetched_at_us: int | None = None
    fetch_ms: int | None = None
    signals: tuple[str, ...] = ()
    rule: str | None = None
    attempts: int = 0


class Crawler:
    """Visits URLs within the limits of its options; one for a process and its event loop."""

    def __init__(self, options: BuildOptions, num_processes: int = 1) -> None:
        self._options = options
        self._agent = options.fetch.user_agent.split("/")[0].split(" ")[0].lower()
        self._gate = HostGate(options.politeness, num_processes)
        self._slots = asyncio.Semaphore(options.fetch.connections)
        self._client = HttpClient(options.fetch, AddressGuard(options.fetch.allow_network))
        self._robots = RobotsCache(self._agent, self._fetch_robots)

    async def visit(self, url: str, spool: Spool) -> Visit:
        """What became of one URL; failures are outcomes, not exceptions."""
        visit = Visit()
        while True:
            visit.attempts += 1
            try:
                await self._attempt(visit, canonical_url(url), spool)
            except FetchError as error:
                visit.outcome, visit.detail = error.outcome, error.detail
            pause_s = self._pause(visit)
            if pause_s is None:
                return visit
            await asyncio.sleep(pause_s)
            visit = Visit(attempts=visit.attempts)

    def close(self) -> None:
        """Drop all connections."""
        self._client.close()

    async def _attempt(self, visit: Visit, url: str, spool: Spool) -> None:
        """Follow `url` to its bytes; raises FetchError."""
        seen = {url}
        while True:
            visit.final_url = url
            if self._options.consent.robots_txt != "ignore":
                await self._check_robots(visit, url)
            answer = visit.answer = await self._request(visit, url, spool)
            self._check_opt_out(visit, answer)
            if answer.status not in _REDIRECTS:
                break
            url = redirect_target(url, answer.header("location") or "")
            if url in seen or len(visit.redirects) >= self._options.fetch.max_redirects:
                limit = f"expected at most {self._options.fetch.max_redirects} and no loop"
                raise FetchError(Outcome.TOO_MANY_REDIRECTS, f"{limit}, next was {url[:500]}")
            seen.add(url)
            visit.redirects.append(url)
        visit.body = _body(answer)

    async def _check_robots(self, visit: Visit, url: str) -> None:
        try:
            await self._robots.check(url)
        except FetchError as error:
            consent_decides = error.outcome in (Outcome.ROBOTS, Outcome.ROBOTS_UNAVAILABLE)
            if not consent_decides:
                raise
            if self._options.consent.robots_txt == "honour":
                visit.rule = error.detail
                raise
            visit.signals = (*visit.signals, f"robots.txt: {error.detail}")

    async def _request(self, visit: Visit, url: str, spool: Spool) -> Answer:
        async with self._gate.turn(host_of(url)), self._slots:
            began = time.perf_counter()
            visit.fetched_at_us = time.time_ns() // 1000
            try:
                return await self._client.get(url, self._options.fetch.max_image_bytes, spool)
            finally:
                visit.fetch_ms = int((time.perf_counter() - began) * 1000)

    def _check_opt_out(self, visit: Visit, answer: Answer) -> None:
        now = datetime.now(UTC)
        opt_out = read_opt_out(answer.headers, self._options.consent, self._agent, now)
        if opt_out.signals:
            visit.signals = (*visit.signals, *opt_out.signals)
        if opt_out.rule:
            visit.rule = opt_out.rule
            raise FetchError(Outcome.OPT_OUT, opt_out.rule)

    def _pause(self, visit: Visit) -> float | None:
        """Seconds until the next attempt; None if there is to be none."""
        if visit.outcome not in _PASSING or visit.attempts >= self._options.fetch.max_attempts:
            return None
        pause_s = _FIRST_PAUSE_S * 2 ** (visit.attempts - 1)
        if visit.outcome in (Outcome.HTTP_429, Outcome.HTTP_5XX) and visit.answer:
            pause_s = max(pause_s, retry_after_s(visit.answer.header("retry-after"), time.time()))
        return pause_s if pause_s <= _LONGEST_PAUSE_S else None

    async def _fetch_robots(self, url: str) -> tuple[int, bytes]:
        """Status and body of a robots.txt, behind at most five redirects (RFC 9309, 2.3.1.2)."""
        for _ in range(6):
            async with self._gate.turn(host_of(url)), self._slots:
                answer = await self._client.get(url, MAX_ROBOTS_BYTES)
            if answer.status not in _REDIRECTS:
                return answer.status, answer.content
            url = redirect_target(url, answer.header("location") or "")
        raise FetchError(Outcome.TOO_MANY_REDIRECTS, f"expected at most 5, next was {url[:500]}")


def retry_after_s(value: str | None, now: float) -> float:
    """Seconds that a Retry-After header asks to wait; both forms of RFC 9110, section 10.2.3."""
    if not value:
        return 0.0
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


def _body(answer: Answer) -> Region:
    """The body of a final answer; raises FetchError for a status without one, or no bytes."""
    if answer.body is None:
        raise FetchError(
            _status_outcome(answer.status), f"expected status 200, got {answer.status}"
        )
    if not answer.body.length:
        raise FetchError(Outcome.EMPTY, f"status {answer.status} with no bytes")
    return answer.body


def _status_outcome(status: int) -> Outcome:
    if status in _STATUS_OUTCOMES:
        return _STATUS_OUTCOMES[status]
    families = {4: Outcome.HTTP_4XX, 5: Outcome.HTTP_5XX}
    return families.get(status // 100, Outcome.HTTP_OTHER)
