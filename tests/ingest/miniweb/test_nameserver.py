import struct
import time

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.miniweb.dns_message import Kind, Record, Status, read_question, write_answer
from ingest.miniweb.nameserver import Reply, Trick
from ingest.miniweb.server import Manner
from ingest.miniweb.site import Site


def a(*addresses, **options):
    return Reply(tuple(Record(Kind.A, address) for address in addresses), **options)


@pytest.fixture
def ask(serve):
    """A function that serves names and asks for one of them."""

    def start(names):
        server = serve(Site(), manner=Manner(names=names)).nameserver

        def query(name, kind="A", over=dns.query.udp):
            message = dns.message.make_query(name, kind)
            return over(message, "127.0.0.1", port=server.port, timeout=3)

        query.server = server
        return query

    return start


def addresses(answer):
    return [
        item.address for records in answer.answer for item in records if hasattr(item, "address")
    ]


@pytest.mark.parametrize("over", [dns.query.udp, dns.query.tcp])
def test_addresses_of_both_families_are_told_and_queries_remembered(ask, over):
    six = Reply((Record(Kind.A, "127.0.0.1"), Record(Kind.AAAA, "::1")))
    query = ask({"both.test": (six,)})
    began = time.monotonic()
    assert addresses(query("both.test", over=over)) == ["127.0.0.1"]
    assert addresses(query("BOTH.test", "AAAA", over=over)) == ["::1"]
    assert [(one.name, one.kind) for one in query.server.queries()] == [
        ("both.test", Kind.A),
        ("both.test", Kind.AAAA),
    ]
    assert all(began <= one.at_s <= time.monotonic() for one in query.server.queries())


def test_a_name_can_change_its_mind_for_each_type(ask):
    query = ask({"rebind.test": (a("127.0.0.1"), a("10.0.0.1"))})
    assert [addresses(query("rebind.test")) for _ in range(3)] == [
        ["127.0.0.1"],
        ["10.0.0.1"],
        ["10.0.0.1"],
    ]


def test_unknown_names_are_denied_for_no_time_and_localhost_is_loopback(ask):
    query = ask({"failing.test": (Reply(status=Status.SERVER_FAILURE),), "empty.test": (Reply(),)})
    unknown = query("unknown.test")
    assert unknown.rcode() == dns.rcode.NXDOMAIN
    assert unknown.authority[0][0].minimum == 0
    assert query("failing.test").rcode() == dns.rcode.SERVFAIL
    assert (query("empty.test").rcode(), query("empty.test").answer) == (dns.rcode.NOERROR, [])
    assert addresses(query("any.localhost")) == ["127.0.0.1"]


def test_aliases_come_with_what_they_lead_to_and_circles_end(ask):
    query = ask(
        {
            "one.test": (Reply((Record(Kind.CNAME, "two.test"),)),),
            "two.test": (a("127.0.0.1"),),
            "circle.test": (Reply((Record(Kind.CNAME, "circle.test"),)),),
        }
    )
    found = query("one.test")
    assert [records.name.to_text() for records in found.answer] == ["one.test.", "two.test."]
    assert addresses(found) == ["127.0.0.1"]
    assert addresses(query("circle.test")) == []


def test_long_answers_are_cut_over_udp_and_whole_over_tcp(ask):
    query = ask({"long.test": (a(*(f"10.0.{n // 250}.{n % 250}" for n in range(1500))),)})
    short = query("long.test")
    assert short.flags & dns.flags.TC
    assert addresses(short) == []
    assert len(addresses(query("long.test", over=dns.query.tcp))) == 1500


@pytest.mark.parametrize(
    ("trick", "error"),
    [
        (Trick.SILENT, dns.exception.Timeout),
        (Trick.WRONG_NUMBER, dns.query.BadResponse),
        (Trick.WRONG_QUESTION, dns.query.BadResponse),
        (Trick.POINTER_LOOP, dns.exception.DNSException),
        (Trick.GARBAGE, dns.exception.DNSException),
        (Trick.SHORT, dns.exception.FormError),
    ],
)
def test_each_trick_is_seen_through_by_a_careful_client(ask, trick, error):
    query = ask({"trick.test": (a("127.0.0.1", trick=trick),)})
    with pytest.raises(error):
        query("trick.test")


def test_a_cut_answer_may_never_come_over_tcp(ask):
    query = ask({"trick.test": (a("127.0.0.1", trick=Trick.SILENT_TCP),)})
    assert query("trick.test").flags & dns.flags.TC
    with pytest.raises(dns.exception.Timeout):
        query("trick.test", over=dns.query.tcp)


@given(message=st.binary(max_size=80))
def test_any_bytes_are_a_question_or_a_value_error(message):
    try:
        question = read_question(message)
    except ValueError:
        return
    assert write_answer(question, (), Status.OK)[:2] == message[:2]


def test_a_question_says_what_is_wrong_with_it():
    with pytest.raises(ValueError, match="expected 12 bytes of header, got 3"):
        read_question(b"abc")
    with pytest.raises(ValueError, match="got 2"):
        read_question(struct.pack(">HHHHHH", 1, 0, 2, 0, 0, 0))
    with pytest.raises(ValueError, match="at most 63 bytes, got 192"):
        read_question(struct.pack(">HHHHHH", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c")
