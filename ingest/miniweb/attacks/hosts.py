"""Hosts that misbehave as a whole: robots.txt, storms of 429, and dead ones with many URLs."""

from ingest.miniweb.attacks.kit import DOMAIN, PORT, Attack, Kit, good_page
from ingest.miniweb.compression import gzip_bomb
from ingest.miniweb.site import Delivery, Headers, Page, Repeat, Reset, Send, redirect
from ingest.miniweb.wire import NOISE
from schemas.outcome import Outcome

_ROBOTS_BYTES = "512 KiB of robots.txt"
# Rules times agents: 60 kB that a parser may turn into four million entries.
_ROGUE_AGENTS = 2000
_TEXT = (("Content-Type", "text/plain"),)
_ALLOW = b"User-agent: *\nAllow: /\n"


def add_hosts(kit: Kit, num_dead_urls: int) -> None:
    """Everything that concerns more than one answer."""
    _add_robots(kit)
    _add_robots_failures(kit)
    _add_storms(kit)
    _add_dead(kit, num_dead_urls)


def _add_robots(kit: Kit) -> None:
    """robots.txt files that must be read as far as they go (RFC 9309, section 2.5)."""
    ending = b"User-agent: *\nDisallow: /private/\n"
    wild = b"User-agent: *\nDisallow: /" + b"*x" * 40 + b"*y\n"
    bomb = Page(gzip_bomb(64 << 20), headers=(*_TEXT, ("Content-Encoding", "gzip")))
    rules = b"".join(b"Disallow: /%d/*/%d$\n" % (number, number) for number in range(20_000))
    agents = b"".join(b"User-agent: a%d\n" % number for number in range(_ROGUE_AGENTS))
    agents += b"".join(b"Allow: /%d\n" % number for number in range(_ROGUE_AGENTS))
    for name, page, what, limit in (
        ("agents", Page(agents), f"{_ROGUE_AGENTS:,} agents with as many rules", "one group"),
        ("endless", Page(delivery=Delivery.ENDLESS), "without end", _ROBOTS_BYTES),
        ("one-line", Page(b"#" * 5_000_000), "a line of 5 MB", _ROBOTS_BYTES),
        ("gzip-bomb", bomb, "64 MiB in 64 kB of gzip", _ROBOTS_BYTES),
        ("binary", Page(NOISE[:100_000]), "noise", "reading as UTF-8, errors replaced"),
        ("nul", Page(bytes(1000) + ending), "a thousand NULs", "the parser"),
        (
            "many-rules",
            Page(b"User-agent: *\n" + rules),
            "20,000 rules with wildcards",
            "the parser",
        ),
        ("loop", redirect("/robots.txt"), "a redirect to itself", "five redirects"),
        ("to-file", redirect("file:///etc/passwd"), "a redirect to a file", "http and https only"),
    ):
        what = f"robots.txt: {what}"
        host = kit.page(f"robots-{name}", good_page(), what, limit, Outcome.KEPT)
        kit.site.add(host, "/robots.txt", page)
    host = f"robots-wildcards.{DOMAIN}"
    path = "/" + "x" * 60 + ".jpg"
    kit.site.add(host, "/robots.txt", Page(wild, headers=_TEXT))
    kit.site.add(host, path, good_page())
    what, url = "robots.txt: a rule of 40 wildcards", f"http://{host}:{PORT}{path}"
    kept = (Outcome.KEPT, Outcome.ROBOTS_UNAVAILABLE)
    kit.attacks.append(
        Attack("robots-wildcards", what, url, kept, "a matcher without backtracking")
    )


def _add_robots_failures(kit: Kit) -> None:
    """Where robots.txt cannot be had, nothing is asked for (RFC 9309, section 2.3.1.4)."""
    flood = Page(steps=(Send(b"HTTP/1.1 200 OK\r\n"), Repeat(b"X-More: yes\r\n" * 1000)))
    unavailable = Outcome.ROBOTS_UNAVAILABLE
    for name, page, what, limit, outcomes in (
        (
            "drip",
            Page(delivery=Delivery.DRIP),
            "a byte a second",
            "`--low-speed-s`",
            (unavailable,),
        ),
        ("silent", Page(delivery=Delivery.NEVER), "never comes", "`--timeout-s`", (unavailable,)),
        ("header-flood", flood, "endless headers", "libcurl: 300 KiB of header", (unavailable,)),
        ("broken", Page(b"", 503), "status 503", "RFC 9309", (unavailable,)),
        (
            "reset",
            Page(steps=(Reset(),)),
            "a reset",
            "RFC 9309",
            (unavailable, Outcome.CONNECT, Outcome.CONNECTION_LOST),
        ),
        (
            "inward",
            redirect("http://10.0.0.1/robots.txt"),
            "a redirect to 10.0.0.1",
            "the address guard",
            (unavailable, Outcome.FORBIDDEN_ADDRESS),
        ),
    ):
        host = kit.page(f"robots-{name}", good_page(), f"robots.txt: {what}", limit, *outcomes)
        kit.site.add(host, "/robots.txt", page)


def _add_storms(kit: Kit) -> None:
    """Hosts that refuse every request for now."""
    too_many = (Outcome.HTTP_429, Outcome.DEFERRED)
    for name, retry_after, what in (
        ("storm", None, "429 to everything"),
        ("storm-for-an-hour", "3600", "429 for an hour"),
        ("storm-for-a-moment", "0", "429 for no time at all"),
        ("storm-for-ever", "9" * 400, "429 for 10^400 seconds"),
        ("storm-negative", "-1", "429 for less than no time"),
        ("storm-undated", "Wed, 99 Nov 99999 99:99:99 GMT", "429 until an impossible day"),
        ("storm-long-date", "Fri, 31 Dec 9999 23:59:59 -2359", "429 until after the year 9999"),
        ("storm-garbage", "\xff;\x01", "429 until noise"),
    ):
        named: Headers = (("Retry-After", retry_after),) if retry_after else ()
        host = f"{name}.{DOMAIN}"
        kit.site.add(host, "/robots.txt", Page(_ALLOW, headers=_TEXT))
        kit.site.add(host, "*", Page(b"busy", 429, named))
        url = f"http://{host}:{PORT}/{{number}}.jpg"
        kit.attacks.append(Attack(name, what, url, too_many, "`--max-attempts`", 5))
    host = kit.page("robots-storm", good_page(), "robots.txt: 429", "RFC 9309", Outcome.KEPT)
    kit.site.add(host, "/robots.txt", Page(b"", 429, (("Retry-After", "3600"),)))


def _add_dead(kit: Kit, num_urls: int) -> None:
    """Hosts with many URLs that cost a time-out each, unless somebody notices."""
    silent = (Outcome.ROBOTS_UNAVAILABLE, Outcome.TIMEOUT, Outcome.CONNECT)
    for name, port, what, dead in (
        ("dead-host", "{full_port}", "takes no connection", silent),
        ("deaf-host", "{deaf_port}", "never answers", silent),
        ("closed-host", "{closed_port}", "refuses connections", (Outcome.CONNECT,)),
    ):
        url = f"http://{name}.{DOMAIN}:{port}/{{number}}.jpg"
        what = f"{num_urls:,} URLs of a host that {what}"
        kit.attacks.append(Attack(name, what, url, dead, "three failures of a host", num_urls))
    host = f"dying-host.{DOMAIN}"
    kit.site.add(host, "/robots.txt", Page(_ALLOW, headers=_TEXT))
    kit.site.add(host, "*", Page(delivery=Delivery.NEVER))
    url = f"http://{host}:{PORT}/{{number}}.jpg"
    what = f"{num_urls:,} URLs of a host that answers for robots.txt and nothing else"
    words = (Outcome.LOW_SPEED, Outcome.TIMEOUT)
    kit.attacks.append(Attack("dying-host", what, url, words, "three failures of a host", num_urls))
