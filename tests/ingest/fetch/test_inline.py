from base64 import b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import UrlError
from ingest.fetch.inline import check_url, inline_bytes, is_inline
from schemas.outcome import Outcome


@given(st.binary(max_size=200))
def test_bytes_come_back_from_both_encodings(content):
    assert inline_bytes("data:image/png;base64," + b64encode(content).decode()) == content
    assert inline_bytes("DATA:image/png," + quote(content)) == content


@pytest.mark.parametrize(
    ("url", "content"),
    [
        ("data:,a%20b", b"a b"),
        ("data:;base64,YQ", b"a"),
        ("data:image/png; base64,Y Q\n=%3D", b"a"),
        ("data:text/plain;charset=utf-8,x,y", b"x,y"),
        ("data:,", b""),
    ],
)
def test_odd_forms_are_read_as_browsers_do(url, content):
    assert inline_bytes(url) == content


@pytest.mark.parametrize(
    "url", ["data:", "data:image/png;base64", "data:;base64,?", "data:;base64,YQA!"]
)
def test_broken_ones_are_refused(url):
    with pytest.raises(UrlError) as refused:
        inline_bytes(url)
    assert refused.value.outcome is Outcome.INVALID_URL


def test_other_urls_are_checked_as_urls():
    assert not is_inline("http://a.example/data:")
    check_url("http://a.example/x")
    with pytest.raises(UrlError):
        check_url("ftp://a.example/x")
