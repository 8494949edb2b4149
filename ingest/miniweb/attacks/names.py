"""Host names that change, lead inwards, or have no answer; they need the kit's name server."""

from ingest.miniweb.attacks.kit import PORT, Attack, Kit, good_page
from ingest.miniweb.dns_message import Kind, Record, Status
from ingest.miniweb.nameserver import Reply, Trick
from ingest.miniweb.ports import ADDRESS
from schemas.outcome import Outcome

# Nobody can own a name below .test (RFC 6761), so no crawl gets there by accident.
DOMAIN = "attack.test"
_GUARD, _RESOLVER = "the address guard", "the resolver"
_INSIDE = "10.0.0.1"


def add_names(kit: Kit) -> None:
    """All tricks of a name server."""
    _add_inward(kit)
    _add_failures(kit)
    _add_tricks(kit)
    _add_odd_but_good(kit)


def _add(kit: Kit, name: str, replies: tuple[Reply, ...], what: str, *outcomes: Outcome) -> None:
    """A name, and a good page behind it wherever it leads to this web."""
    host = f"{name}.{DOMAIN}"
    kit.names[host] = replies
    kit.site.add(host, "/x.jpg", good_page())
    limit = _GUARD if Outcome.FORBIDDEN_ADDRESS in outcomes else _RESOLVER
    url = f"http://{host}:{PORT}/x.jpg"
    kit.attacks.append(Attack(f"name-{name}", what, url, outcomes, limit))


def _a(*addresses: str, ttl_s: int = 0) -> Reply:
    return Reply(tuple(Record(Kind.A, address, ttl_s) for address in addresses))


def _aaaa(address: str) -> Reply:
    return Reply((Record(Kind.AAAA, address),))


def _alias(name: str) -> Reply:
    return Reply((Record(Kind.CNAME, name),))


def _add_inward(kit: Kit) -> None:
    inside, kept = Outcome.FORBIDDEN_ADDRESS, Outcome.KEPT
    turns = (_a(ADDRESS), _a(_INSIDE))
    _add(kit, "rebinding", turns, "first an address outside, then 10.0.0.1", kept, inside)
    back = (_a(_INSIDE), _a(ADDRESS))
    _add(kit, "rebinding-back", back, "first 10.0.0.1, then outside", inside, kept)
    both = (_a(_INSIDE, ADDRESS),)
    _add(kit, "both", both, "an address inside and one outside", kept, inside)
    for name, reply, what in (
        ("private", _a(_INSIDE), "10.0.0.1"),
        ("metadata", _a("169.254.169.254"), "169.254.169.254"),
        ("zero", _a("0.0.0.0"), "0.0.0.0"),
        ("loopback-two", _a("127.0.0.2"), "127.0.0.2"),
        ("loopback-six", _aaaa("::1"), "::1"),
        ("mapped", _aaaa("::ffff:10.0.0.1"), "10.0.0.1 in IPv6"),
        ("nat64", _aaaa("64:ff9b::a00:1"), "10.0.0.1 behind NAT64"),
        ("six-to-four", _aaaa("2002:a00:1::"), "10.0.0.1 behind 6to4"),
        ("alias-inward", _alias(f"private.{DOMAIN}"), "an alias of a private name"),
        (
            "many",
            _a(*(f"10.0.{n // 250}.{n % 250}" for n in range(1500))),
            "1,500 private addresses",
        ),
    ):
        _add(kit, name, (reply,), f"a name for {what}", inside)


def _add_failures(kit: Kit) -> None:
    dns = Outcome.DNS
    for name, reply, what in (
        ("nowhere", Reply(status=Status.NO_SUCH_NAME), "no such name"),
        ("empty", Reply(), "a name without address"),
        ("failing", Reply(status=Status.SERVER_FAILURE), "a server failure"),
        ("refused", Reply(status=Status.REFUSED), "a refusal"),
        ("format", Reply(status=Status.FORMAT_ERROR), "a server that understands nothing"),
        ("circle", _alias(f"circle-back.{DOMAIN}"), "an alias of its alias"),
        ("self", _alias(f"self.{DOMAIN}"), "an alias of itself"),
        ("dangling", _alias(f"nothing-here.{DOMAIN}"), "an alias of no name"),
        ("chain", _alias(f"chain-0.{DOMAIN}"), "100 aliases in a row"),
    ):
        _add(kit, name, (reply,), what, dns)
    kit.names[f"circle-back.{DOMAIN}"] = (_alias(f"circle.{DOMAIN}"),)
    for number in range(100):
        kit.names[f"chain-{number}.{DOMAIN}"] = (_alias(f"chain-{number + 1}.{DOMAIN}"),)
    kit.names[f"chain-100.{DOMAIN}"] = (_a(ADDRESS),)


def _add_tricks(kit: Kit) -> None:
    for trick, what in (
        (Trick.SILENT, "no answer"),
        (Trick.SILENT_TCP, "cut short over UDP, no answer over TCP"),
        (Trick.WRONG_NUMBER, "an answer to another query's number"),
        (Trick.WRONG_QUESTION, "an answer to another question"),
        (Trick.POINTER_LOOP, "a compressed name that points at itself"),
        (Trick.GARBAGE, "noise for an answer"),
        (Trick.SHORT, "an answer that ends in a record"),
    ):
        name = trick.name.lower().replace("_", "-")
        reply = Reply((Record(Kind.A, ADDRESS),), trick=trick)
        _add(kit, name, (reply,), what, Outcome.DNS)


def _add_odd_but_good(kit: Kit) -> None:
    kept = Outcome.KEPT
    _add(kit, "plain", (_a(ADDRESS, ttl_s=300),), "an ordinary name", kept)
    _add(kit, "alias", (_alias(f"plain.{DOMAIN}"),), "an alias of an ordinary name", kept)
    large = (_a(*[ADDRESS] * 60),)
    _add(kit, "truncated", large, "an answer too long for UDP", kept)
    later = (Reply(status=Status.SERVER_FAILURE), _a(ADDRESS))
    _add(kit, "second-try", later, "a server failure the first time", kept, Outcome.DNS)
