import contextlib
import gzip
import json
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import storage
from ingest.errors import FetchError, SetupError
from ingest.sources.archive import read_record
from ingest.sources.common_crawl import wat_links
from ingest.sources.http_message import parse_message
from ingest.stored import read_stored_file
from schemas.candidate import Carrier
from schemas.outcome import Outcome
from tests.archives import Answer, envelope, gzipped, write_warc, write_wat
from tests.reading import read_input

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)


def page(number):
    return Answer(
        f"http://site{number}.example/a/{number}.html",
        f'<html><img src="pic{number}.jpg" alt="Picture {number}"><img src="/logo.png">'.encode(),
    )


def image(number):
    return Answer(f"http://img.example/{number}.png", PNG + b"%d" % number, "image/png")


def html_metadata(number):
    return {
        "Head": {
            "Base": f"http://base{number}.example/x/",
            "Metas": [{"property": "og:image", "content": "/og.jpg"}, {"name": "viewport"}],
            "Link": [{"path": "LINK@/href", "url": "/style.css", "rel": "stylesheet"}],
        },
        "Links": [
            {"path": "A@/href", "url": "/elsewhere", "text": "there"},
            {"path": "IMG@/src", "url": f"pic{number}.jpg", "alt": "A picture"},
            {"path": "IMG@/srcset", "url": "s.jpg 100w, l.jpg 900w"},
            {"path": "IMG@/data-src", "url": "//cdn.example/lazy.jpg"},
            {"path": "IMG@/src", "url": f"pic{number}.jpg"},
            {"path": "SCRIPT@/src", "url": "/code.js"},
        ],
    }


@pytest.mark.parametrize("suffix", ["wat.gz", "wat"])
def test_a_wat_file_gives_the_image_links_of_its_pages(tmp_path, suffix):
    path = tmp_path / f"CC-MAIN.warc.{suffix}"
    offsets = write_wat(path, [(f"http://page.example/{n}", html_metadata(n)) for n in range(3)])
    found = read_input(path)
    assert [one.row for one in found] == [offset for offset in offsets for _ in range(4)]
    assert [one.url for one in found[:4]] == [
        "http://base0.example/og.jpg",
        "http://base0.example/x/pic0.jpg",
        "http://base0.example/x/l.jpg",
        "http://cdn.example/lazy.jpg",
    ]
    assert json.loads(found[1].columns) == {
        "page_url": "http://page.example/0",
        "attribute": "img@src",
        "alt": "A picture",
    }
    assert {one.carrier for one in found} == {Carrier.URL}
    assert len({one.id for one in found}) == 12


@pytest.mark.parametrize("suffix", ["warc.gz", "warc"])
def test_a_warc_file_gives_links_of_pages_and_images_with_their_bytes(tmp_path, suffix):
    path = tmp_path / f"crawl.{suffix}"
    answers = [page(0), image(0), page(1), image(1), Answer("http://a.example/", b"x", "text/css")]
    offsets = write_warc(path, answers)
    found = read_input(path)
    assert [one.url for one in found] == [
        "http://site0.example/a/pic0.jpg",
        "http://site0.example/logo.png",
        "http://img.example/0.png",
        "http://site1.example/a/pic1.jpg",
        "http://site1.example/logo.png",
        "http://img.example/1.png",
    ]
    assert [one.row for one in found] == [offsets[n] for n in (0, 0, 1, 2, 2, 3)]
    assert json.loads(found[2].columns) == {
        "content_type": "image/png",
        "warc_date": "2026-10-03T04:05:06Z",
    }
    for number, one in enumerate((found[2], found[5])):
        assert one.carrier is Carrier.WARC
        record = read_record(read_stored_file(one, 10_000))
        assert parse_message(record.block, 10_000).body == image(number).body
    only = {"images": found[2::3], "links": [one for one in found if one.carrier is Carrier.URL]}
    for records, expected in only.items():
        assert read_input(path, archive_records=records) == expected


@settings(max_examples=30, deadline=None)
@given(piece_bytes=st.integers(1, 3000), count=st.integers(0, 12))
def test_an_archive_that_is_split_anywhere_gives_the_records_of_the_whole(
    tmp_path_factory, piece_bytes, count
):
    path = tmp_path_factory.mktemp("split") / "t.warc.gz"
    write_warc(path, [one for n in range(count) for one in (page(n), image(n))])
    whole = read_input(path)
    assert len(whole) == 3 * count
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest.sources.archive.PIECE_BYTES", piece_bytes)
        assert read_input(path) == whole


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_archive_costs_what_is_damaged_and_nothing_is_lost_silently(
    tmp_path_factory, data
):
    path = tmp_path_factory.mktemp("damaged") / "t.warc.gz"
    offsets = write_warc(path, [image(n) for n in range(6)])
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        found = read_input(path)
    except SetupError:
        assert place < 3, "only what is no archive at all is refused"
        return
    good = {one.row for one in found if one.problem is None}
    hurt = {one.row for one in found if one.problem is not None}
    # One record may be hurt, or hide the one after it whose start cannot be found any more.
    lost = set(offsets) - good
    assert len(lost) <= 2
    assert bool(hurt) or not lost or place >= min(lost)


def test_an_archive_that_breaks_off_tells_so(tmp_path):
    path = tmp_path / "t.warc.gz"
    offsets = write_warc(path, [image(n) for n in range(3)])
    path.write_bytes(path.read_bytes()[: offsets[2] + 100])
    found = read_input(path)
    assert [one.problem for one in found] == [None, None, Outcome.MALFORMED_ROW]
    assert found[2].row == offsets[2]


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "t.warc").write_bytes(b"<html>")
    with pytest.raises(SetupError, match="expected a WARC file, plain or gzip, got b'<ht'"):
        read_input(tmp_path / "t.warc")
    (tmp_path / "e.warc.gz").write_bytes(b"")
    assert read_input(tmp_path / "e.warc.gz") == []


def test_an_archive_may_lie_in_any_store(tmp_path):
    write_warc(tmp_path / "t.warc.gz", [page(1)])
    storage.write_bytes("memory://crawl/t.warc.gz", Path(tmp_path, "t.warc.gz").read_bytes())
    assert len(read_input("memory://crawl/t.warc.gz")) == 2


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (gzipped(PNG), ("Content-Encoding: gzip",)),
        (
            b"5\r\n" + PNG[:5] + b"\r\n3f\r\n" + PNG[5:] + b"\r\n0\r\n\r\n",
            ("Transfer-Encoding: chunked",),
        ),
        (PNG, ("Content-Encoding: identity", "X-Crawl-Content-Encoding: br")),
    ],
)
def test_encodings_of_an_answer_are_undone(body, headers):
    block = Answer("http://a.example/", body, "image/png", headers=headers).message()
    answer = parse_message(block, 1000)
    assert (answer.status, answer.header("content-type"), answer.body) == (200, "image/png", PNG)


def test_a_bomb_in_an_archive_is_not_unpacked():
    bomb = gzip.compress(bytes(50 << 20), mtime=0)
    headers = ("Content-Encoding: gzip",)
    block = Answer("http://a.example/", bomb, "image/png", headers=headers).message()
    with pytest.raises(FetchError, match="expected at most 1000 bytes") as caught:
        parse_message(block, 1000)
    assert caught.value.outcome is Outcome.TOO_LARGE


@pytest.mark.parametrize(
    ("body", "encoding"), [(b"no gzip", "gzip"), (b"zz\r\n", "chunked"), (b"x", "rot13")]
)
def test_an_answer_with_a_broken_encoding_is_unreadable(body, encoding):
    name = "Transfer-Encoding" if encoding == "chunked" else "Content-Encoding"
    headers = (f"{name}: {encoding}",)
    block = Answer("http://a.example/", body, "image/png", headers=headers).message()
    with pytest.raises(FetchError, match="expected an HTTP answer") as caught:
        parse_message(block, 1000)
    assert caught.value.outcome is Outcome.UNREADABLE


@given(st.binary(max_size=200))
def test_any_bytes_as_an_answer_end_in_an_answer_or_an_error(content):
    with contextlib.suppress(FetchError):
        assert parse_message(content, 1000).status >= 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["IMG@/src", "http://a/", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["path", "url", "alt", "Head", "Links", "Metas", "Base", "property"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values)
def test_any_json_in_a_wat_record_is_read_without_an_error(value):
    wat_links(json.dumps(envelope("http://a/", value)).encode(), "http://a/")


texts = st.text('ab{}",\\\u00e9/:', max_size=8)
urls = texts | st.just("http://a.example/1.jpg")
link = st.fixed_dictionaries(
    {
        "path": st.sampled_from(["IMG@/src", "A@/href", "IMG@/data-src", "SOURCE@/srcset"]),
        "url": urls,
    },
    optional={"alt": texts, "title": texts},
)
page_metadata = st.fixed_dictionaries(
    {
        "Head": st.fixed_dictionaries(
            {
                "Metas": st.lists(
                    st.fixed_dictionaries({"property": st.just("og:image")}), max_size=2
                )
            },
            optional={"Base": urls, "Title": texts},
        ),
        "Links": st.lists(link, max_size=6),
    }
)


@settings(max_examples=300)
@given(page_metadata, st.booleans())
def test_a_wat_record_is_read_alike_by_its_parts_and_as_a_whole(metadata, is_sorted):
    block = json.dumps(envelope("http://a/", metadata), sort_keys=is_sorted).encode()
    compact = orjson.dumps(json.loads(block))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest.sources.common_crawl._flat_objects", lambda block: [b"no JSON"])
        whole = wat_links(compact, "http://a/b/c.html")
    assert wat_links(compact, "http://a/b/c.html") == whole
