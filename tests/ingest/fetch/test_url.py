import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import UrlError
from ingest.fetch.url import (
    _PLAIN_URL,
    _encode,
    _split,
    canonical_url,
    host_and_port,
    host_of,
    origin_of,
    path_of,
    redirect_target,
)
from schemas.outcome import Outcome


@pytest.mark.parametrize(
    ("given_url", "wire"),
    [
        ("http://a.example/x.jpg", "http://a.example/x.jpg"),
        ("http://a.example", "http://a.example/"),
        ("http://a.example?q=1", "http://a.example/?q=1"),
        ("  http://a.example/x y.jpg\n", "http://a.example/x%20y.jpg"),
        ("http://a.example/é.jpg?ü=1", "http://a.example/%C3%A9.jpg?%C3%BC=1"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://a.example/%41%2f?b=%20", "http://a.example/%41%2f?b=%20"),
        ("http://a.example/x#part", "http://a.example/x"),
        ("http://user:pw@a.example:8080/x é", "http://a.example:8080/x%20%C3%A9"),
        ("http://[::1]:80/é", "http://[::1]/%C3%A9"),
        ("https://a.example:443/x", "https://a.example/x"),
        ("http://a.example:8080/x", "http://a.example:8080/x"),
        ("http://A.Example/x", "http://a.example/x"),
        ("http://a.example./x", "http://a.example/x"),
        ("http://localhost./x", "http://localhost/x"),
        ("http://0x7f000001/x", "http://127.0.0.1/x"),
        ("http://0X7F.1/x", "http://127.0.0.1/x"),
        ("http://2130706433/x", "http://127.0.0.1/x"),
        ("http://0177.0.0.1/x", "http://127.0.0.1/x"),
        ("http://127.1/x", "http://127.0.0.1/x"),
        ("http://0/x", "http://0.0.0.0/x"),
        ("http://192.168.257/x", "http://192.168.1.1/x"),
        ("http://127.0.0.1./x", "http://127.0.0.1/x"),
        ("http://%31%30.0.0.1/x", "http://10.0.0.1/x"),
        ("http://\uff11\uff10\u30020.0.1/x", "http://10.0.0.1/x"),
        ("http://[::FFFF:10.0.0.1]/x", "http://[::ffff:a00:1]/x"),
        ("http:\\\\a.example\\x", "http://a.example/x"),
        ("http://a.example/a\\b", "http://a.example/a/b"),
        ("http://user:pw@a.example/x", "http://a.example/x"),
        ("http://a.example/@x", "http://a.example/@x"),
    ],
)
def test_urls_go_over_the_wire_as_browsers_send_them(given_url, wire):
    assert canonical_url(given_url) == wire


@pytest.mark.parametrize(
    "url",
    [
        *("", "x.jpg", "ftp://a/x", "file:///etc/passwd", "data:image/png;base64,AA", "http://"),
        *("http://1.2.3.256/", "http://1.2.3.4.5/", "http://0x100000000/", "http://08.0.0.1/"),
        *("http://a b/", "http://a%2fb/", "http://./", "http://[::1%25eth0]/"),
        *("http:///x", "javascript:alert(1)", "http://[::1/x", "http://a:b/x", "http://a:99999/x"),
        "http://" + "a" * 20_000,
    ],
)
def test_what_is_no_http_url_is_refused(url):
    with pytest.raises(UrlError) as refused:
        canonical_url(url)
    assert refused.value.outcome is Outcome.INVALID_URL


@given(st.text(max_size=60))
def test_any_text_gives_an_ascii_url_or_a_refusal(text):
    try:
        url = canonical_url("http://a.example/" + text)
    except UrlError:
        return
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert canonical_url(url) == url


@given(st.from_regex(_PLAIN_URL, fullmatch=True))
def test_urls_that_are_plain_at_a_glance_need_no_change(url):
    with contextlib.suppress(UrlError):  # A label that is too long.
        assert _encode(_split(url)).removesuffix("?") == url.removesuffix("?")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/y", "http://a.example/y"),
        ("y", "http://a.example/d/y"),
        ("//b.example/y", "http://b.example/y"),
        ("https://b.example/y", "https://b.example/y"),
        ("?q=1", "http://a.example/d/x?q=1"),
    ],
)
def test_redirects_are_resolved_against_their_url(location, target):
    assert redirect_target("http://a.example/d/x", location) == target


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://b/", "http://[", "gopher://x"])
def test_redirects_leave_http_for_nothing(location):
    with pytest.raises(UrlError) as refused:
        redirect_target("http://a.example/x", location)
    assert refused.value.outcome is Outcome.BAD_REDIRECT


def test_origin_ends_before_the_path():
    assert origin_of("https://a.example:8443/x/y?z=//") == "https://a.example:8443"


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://a.example:8080/x", "a.example"),
        ("https://a.example/", "a.example"),
        ("http://[::1]:8080/x", "[::1]"),
    ],
)
def test_the_host_is_without_its_port(url, host):
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("origin", "place"),
    [
        ("http://a.example", ("a.example", 80)),
        ("https://a.example", ("a.example", 443)),
        ("http://a.example:8080", ("a.example", 8080)),
        ("https://[2001:db8::1]", ("[2001:db8::1]", 443)),
        ("http://[2001:db8::1]:81", ("[2001:db8::1]", 81)),
    ],
)
def test_the_port_is_the_given_or_the_usual_one(origin, place):
    assert host_and_port(origin) == place


def test_path_and_query_are_what_robots_rules_match():
    assert path_of("https://a.example:8443/x/y?z=//") == "/x/y?z=//"
