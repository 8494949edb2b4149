import gzip
import zlib
from contextlib import suppress

import imagecodecs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import FetchError
from ingest.sources.archived_response import read_record
from schemas.outcome import Outcome
from tests.archives import WARC_DATE, record, response

BODY = b"\xff\xd8\xff" + bytes(range(200)) * 5
URL = "https://a.example/i.jpg"


def chunked(body):
    half = len(body) // 2
    return b"%x;a=b\r\n%s\r\n%X\r\n%s\r\n0\r\n\r\n" % (
        half,
        body[:half],
        len(body) - half,
        body[half:],
    )


def raw_deflate(body):
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(body) + deflater.flush()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_record_gives_status_headers_and_body(pack):
    answer = read_record(pack(response(URL, BODY, "image/jpeg", 203, ["A: 1", "A: 2"])), 10**6)
    assert (answer.url, answer.status, answer.warc_date) == (URL, 203, WARC_DATE)
    assert answer.body == BODY
    assert [value for name, value in answer.headers if name == "A"] == ["1", "2"]
    assert answer.header("CONTENT-type") == "image/jpeg"


def test_a_resource_is_its_own_body():
    answer = read_record(record("resource", BODY, f"<{URL}>", "image/jpeg"), 10**6)
    assert (answer.url, answer.status, answer.body) == (URL, 200, BODY)
    assert answer.headers == [("Content-Type", "image/jpeg")]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (chunked(BODY), ["Transfer-Encoding: chunked"]),
        (BODY, ["transfer-encoding: chunked"]),
        (gzip.compress(BODY), ["Content-Encoding: gzip"]),
        (BODY, ["Content-Encoding: gzip"]),
        (zlib.compress(BODY), ["Content-Encoding: deflate"]),
        (raw_deflate(BODY), ["Content-Encoding: deflate"]),
        (BODY, []),
        (imagecodecs.brotli_encode(BODY), ["Content-Encoding: br"]),
        (imagecodecs.zstd_encode(BODY), ["Content-Encoding: zstd"]),
        (
            chunked(gzip.compress(zlib.compress(BODY))),
            ["Content-Encoding: deflate, gzip", "Transfer-Encoding: chunked"],
        ),
        (BODY, ["Content-Encoding: identity"]),
    ],
)
def test_encodings_are_undone(body, headers):
    assert read_record(response(URL, body, "image/jpeg", headers=headers), 10**6).body == BODY


BOMB = bytes(20_000_000)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(BOMB)),
        ("deflate", zlib.compress(BOMB)),
        ("br", imagecodecs.brotli_encode(BOMB, level=1)),
        ("identity", BOMB),
    ],
)
def test_no_more_than_the_cap_is_inflated(coding, body):
    content = gzip.compress(
        response(URL, body, "image/png", headers=[f"Content-Encoding: {coding}"])
    )
    with pytest.raises(FetchError, match="expected at most") as error:
        read_record(content, 100_000)
    assert error.value.outcome == Outcome.TOO_LARGE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no record",
        gzip.compress(response(URL, BODY, "a"))[:-20],
        response(URL, BODY, "a")[:-200],
        record("response", b"SSH-2.0", URL),
        record("response", b"HTTP/1.1 abc\r\n\r\n", URL),
        response(URL, chunked(BODY)[:-300], "a", headers=["Transfer-Encoding: chunked"]),
        response(URL, gzip.compress(BODY)[:-30], "a", headers=["Content-Encoding: gzip"]),
        response(URL, BODY, "a", headers=["Content-Encoding: deflate"]),
        response(URL, BODY, "a", headers=["Content-Encoding: br"]),
        response(URL, BODY, "a", headers=["Content-Encoding: zstd"]),
    ],
)
def test_what_is_broken_is_unreadable(content):
    with pytest.raises(FetchError) as error:
        read_record(content, 10**6)
    assert error.value.outcome == Outcome.UNREADABLE


CODED = response(
    URL,
    chunked(gzip.compress(BODY)),
    "a",
    headers=["Content-Encoding: gzip", "Transfer-Encoding: chunked"],
)


@given(st.binary(max_size=40), st.integers(0, len(CODED)))
def test_damage_is_read_or_refused(damage, at):
    with suppress(FetchError):
        assert (
            len(read_record(CODED[:at] + damage + CODED[at + len(damage) :], 10**5).body) <= 10**5
        )
