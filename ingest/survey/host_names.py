"""Hosts of URLs, and the registered domains that they belong to."""

import ipaddress
from functools import cache, lru_cache
from importlib.metadata import version

import pyarrow as pa
import pyarrow.compute as pc
from publicsuffixlist import PublicSuffixList

from ingest.errors import UrlError
from ingest.fetch.url import canonical_url, host_of

# The authority's host, as written: an address in brackets, or all up to a port or path.
_AUTHORITY = (
    r"(?i)^\s*https?://(?:[^/?#\\]*@)?(?P<host>\[[^\]/?#\\]*\]|[^/?#:\\\[\]]*)(?::[0-9]*)?"
    r"(?:[/?#\\]|\s*$)"
)
_CACHED = 1 << 17


def hosts_as_written(urls: pa.ChunkedArray) -> pa.ChunkedArray:
    """The host of each http or https URL, not yet in one spelling; null if there is none."""
    return pc.struct_field(pc.extract_regex(urls, _AUTHORITY), "host")


@lru_cache(maxsize=_CACHED)
def host_name(written: str) -> str | None:
    """A host in one spelling, lower case and punycode, as a crawler asks it; None if invalid."""
    try:
        return host_of(canonical_url(f"http://{written}/"))
    except (UrlError, ValueError):
        return None


@lru_cache(maxsize=_CACHED)
def registered_domain(host: str) -> str:
    """What a registry gave out, such as `example.co.uk`; the host itself if it is in none.

    Only the list's section of registries counts: `someone.github.io` belongs to `github.io`. An
    address, or a name that is a suffix itself, such as `localhost`, stands for itself.
    """
    if is_address(host):
        return host
    return _suffix_list().privatesuffix(host) or host


def last_label(host: str) -> str | None:
    """The top-level domain of a host; None for an address."""
    return None if is_address(host) else host.rpartition(".")[2]


def is_address(host: str) -> bool:
    """Whether a host in one spelling is an IP address and no name."""
    if host.startswith("["):
        return True
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def suffix_list_version() -> str:
    """The version of the public suffix list: that of its package, which ends with its date."""
    return version("publicsuffixlist")


@cache
def _suffix_list() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)
