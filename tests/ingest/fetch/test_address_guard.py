import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import SetupError
from ingest.fetch.address_guard import AddressGuard, is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "2002:0a00:0001::",
        "64:ff9b::7f00:1",
        "2001:db8::1",
        "not an address",
        "",
    ],
)
def test_private_and_special_addresses_are_refused(address):
    assert not AddressGuard(()).permits(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses_are_permitted(address):
    assert AddressGuard(()).permits(address)


def test_an_allowed_network_opens_itself_only():
    guard = AddressGuard(("127.0.0.0/8", "::1/128"))
    assert guard.permits("127.9.9.9")
    assert guard.permits("::1")
    assert not guard.permits("10.0.0.1")


def test_a_malformed_network_names_what_came():
    with pytest.raises(SetupError, match=r"such as 127\.0\.0\.0/8, got 'localhost'"):
        AddressGuard(("localhost",))


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_an_ipv4_address_hidden_in_ipv6_is_judged_like_itself(address):
    guard = AddressGuard(())
    mapped = ipaddress.IPv6Address(0xFFFF << 32 | int(address))
    if not is_public(address):
        assert not guard.permits(str(mapped))
        assert not guard.permits(str(ipaddress.IPv6Address(0x2002 << 112 | int(address) << 80)))
