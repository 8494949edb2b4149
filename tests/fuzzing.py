"""What is fuzzed: functions that read what strangers wrote, and inputs to begin from.

Each target either returns or raises IngestError, whose outcome the ledger records; all else is an
escape. `make test` tries some hundred inputs of each; `python -m tests.benchmarks.fuzz` goes on for
as long as it is told.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from hypothesis import strategies as st

from ingest.errors import IngestError
from ingest.fetch.crawler import retry_after_s
from ingest.fetch.inline import inline_bytes
from ingest.fetch.opt_out import read_opt_out
from ingest.fetch.publisher_files import parse_ai_txt, parse_tdmrep
from ingest.fetch.robots_rules import RobotsRules
from ingest.fetch.transfer import last_status, parse_headers
from ingest.fetch.url import canonical_url, host_of, path_of, redirect_target
from ingest.inspect.c2pa import training_mining
from ingest.inspect.decode import inspect_image
from ingest.inspect.header import sniff_format
from ingest.miniweb.pictures import web_pictures
from schemas.options import ConsentOptions

MAX_PIXELS = 4_000_000
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Target:
    """A function of bytes, words that it may know, and whole inputs to damage."""

    name: str
    run: Callable[[bytes], object]
    words: Sequence[bytes] = ()
    seeds: Callable[[], Sequence[bytes]] = tuple

    def escapes(self, content: bytes) -> bool:
        """Whether anything but an outcome comes of an input; MemoryError is one."""
        try:
            self.run(content)
        except (IngestError, MemoryError):
            return False
        except Exception:
            return True
        return False


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


def _url(content: bytes) -> None:
    url = canonical_url(_text(content))
    assert url.isascii()
    assert canonical_url(url) == url
    assert path_of(url).startswith("/")
    assert host_of(url)


def _headers(content: bytes) -> None:
    lines = content.splitlines(keepends=True)
    assert 0 <= last_status(lines) <= 999
    headers = parse_headers(lines)
    read_opt_out(headers, ConsentOptions(), "uncurated", NOW)
    for value in headers.get("retry-after", ()):
        retry_after_s(value, 0.0)


def _robots(content: bytes) -> None:
    rules = RobotsRules.parse(content, "uncurated")
    for path in ("/", "/a?b=c", _text(content[-50:])):
        rules.decide(path)
        rules.content_usage(path)


def _picture(content: bytes) -> None:
    sniff_format(content)
    inspect_image(content, MAX_PIXELS)


@cache
def _pictures() -> tuple[bytes, ...]:
    return tuple(picture.content for picture in web_pictures(7, 40))


_URL_WORDS = (
    *(b"http://", b"https://", b"//", b"\\", b"[::1]", b"[::ffff:1.2.3.4]", b"0x7f", b"1.2.3.4"),
    *(b"%2e", b"%", b"@", b":", b":80", b"#", b"?", b"/..", b"\xc3\xa9", b"\xef\xbc\x8e", b"xn--"),
)
_HEADER_WORDS = (
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/2 ", b"\r\n", b": ", b"X-Robots-Tag: ", b"noai", b", ", b":"),
    *(b"unavailable_after: ", b"25 Jun 2010 15:00:00 GMT", b"9999999999", b"uncurated: "),
    *(b"TDM-Reservation: 1", b"Content-Usage: train-ai=n", b"Retry-After: ", b"Location: /x"),
)
_ROBOTS_WORDS = (
    *(b"User-agent: *\n", b"user-agent:uncurated\r", b"Disallow: /", b"Allow: ", b"*", b"$", b"#"),
    *(b"Crawl-delay: 1e999\n", b"Content-Usage: /x train-ai=n\n", b"%2F", b"\xef\xbb\xbf", b"\n"),
)
_JSON_WORDS = (b"[", b"]", b"{", b"}", b'"location": "/x*$"', b'"tdm-reservation": 1', b",", b"1e9")
_BOX_WORDS = (
    *(b"\xff\xd8\xff\xeb\x00\x40JP\x00\x01\x00\x00\x00\x01", b"\x00\x00\x00\x20jumb", b"jumd"),
    *(b"\x00\x00\x00\x01jumb", b"cbor", b"\xa1gentries", b"c2pa.training-mining\x00", bytes(17)),
    *(b"\x89PNG\r\n\x1a\n\x00\x00\x00\x40caBX", b"RIFF\x00\x00\x00\x00WEBPC2PA\x40\x00\x00\x00"),
)

TARGETS = (
    Target("URLs", _url, _URL_WORDS),
    Target("redirects", lambda one: redirect_target("http://a/b", _text(one)), _URL_WORDS),
    Target("data: URLs", lambda one: inline_bytes("data:" + _text(one)), (b";base64,", b",", b"=")),
    Target("headers", _headers, _HEADER_WORDS),
    Target("robots.txt", _robots, _ROBOTS_WORDS),
    Target("tdmrep.json", lambda one: parse_tdmrep(one).decide("/x"), _JSON_WORDS),
    Target("ai.txt", lambda one: parse_ai_txt(one).decide("/x.jpg"), _ROBOTS_WORDS),
    Target("content credentials", training_mining, _BOX_WORDS),
    Target("pictures", _picture, seeds=_pictures),
)


def inputs(target: Target) -> st.SearchStrategy[bytes]:
    """Words of the target among arbitrary bytes; or its seeds, damaged."""
    if seeds := target.seeds():
        return st.builds(damage, st.sampled_from(seeds), st.integers(0, 2**32))
    pieces = st.one_of(st.sampled_from(target.words), st.binary(max_size=12))
    return st.lists(pieces, max_size=12).map(b"".join)


def damage(content: bytes, seed: int) -> bytes:
    """A file with a few bytes changed, most of them in its headers, and perhaps cut."""
    generator, damaged = random.Random(seed), bytearray(content)
    for _ in range(generator.randrange(1, 12)):
        reach = min(len(damaged), generator.choice((32, 400, len(damaged))))
        damaged[generator.randrange(reach)] = generator.choice((0, 1, 127, 128, 255, seed % 256))
    end = generator.randrange(1, len(damaged)) if seed % 5 == 0 else len(damaged)
    return bytes(damaged[:end])
