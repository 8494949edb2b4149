"""Only public addresses are reachable, checked on the address that is really connected to."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from ingest.errors import SetupError

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressGuard:
    """Knows which addresses may be connected to."""

    def __init__(self, allow_network: Iterable[str]) -> None:
        self._allowed = tuple(_parse_network(text) for text in allow_network)
        self.permits = lru_cache(maxsize=65_536)(self._permits)

    def _permits(self, address: str) -> bool:
        """Whether this address, as text, is public or in an allowed network."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if any(parsed in network for network in self._allowed):
            return True
        return all(is_public(one) for one in (parsed, *_embedded(parsed)))


def is_public(address: _Address) -> bool:
    """Whether an address is globally reachable unicast (IANA special-purpose registries)."""
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or site_local)


def _embedded(address: _Address) -> list[_Address]:
    """IPv4 addresses that an IPv6 address leads to: mapped, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[_Address | None] = [address.ipv4_mapped, address.sixtofour]
    found.extend(address.teredo or ())
    if address in _NAT64:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]


def _parse_network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise SetupError(
            f"--allow-network: expected a network such as 127.0.0.0/8, got {text!r} ({error})"
        ) from error
