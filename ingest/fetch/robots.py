"""robots.txt after RFC 9309, fetched once for an origin and shared by all who ask."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256

from protego import Protego

from ingest.errors import FetchError
from ingest.fetch.url import origin_of
from schemas.outcome import Outcome

# RFC 9309, section 2.5: at least 500 KiB must be read.
MAX_ROBOTS_BYTES = 512 << 10
_MAX_ORIGINS = 100_000
# The host itself is out of reach, so its robots.txt is not what stands in the way.
_UNREACHABLE = frozenset(
    {Outcome.DNS, Outcome.CONNECT, Outcome.TLS, Outcome.FORBIDDEN_ADDRESS, Outcome.DEFERRED}
)

FetchRobots = Callable[[str], Awaitable[tuple[int, bytes]]]


@dataclass(frozen=True)
class RobotsRules:
    """What one origin's robots.txt says; `failure` is set when it could not be had."""

    rules: Protego | None
    origin: str
    digest: str = ""
    failure: FetchError | None = None


def _failed(origin: str, outcome: Outcome, what: str) -> RobotsRules:
    return RobotsRules(None, origin, failure=FetchError(outcome, f"{origin}/robots.txt: {what}"))


class RobotsCache:
    """Answers whether a URL may be asked for; `fetch` gets (status, body) of a robots.txt."""

    def __init__(self, agent: str, fetch: FetchRobots) -> None:
        self._agent, self._fetch = agent, fetch
        self._origins: dict[str, asyncio.Future[RobotsRules]] = {}

    async def check(self, url: str) -> None:
        """Return if `url` is allowed; raises FetchError if not: robots, robots_unavailable.

        A host that cannot be reached at all gives that outcome instead: dns, connect, ...
        """
        rules = await self._rules(origin_of(url))
        if rules.failure:
            raise FetchError(rules.failure.outcome, rules.failure.detail)
        if rules.rules is not None and not rules.rules.can_fetch(url, self._agent):
            found = f"{rules.origin}/robots.txt (sha256 {rules.digest})"
            raise FetchError(Outcome.ROBOTS, f"{found} disallows it to {self._agent}")

    async def _rules(self, origin: str) -> RobotsRules:
        known = self._origins.get(origin)
        if known is not None:
            rules: RobotsRules = await asyncio.shield(known)
            return rules
        if len(self._origins) >= _MAX_ORIGINS:
            self._origins.pop(next(iter(self._origins)))
        future = self._origins[origin] = asyncio.get_running_loop().create_future()
        try:
            rules = await self._load(origin)
        except BaseException:
            self._origins.pop(origin, None)
            future.cancel()
            raise
        future.set_result(rules)
        return rules

    async def _load(self, origin: str) -> RobotsRules:
        """RFC 9309, section 2.3.1: 4xx allows all, 5xx and no answer forbid all."""
        try:
            status, body = await self._fetch(f"{origin}/robots.txt")
        except FetchError as error:
            if error.outcome in (Outcome.TOO_MANY_REDIRECTS, Outcome.BAD_REDIRECT):
                return RobotsRules(None, origin)
            reached = error.outcome not in _UNREACHABLE
            outcome = Outcome.ROBOTS_UNAVAILABLE if reached else error.outcome
            return _failed(origin, outcome, str(error))
        if status >= 500 or status < 200:
            return _failed(origin, Outcome.ROBOTS_UNAVAILABLE, f"status {status}")
        if status >= 300 or not body:
            return RobotsRules(None, origin)
        text = body.decode("utf-8", errors="replace")
        return RobotsRules(Protego.parse(text), origin, sha256(body).hexdigest())
