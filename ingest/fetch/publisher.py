"""What publishers say in files of their own: fetched once for an origin, shared by all who ask.

robots.txt after RFC 9309; its Content-Usage lines after IETF draft-ietf-aipref-attach; TDMRep's
`/.well-known/tdmrep.json`; Spawning's ai.txt.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Protocol

from ingest.errors import FetchError
from ingest.fetch.host_cache import HostCache
from ingest.fetch.opt_out import denies_training
from ingest.fetch.publisher_files import parse_ai_txt, parse_tdmrep
from ingest.fetch.robots_rules import Decision, RobotsRules
from ingest.fetch.url import origin_of, path_of
from ingest.fetch.visit import Visit
from schemas.options import Consent, ConsentOptions
from schemas.outcome import Outcome

# RFC 9309, section 2.5: at least 500 KiB must be read; section 2.4: kept for 24 hours at most.
MAX_FILE_BYTES = 512 << 10
_LIFETIME_S, _FAILURE_LIFETIME_S, _UNREACHED_LIFETIME_S = 24 * 3600.0, 900.0, 1.0
# The host itself is out of reach, so its robots.txt is not what stands in the way.
_UNREACHED = frozenset(
    {
        Outcome.DNS,
        Outcome.CONNECT,
        Outcome.TLS,
        Outcome.FORBIDDEN_ADDRESS,
        Outcome.DEFERRED,
        Outcome.HOST_DOWN,
    }
)
# Some kB of rules each.
_MAX_ORIGINS = 30_000
_ROBOTS, _TDMREP, _AI_TXT = "/robots.txt", "/.well-known/tdmrep.json", "/ai.txt"

# Status and body of a file, at most so many bytes of it; the visit that asks for it is charged.
FetchFile = Callable[[str, Visit, int], Awaitable[tuple[int, bytes]]]


class _Rules(Protocol):
    def decide(self, path: str, /) -> Decision: ...


@dataclass(frozen=True)
class _File:
    """A publisher's file: its rules, None if there is none; `failure` if it could not be had."""

    rules: _Rules | None
    sha256: str = ""
    fetched_at_us: int = 0
    failure: FetchError | None = None

    @property
    def lifetime_s(self) -> float:
        if self.failure is None:
            return _LIFETIME_S
        unreached = self.failure.outcome in _UNREACHED
        return _UNREACHED_LIFETIME_S if unreached else _FAILURE_LIFETIME_S

    def evidence(self, url: str, rule: str) -> str:
        """Where a rule stands, which one, and in which version of the file."""
        when = datetime.fromtimestamp(self.fetched_at_us / 1e6, UTC)
        return f"{url} {rule} (sha256 {self.sha256}, fetched {when:%Y-%m-%dT%H:%M:%SZ})"


class Publishers:
    """Answers whether a URL may be asked for; `fetch` gets a file of its publisher.

    `slow_down` is told the origin and the seconds of a Crawl-delay.
    """

    def __init__(
        self,
        options: ConsentOptions,
        agent: str,
        fetch: FetchFile,
        slow_down: Callable[[str, float], None],
    ) -> None:
        self._options, self._agent = options, agent
        self._fetch, self._slow_down = fetch, slow_down
        self._robots = HostCache[_File](lambda file: file.lifetime_s, max_hosts=_MAX_ORIGINS)
        self._tdmrep = HostCache[_File](lambda file: file.lifetime_s, max_hosts=_MAX_ORIGINS)
        self._ai_txt = HostCache[_File](lambda file: file.lifetime_s, max_hosts=_MAX_ORIGINS)

    async def check(self, url: str, visit: Visit) -> None:
        """Return if `url` may be asked for; what was seen goes into `visit`.

        Raises FetchError: robots, robots_unavailable, opt_out; or, when the host cannot be reached
        at all, that outcome: dns, connect, ...
        """
        options, origin = self._options, origin_of(url)
        if options.robots_txt != "ignore":
            await self._check_robots(origin, path_of(url), visit)
        for name, consent, cache, parse in (
            (_TDMREP, options.tdm_file, self._tdmrep, parse_tdmrep),
            (_AI_TXT, options.ai_txt, self._ai_txt, parse_ai_txt),
        ):
            if consent != "ignore":
                load = partial(self._load, origin + name, parse, visit)
                file = cache.known(origin) or await cache.get(origin, load)
                if file.rules is not None:
                    decision = file.rules.decide(path_of(url))
                    if not decision.allowed:
                        evidence = file.evidence(origin + name, decision.rule)
                        _refuse(visit, consent, Outcome.OPT_OUT, evidence)

    async def _check_robots(self, origin: str, path: str, visit: Visit) -> None:
        consent = self._options.robots_txt
        load = partial(self._load, origin + _ROBOTS, self._parse_robots, visit)
        file = self._robots.known(origin) or await self._robots.get(origin, load)
        if file.failure is not None:
            self._unavailable(file.failure, consent, origin, visit)
            return
        visit.robots_sha256, visit.robots_fetched_at_us = file.sha256, file.fetched_at_us
        if not isinstance(file.rules, RobotsRules):
            return
        if file.rules.crawl_delay_s:
            self._slow_down(origin, file.rules.crawl_delay_s)
        decision = file.rules.decide(path)
        if not decision.allowed:
            evidence = file.evidence(origin + _ROBOTS, decision.rule)
            _refuse(visit, consent, Outcome.ROBOTS, evidence)
        usage = file.rules.content_usage(path)
        if usage is not None and self._options.content_usage != "ignore":
            evidence = file.evidence(origin + _ROBOTS, f"content-usage: {usage}")
            if denies_training(usage):
                _refuse(visit, self._options.content_usage, Outcome.OPT_OUT, evidence)
            else:
                visit.signals = (*visit.signals, evidence)

    def _unavailable(
        self, failure: FetchError, consent: Consent, origin: str, visit: Visit
    ) -> None:
        if failure.outcome in _UNREACHED:
            raise FetchError(failure.outcome, failure.detail)
        evidence = f"{origin}{_ROBOTS}: {failure}"
        _refuse(visit, consent, Outcome.ROBOTS_UNAVAILABLE, evidence)

    def _parse_robots(self, content: bytes) -> RobotsRules:
        return RobotsRules.parse(content, self._agent)

    async def _load(self, url: str, parse: Callable[[bytes], _Rules], visit: Visit) -> _File:
        """RFC 9309, section 2.3.1: 4xx allows all, 5xx and no answer forbid all."""
        try:
            status, content = await self._fetch(url, visit, MAX_FILE_BYTES)
        except FetchError as error:
            if error.outcome in (Outcome.TOO_MANY_REDIRECTS, Outcome.BAD_REDIRECT):
                return _File(None)
            return _File(None, failure=error)
        now_us = time.time_ns() // 1000
        if status >= 500 or status < 200:
            failure = FetchError(Outcome.ROBOTS_UNAVAILABLE, f"status {status}")
            return _File(None, fetched_at_us=now_us, failure=failure)
        digest = sha256(content).hexdigest()
        if status >= 300:
            return _File(None, digest, now_us)
        return _File(parse(content), digest, now_us)


def _refuse(visit: Visit, consent: Consent, outcome: Outcome, evidence: str) -> None:
    """Put a refusal on record; raises FetchError with `outcome` if it is to be honoured."""
    visit.signals = (*visit.signals, evidence)
    if consent == "honour":
        visit.rule = evidence
        raise FetchError(outcome, evidence)
