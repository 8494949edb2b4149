import asyncio

import pytest

from ingest.errors import FetchError
from ingest.fetch.address_guard import AddressGuard
from ingest.fetch.resolver import Resolver
from ingest.miniweb.dns_message import Kind, Record, Status
from ingest.miniweb.nameserver import NameServer, Reply
from schemas.options import FetchOptions
from schemas.outcome import Outcome


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def ask(names, hosts, *, allow=(), pause_s=0.0):
    """The addresses or the outcome of each host in turn, and the names that were asked for."""
    clock = Clock()

    async def one(resolver, host):
        try:
            return await resolver.addresses(host)
        except FetchError as error:
            return error.outcome

    async def run():
        async with NameServer(names) as server:
            options = FetchOptions(nameserver=(f"127.0.0.1:{server.port}",))
            resolver = Resolver(options, AddressGuard(allow), clock)
            found = []
            for host in hosts:
                if isinstance(host, tuple):
                    found.append(await asyncio.gather(*(one(resolver, name) for name in host)))
                else:
                    found.append(await one(resolver, host))
                clock.now += pause_s
            await resolver.close()
            return found, [query.name for query in server.queries() if query.kind == Kind.A]

    return asyncio.run(run())


def addresses(*values, ttl_s=60):
    return Reply(tuple(Record(Kind.A, value, ttl_s) for value in values))


GOOD = {"a.test": (addresses("93.184.215.14"),)}


def test_an_answer_is_asked_for_once_as_long_as_it_lives():
    found, asked = ask(GOOD, ["a.test"] * 3)
    assert (found, asked) == ([("93.184.215.14",)] * 3, ["a.test"])
    # c-ares keeps answers, too, by a clock of its own.
    brief = {"a.test": (addresses("93.184.215.14", ttl_s=0),)}
    _, asked = ask(brief, ["a.test"] * 3, pause_s=10.0)
    assert asked == ["a.test"] * 3


def test_all_who_ask_at_once_share_one_question():
    found, asked = ask(GOOD, [("a.test",) * 10])
    assert found == [[("93.184.215.14",)] * 10]
    assert asked == ["a.test"]


def test_a_name_that_is_not_there_is_not_asked_for_again():
    names = {"none.test": (Reply(status=Status.NO_SUCH_NAME),)}
    found, asked = ask(names, ["none.test"] * 3, pause_s=100.0)
    assert (found, asked) == ([Outcome.DNS] * 3, ["none.test"])


@pytest.mark.parametrize(
    "values", [("10.0.0.1",), ("93.184.215.14", "127.0.0.1"), ("169.254.169.254",), ("0.0.0.0",)]
)
def test_one_private_address_is_enough_to_refuse_a_host(values):
    found, _ = ask({"a.test": (addresses(*values),)}, ["a.test"])
    assert found == [Outcome.FORBIDDEN_ADDRESS]


def test_a_network_may_be_allowed():
    names = {"a.test": (addresses("10.0.0.1"),)}
    assert ask(names, ["a.test"], allow=("10.0.0.0/8",))[0] == [("10.0.0.1",)]


def test_a_name_that_changes_its_mind_is_checked_again():
    names = {"a.test": (addresses("93.184.215.14", ttl_s=0), addresses("127.0.0.1", ttl_s=0))}
    found, _ = ask(names, ["a.test"] * 2, pause_s=10.0)
    assert found == [("93.184.215.14",), Outcome.FORBIDDEN_ADDRESS]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", "127.0.0.1"),
        ("x.localhost", "127.0.0.1"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_some_hosts_need_no_name_server(host, expected):
    found, asked = ask({}, [host], allow=("0.0.0.0/0", "::/0"))
    assert (found, asked) == ([(expected,)], [])
