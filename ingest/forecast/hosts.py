"""Candidates by host of a whole input, in one pass over its URLs, and the time that hosts need."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from ingest.forecast.interval import CERTAIN_CANDIDATES
from ingest.forecast.sample import Sample, url_host
from ingest.host_counts import HostCounts
from ingest.sources import read_urls, split_input
from schemas.forecast import HostForecast
from schemas.options import PlanOptions

# Of the hosts in these `canonical_url` changes nothing but the case.
_PLAIN_URL = (
    r"^https?://(?:[A-Za-z0-9-]{1,63}\.)*[A-Za-z][A-Za-z0-9-]{0,62}(?::[0-9]{1,4})?(?:/[!-~]*)?$"
)
# An expression that never has to look back: together they take an eighth of the time of one.
_HOST = r"^https?://(?P<host>[^/:]*)"
_SHOWN_RATE = 1.0
# Requests for a candidate, and limits of single hosts, may put a smaller host first.
_LOOKED_AT, _LISTED = 1000, 20


def count_hosts(
    uris: Iterable[str], options: PlanOptions, on_rows: Callable[[str, int], None]
) -> HostCounts:
    """How many rows name each host; rows without a host are not counted, nor files of folders."""
    counts = HostCounts()
    for uri in uris:
        for piece in split_input(uri, options):
            for urls in read_urls(piece, options):
                counts.add(hosts_of_batch(urls))
                on_rows(uri, len(urls))
    return counts


def hosts_of_batch(urls: pa.Array) -> Counter[str]:
    """The hosts of a string array of URLs and how often each occurs."""
    is_plain = pc.fill_null(pc.match_substring_regex(urls, _PLAIN_URL), False)
    plain = pc.struct_field(pc.extract_regex(urls.filter(is_plain), _HOST), "host")
    hosts = _value_counts(pc.utf8_lower(plain))
    for url, count in _value_counts(urls.filter(pc.invert(is_plain))).items():
        host = url_host(url) if url else None
        if host is not None:
            hosts[host] += count
    return hosts


def forecast_hosts(
    counts: HostCounts, taken_share: float, sample: Sample, rate_of: Callable[[str], float]
) -> tuple[HostForecast, ...]:
    """The hosts that need longest; `rate_of`: requests/s to a host, 0: unlimited.

    Requests for a candidate are those of the host's own candidates in the sample if these are
    enough, else those of all: redirects to the same host and retries, but not robots.txt.
    """
    per_host, per_any = _requests_per_candidate(sample)
    hosts = []
    for host, count in counts.heaviest(_LOOKED_AT):
        num_candidates, rate = round(count * taken_share), rate_of(host)
        requests = round(per_host.get(host, per_any), 3)
        hosts.append(
            HostForecast(
                host=host,
                num_candidates=num_candidates,
                requests_per_candidate=requests,
                requests_per_s=rate,
                hours=round(num_candidates * requests / (rate or _SHOWN_RATE) / 3600, 4),
            )
        )
    return tuple(sorted(hosts, key=lambda one: (-one.hours, one.host))[:_LISTED])


def _requests_per_candidate(sample: Sample) -> tuple[Mapping[str, float], float]:
    """Mean number of requests of a candidate, by host and over all that have a host."""
    requests: Counter[str] = Counter()
    candidates: Counter[str] = Counter()
    for host, count in zip(sample.hosts, sample.requests, strict=True):
        if host is not None:
            requests[host] += int(count)
            candidates[host] += 1
    all_hosts = requests.total() / max(1, candidates.total())
    own = {
        host: requests[host] / count
        for host, count in candidates.items()
        if count >= CERTAIN_CANDIDATES
    }
    return own, all_hosts


def _value_counts(values: pa.Array) -> Counter[str]:
    counted = pc.value_counts(values)
    return Counter(
        dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))
    )
