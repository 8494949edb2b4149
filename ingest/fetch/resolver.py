"""Host names -> addresses that may be connected to, asked once and remembered as long as allowed.

c-ares asks (several name servers in turn, A and AAAA, CNAMEs, /etc/hosts); here are the cache, the
bounded rate, and the guard: a host is refused unless *all* its addresses are permitted, and libcurl
is given just the addresses that were checked, so a name that changes its mind gains nothing.
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiodns
import pycares

from ingest.errors import FetchError
from ingest.fetch.address_guard import AddressGuard
from ingest.fetch.host_cache import HostCache
from schemas.options import FetchOptions
from schemas.outcome import Outcome

_SHORTEST_TTL_S, _LONGEST_TTL_S = 5.0, 3600.0
# RFC 2308, section 5: "no such name" may be kept for hours, failures of servers for 5 minutes.
_NO_NAME_TTL_S, _FAILURE_TTL_S = 600.0, 60.0
_NO_NAME = frozenset({pycares.errno.ARES_ENOTFOUND, pycares.errno.ARES_ENODATA})
_MAX_HOSTS, _MAX_QUERIES = 200_000, 256
_TRIES, _TRY_S = 3, 2.0


@dataclass(frozen=True)
class _Found:
    ttl_s: float
    addresses: tuple[str, ...] = ()
    error: FetchError | None = None


class Resolver:
    """The addresses of hosts, for one event loop."""

    def __init__(
        self,
        options: FetchOptions,
        guard: AddressGuard,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options, self._guard, self._clock = options, guard, clock
        self._cache = HostCache[_Found](lambda found: found.ttl_s, clock, _MAX_HOSTS)
        self._queries = asyncio.Semaphore(_MAX_QUERIES)
        self._next_query_s = 0.0
        self._servers: aiodns.DNSResolver | None = None

    async def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of a host, all of them permitted, at least one; the host as in a URL.

        Raises FetchError: dns, forbidden_address.
        """
        found = self._cache.known(host) or await self._cache.get(host, lambda: self._ask(host))
        if found.error is not None:
            raise FetchError(found.error.outcome, found.error.detail)
        return found.addresses

    async def close(self) -> None:
        """Stop asking."""
        if self._servers is not None:
            await self._servers.close()
            self._servers = None

    async def _ask(self, host: str) -> _Found:
        literal = _literal(host)
        if literal is not None:
            return self._checked(host, (literal,), _LONGEST_TTL_S)
        try:
            addresses, ttl_s = await self._query(host)
        except TimeoutError:
            return self._failed(host, "no answer in time", _FAILURE_TTL_S)
        except aiodns.error.DNSError as error:
            code, text = error.args[0], error.args[1]
            return self._failed(host, text, _NO_NAME_TTL_S if code in _NO_NAME else _FAILURE_TTL_S)
        if not addresses:
            return self._failed(host, "no address", _NO_NAME_TTL_S)
        return self._checked(host, addresses, ttl_s)

    async def _query(self, host: str) -> tuple[tuple[str, ...], float]:
        """Addresses and seconds to live, by the name servers, at the bounded rate."""
        async with self._queries:
            now = self._clock()
            turn_s = max(now, self._next_query_s)
            self._next_query_s = turn_s + 1.0 / self._options.dns_queries_per_s
            if turn_s > now:
                await asyncio.sleep(turn_s - now)
            if self._servers is None:
                self._servers = aiodns.DNSResolver(
                    nameservers=self._options.nameserver or None,
                    timeout=_TRY_S,
                    tries=_TRIES,
                    rotate=True,
                    flags=pycares.ARES_FLAG_NOSEARCH | pycares.ARES_FLAG_EDNS,
                )
            async with asyncio.timeout(self._options.connect_timeout_s):
                found = await self._servers.getaddrinfo(
                    host, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM
                )
        addresses = dict.fromkeys(_text(node.addr[0]) for node in found.nodes)
        return tuple(addresses), min((float(node.ttl) for node in found.nodes), default=0.0)

    def _checked(self, host: str, addresses: tuple[str, ...], ttl_s: float) -> _Found:
        """The entry of a host with these addresses: an error if one of them is not permitted."""
        ttl_s = min(max(ttl_s, _SHORTEST_TTL_S), _LONGEST_TTL_S)
        forbidden = [one for one in addresses if not self._guard.permits(one)]
        if not forbidden:
            return _Found(ttl_s, addresses)
        detail = f"expected public addresses only, {host} has {', '.join(forbidden[:4])}"
        return _Found(ttl_s, error=FetchError(Outcome.FORBIDDEN_ADDRESS, detail))

    def _failed(self, host: str, why: str, ttl_s: float) -> _Found:
        error = FetchError(Outcome.DNS, f"{host}: {why}")
        return _Found(ttl_s, error=error)


def _literal(host: str) -> str | None:
    """The address that a host stands for without any name server; None for a name."""
    if host.startswith("["):
        return host[1:-1]
    # RFC 6761, section 6.3: no name server is ever asked for these.
    if host == "localhost" or host.endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        return None


def _text(address: str | bytes) -> str:
    return address.decode() if isinstance(address, bytes) else address
