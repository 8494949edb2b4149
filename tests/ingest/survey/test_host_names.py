import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.survey.host_names import (
    host_name,
    hosts_as_written,
    last_label,
    registered_domain,
    suffix_list_version,
)


def host(url):
    (written,) = hosts_as_written(pa.chunked_array([pa.array([url], pa.string())])).to_pylist()
    return host_name(written) if written else None


@pytest.mark.parametrize(
    ("url", "expected", "domain", "label"),
    [
        ("http://img.example.co.uk/x", "img.example.co.uk", "example.co.uk", "uk"),
        ("HTTPS://User:pass@WWW.Example.DE:443?x", "www.example.de", "example.de", "de"),
        ("http://bücher.example.jp/", "xn--bcher-kva.example.jp", "example.jp", "jp"),
        (
            "http://картинки.рф/1",
            "xn--80aqafcrtq.xn--p1ai",
            "xn--80aqafcrtq.xn--p1ai",
            "xn--p1ai",
        ),
        ("http://example.com.", "example.com", "example.com", "com"),
        ("http://someone.github.io/x", "someone.github.io", "github.io", "io"),
        ("http://192.0.2.7:8080/x", "192.0.2.7", "192.0.2.7", None),
        ("http://0x7f.1/x", "127.0.0.1", "127.0.0.1", None),
        ("http://[2001:db8::1]:80/x", "[2001:db8::1]", "[2001:db8::1]", None),
        ("http://localhost/x", "localhost", "localhost", "localhost"),
        ("http://co.uk/x", "co.uk", "co.uk", "uk"),
        ("http://a.unknown-suffix/x", "a.unknown-suffix", "a.unknown-suffix", "unknown-suffix"),
        ("http://x@y@example.org/x", "example.org", "example.org", "org"),
    ],
)
def test_hosts_are_read_in_one_spelling(url, expected, domain, label):
    found = host(url)
    assert found == expected
    assert registered_domain(found) == domain
    assert last_label(found) == label


@pytest.mark.parametrize(
    "url",
    [
        *(None, "", "http://", "http:///x", "http://[x/y", "http://a b/", "gs://bucket/x", "/x/y"),
        *("data:image/png;base64,x", "http://example.org:port/x"),
        "http://é..b/",
    ],
)
def test_what_names_no_host_has_none(url):
    assert host(url) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_no_host_is_too_strange(text):
    found = host(f"http://{text}/")
    if found is not None:
        assert found.isascii()
        assert registered_domain(found)
        assert last_label(found) != ""


def test_the_list_of_suffixes_has_a_version():
    assert suffix_list_version().count(".") >= 2
