import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import UrlError
from ingest.fetch.url import canonical_url, host_of, origin_of, redirect_target
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
        ("http://[::1]:80/é", "http://[::1]:80/%C3%A9"),
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
        ("http://A.example:80/x", "a.example"),
        ("https://a.example/", "a.example"),
        ("http://[::1]:8080/x", "[::1]"),
        ("http://user:pw@a.example/x", "a.example"),
    ],
)
def test_the_host_is_without_port_and_user(url, host):
    assert host_of(url) == host
