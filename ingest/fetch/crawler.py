"""From a URL to its bytes: consent, politeness, redirects by hand, back-off, retries."""

import asyncio
import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from ingest.errors import FetchError
from ingest.fetch.address_guard import AddressGuard
from ingest.fetch.client import HttpClient, Request
from ingest.fetch.inline import inline_bytes, is_inline
from ingest.fetch.opt_out import product_token, read_opt_out
from ingest.fetch.politeness import HostGate
from ingest.fetch.publisher import Publishers
from ingest.fetch.resolver import Resolver
from ingest.fetch.transfer import Answer
from ingest.fetch.url import canonical_url, host_and_port, host_of, redirect_target
from ingest.fetch.visit import Visit
from ingest.spool import Region, Spool
from schemas.options import BuildOptions
from schemas.outcome import Outcome

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# RFC 9309, section 2.3.1.2.
_ROBOTS_REDIRECTS = 5
_FIRST_PAUSE_S = 1.0
# Failures that pass by themselves. Time-outs are not among them: they would cost a slot twice.
_PASSING = frozenset({Outcome.CONNECT, Outcome.CONNECTION_LOST, Outcome.HTTP_429, Outcome.HTTP_5XX})
# Of a further attempt: the host is not asked at all, so what the last one said stands.
_NOT_ASKED = frozenset({Outcome.DEFERRED, Outcome.HOST_DOWN})
_STATUS_OUTCOMES = {status: Outcome(f"http_{status}") for status in (401, 403, 404, 410, 429)}


class Crawler:
    """Visits URLs within the limits of its options; one for a process and its event loop."""

    def __init__(self, options: BuildOptions, num_processes: int = 1) -> None:
        self._options = options
        self._agent = product_token(options.fetch.user_agent)
        guard = AddressGuard(options.fetch.allow_network)
        self._gate = HostGate(options.politeness, num_processes)
        self._slots = asyncio.Semaphore(options.fetch.connections)
        self._resolver = Resolver(options.fetch, guard)
        self._client = HttpClient(options.fetch, guard)
        self._publishers = Publishers(
            options.consent,
            self._agent,
            self._fetch_file,
            lambda origin, delay_s: self._gate.slow_down(host_and_port(origin)[0], delay_s),
        )
        self._jitter = random.Random(0)

    async def visit(self, url: str, spool: Spool) -> Visit:
        """What became of one URL; failures are outcomes, not exceptions."""
        visit = await self._try(Visit(left_s=self._options.fetch.timeout_s), url, spool)
        while visit.outcome in _PASSING and visit.attempts < self._options.fetch.max_attempts:
            # A host with too much to do (429) is given its rest by the gate.
            if visit.outcome is not Outcome.HTTP_429:
                pause_s = _FIRST_PAUSE_S * 2 ** (visit.attempts - 1)
                await asyncio.sleep(pause_s * self._jitter.uniform(1.0, 1.5))
            again = await self._try(visit.next_attempt(), url, spool)
            if again.outcome in _NOT_ASKED:
                break
            visit = again
        return visit

    async def close(self) -> None:
        """Drop all connections."""
        self._client.close()
        await self._resolver.close()

    async def _try(self, visit: Visit, url: str, spool: Spool) -> Visit:
        visit.attempts += 1
        try:
            if is_inline(url):
                visit.body = _some(spool.append(inline_bytes(url)), "a data: URL")
            else:
                visit.body = await self._follow(visit, canonical_url(url), spool)
        except FetchError as error:
            visit.outcome, visit.detail = error.outcome, error.detail
        return visit

    async def _follow(self, visit: Visit, url: str, spool: Spool) -> Region:
        """The body behind a URL and its redirects; raises FetchError."""
        limits, seen = self._options.fetch, {url}
        while True:
            visit.final_url = url
            await self._publishers.check(url, visit)
            answer = visit.answer = await self._request(url, visit, limits.max_image_bytes, spool)
            self._check_headers(answer, visit)
            if answer.status not in _REDIRECTS:
                return _body(answer)
            url = redirect_target(url, answer.header("location") or "")
            if url in seen or len(visit.redirects) >= limits.max_redirects:
                limit = f"expected at most {limits.max_redirects} and no loop"
                raise FetchError(Outcome.TOO_MANY_REDIRECTS, f"{limit}, next was {url[:500]}")
            seen.add(url)
            visit.redirects.append(url)

    async def _request(
        self, url: str, visit: Visit, max_bytes: int, spool: Spool | None = None
    ) -> Answer:
        """The answer to one request, at the host's pace; raises FetchError."""
        host = host_of(url)
        addresses = await self._resolver.addresses(host)
        async with self._gate.turn(host, addresses[0]), self._slots:
            if visit.left_s <= 0:
                limit = self._options.fetch.timeout_s
                raise FetchError(Outcome.TIMEOUT, f"expected all requests to take {limit:g} s")
            began, visit.fetched_at_us = time.perf_counter(), time.time_ns() // 1000
            visit.requests.append({"host": host, "at": visit.fetched_at_us})
            request = Request(url, addresses, max_bytes, visit.left_s)
            try:
                answer = await self._client.get(request, spool)
            except FetchError as error:
                self._gate.failed(host, error.outcome)
                raise
            finally:
                took_s = time.perf_counter() - began
                visit.fetch_ms, visit.left_s = int(took_s * 1000), visit.left_s - took_s
            self._heed(host, answer)
            return answer

    def _heed(self, host: str, answer: Answer) -> None:
        """Note how the host is: whether it wants a rest (RFC 6585, section 4; RFC 9110, 15.6.4)."""
        rest_s = retry_after_s(answer.header("retry-after"), time.time())
        if answer.status == 429 or (answer.status == 503 and rest_s):
            self._gate.rest(host, rest_s)
        else:
            self._gate.succeeded(host)

    def _check_headers(self, answer: Answer, visit: Visit) -> None:
        now = datetime.now(UTC)
        opt_out = read_opt_out(answer.headers, self._options.consent, self._agent, now)
        visit.signals = (*visit.signals, *opt_out.signals)
        if opt_out.rule:
            visit.rule = opt_out.rule
            raise FetchError(Outcome.OPT_OUT, opt_out.rule)

    async def _fetch_file(self, url: str, visit: Visit, max_bytes: int) -> tuple[int, bytes]:
        """Status and body of a publisher's file, behind at most five redirects."""
        # All candidates of the origin will rely on it, so it has a deadline of its own.
        own = Visit(left_s=self._options.fetch.timeout_s, requests=visit.requests)
        for _ in range(_ROBOTS_REDIRECTS + 1):
            answer = await self._request(url, own, max_bytes)
            if answer.status not in _REDIRECTS:
                return answer.status, answer.content
            url = redirect_target(url, answer.header("location") or "")
        raise FetchError(
            Outcome.TOO_MANY_REDIRECTS,
            f"expected at most {_ROBOTS_REDIRECTS}, next was {url[:500]}",
        )


def retry_after_s(value: str | None, now: float) -> float:
    """Seconds that a Retry-After header asks to wait; both forms of RFC 9110, section 10.2.3."""
    if not value:
        return 0.0
    if value.strip().isdecimal():
        return float(value[:12])
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
    return _some(answer.body, f"status {answer.status}")


def _some(body: Region, where: str) -> Region:
    if not body.length:
        raise FetchError(Outcome.EMPTY, f"{where} with no bytes")
    return body


def _status_outcome(status: int) -> Outcome:
    if status in _STATUS_OUTCOMES:
        return _STATUS_OUTCOMES[status]
    families = {0: Outcome.PROTOCOL, 4: Outcome.HTTP_4XX, 5: Outcome.HTTP_5XX}
    return families.get(status // 100, Outcome.HTTP_OTHER)
