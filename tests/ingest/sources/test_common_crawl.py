import gzip
import io
import itertools

import pytest
from fastwarc.stream_io import GzipWriter
from fastwarc.warc import WarcRecord, WarcRecordType
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import storage
from ingest.errors import SetupError
from ingest.sources import archive_records
from ingest.sources.archive_records import ArchiveProblem, Record, read_records
from ingest.sources.common_crawl import (
    ArchivedImage,
    ArchiveLink,
    read_warc,
    read_wat,
)
from tests.archives import (
    WARC_DATE,
    Image,
    Page,
    record,
    request,
    response,
    warc_records,
    wat_records,
    write_records,
    write_warc,
    write_wat,
)

JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 3
PAGE = Page(
    "https://site.example/a/b.html",
    b"<img src=/1.jpg alt=one><img srcset='2.jpg 2x'><img src=/1.jpg>",
    links=(
        {"path": "A@/href", "url": "/x", "text": "IMG@/src"},
        {"path": "IMG@/src", "url": "/1.jpg", "alt": 'one "1"'},
        {"path": "IMG@/src", "url": "2.jpg"},
        {"path": "IMG@/src", "url": "/1.jpg", "alt": "two"},
        {"path": "VIDEO@/poster", "url": "https://cdn.example/p.png"},
        {"path": "SOURCE@/src", "url": "/no.mp4"},
        {"path": "IMG@/longdesc", "url": "/no.txt"},
        {"path": "IMG@/data-src", "url": "true"},
        {"path": "IMG@/srcset", "url": "/s.jpg 1x, /t.jpg 2x"},
        {"path": "INPUT@/src", "url": "javascript:1"},
        {"path": "STYLE/#text", "href": "/no.png"},
    ),
    metas=(
        {"content": "/og.jpg", "property": "og:image"},
        {"name": "twitter:card", "content": "x"},
    ),
)


def rows(items):
    return [(one.url, one.columns["attribute"], one.columns["alt"]) for one in items]


def test_links_of_a_wat_file_are_those_of_its_pages(tmp_path):
    path = tmp_path / "a.warc.wat.gz"
    offsets = write_wat(path, [PAGE, Page("https://empty.example/")])
    found = list(read_wat(str(path), 0, path.stat().st_size))
    site = "https://site.example"
    assert rows(found) == [
        (f"{site}/og.jpg", "meta@og:image", None),
        (f"{site}/1.jpg", "img@src", 'one "1"'),
        (f"{site}/a/2.jpg", "img@src", None),
        ("https://cdn.example/p.png", "video@poster", None),
        (f"{site}/t.jpg", "img@srcset", None),
    ]
    assert {one.record_offset for one in found} == {offsets[2]}
    assert {one.columns["page_url"] for one in found} == {PAGE.url}


def test_the_base_of_a_page_counts_in_wat(tmp_path):
    path = tmp_path / "a.wat"
    write_wat(path, [PAGE._replace(base="https://cdn.example/c/")])
    assert rows(read_wat(str(path), 0, 10**9))[2][0] == "https://cdn.example/c/2.jpg"


def test_links_and_images_of_a_warc_file(tmp_path):
    path = tmp_path / "a.warc.gz"
    images = [
        Image("https://i.example/a.jpg", JPEG),
        Image("https://i.example/b", JPEG, "text/html"),
        Image("https://i.example/c.png", b"<html>", "image/png"),
        Image("https://i.example/no.jpg", JPEG, status=404),
    ]
    offsets = write_warc(path, [PAGE, PAGE._replace(content_type="application/pdf")], images)
    found = list(read_warc(str(path), 0, path.stat().st_size))
    assert rows(found[:2]) == [
        ("https://site.example/1.jpg", "img@src", "one"),
        ("https://site.example/a/2.jpg", "img@srcset", None),
    ]
    assert all(isinstance(one, ArchivedImage) for one in found[2:])
    assert [one.url for one in found[2:]] == [one.url for one in images[:3]]
    assert found[2].record_offset == offsets[8]
    assert found[2].record_length == offsets[9] - offsets[8]
    assert found[2].columns == {
        "http_status": 200,
        "content_type": "image/jpeg",
        "warc_date": WARC_DATE,
    }
    assert list(read_warc(str(path), 0, 10**9, links=False)) == found[2:]
    assert list(read_warc(str(path), 0, 10**9, images=False)) == found[:2]


def test_resources_untold_types_and_encoded_pages_are_read(tmp_path):
    path = tmp_path / "a.warc"
    html = b"<!doctype html><img src=/a.jpg>"
    packed = gzip.compress(html)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    coded = ("Content-Encoding: gzip", "Transfer-Encoding: chunked")
    write_records(
        path,
        [
            record("resource", JPEG, "https://i.example/r", "image/jpeg"),
            response("https://p.example/1", html, ""),
            response("https://p.example/2", b"plain", "text/plain"),
            response("https://p.example/3", chunked, "text/html", headers=coded),
        ],
    )
    found = list(read_warc(str(path), 0, 10**9))
    assert [one.url for one in found] == [
        "https://i.example/r",
        "https://p.example/a.jpg",
        "https://p.example/a.jpg",
    ]


def test_what_the_writer_of_fastwarc_writes_is_read(tmp_path):
    buffer = io.BytesIO()
    for number in range(3):
        made = WarcRecord()
        made.init_headers(WarcRecordType.response)
        made.headers.append("WARC-Target-URI", f"https://a.example/{number}")
        made.is_http = True
        made.set_bytes_content(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<img src=i.jpg>")
        writer = GzipWriter(buffer)
        made.write(writer)
        writer.finish()
    path = tmp_path / "a.warc.gz"
    path.write_bytes(buffer.getvalue())
    assert [one.url for one in read_warc(str(path), 0, 10**9)] == ["https://a.example/i.jpg"] * 3


def make_archive(suffix):
    """An archive with records in records, false magic numbers, gaps and broken records."""
    inner = [gzip.compress(one, mtime=0) for one in wat_records([PAGE])]
    nested = gzip.compress(response("https://n.example/", b"".join(inner), "x/y"), 0, mtime=0)
    false = response("https://f.example/", b"\x1f\x8b\x08\x00" * 50, "x/y")
    stored = gzip.compress(false, 0, mtime=0)
    plain = response("https://t.example/", b"\r\n\r\n" + record("resource", b"x", "u"), "x/y")
    records = warc_records([PAGE, PAGE], [Image("https://i.example/a.jpg", JPEG)])
    if suffix == ".warc":
        return b"".join([*records[:4], plain, *records[4:], false, records[0][:-9]])
    packed = [gzip.compress(one, mtime=0) for one in records]
    broken = bytearray(packed[2])
    broken[len(broken) // 2] ^= 255
    return b"".join(
        [
            *packed[:3],
            nested,
            stored,
            b"garbage",
            packed[3],
            bytes(broken),
            packed[4],
            b"\0" * 9,
            *packed[5:],
            packed[0][:-9],
        ]
    )


ARCHIVES = {suffix: make_archive(suffix) for suffix in (".warc", ".warc.gz")}


@pytest.fixture(scope="module", params=ARCHIVES)
def uri(request):
    name = f"memory://common-crawl/split{request.param}"
    storage.write_bytes(name, ARCHIVES[request.param])
    return name


@given(cuts=st.lists(st.integers(0, 9000), max_size=12))
@settings(deadline=None)
def test_any_split_gives_the_records_of_the_whole(uri, cuts):
    size = storage.size(uri)
    edges = sorted({0, size, *(cut % size for cut in cuts)})
    pieces = [list(read_records(uri, *pair)) for pair in itertools.pairwise(edges)]
    assert list(itertools.chain(*pieces)) == list(read_records(uri, 0, size))
    for piece, (begin, end) in zip(pieces, itertools.pairwise(edges), strict=True):
        assert all(begin <= one.offset < end for one in piece if isinstance(one, Record))


def test_every_single_cut_gives_the_records_of_the_whole(uri):
    size = storage.size(uri)
    whole = list(read_records(uri, 0, size))
    for cut in range(1, size, 7):
        assert [*read_records(uri, 0, cut), *read_records(uri, cut, size)] == whole


def test_windows_of_any_size_give_the_same_records(uri, monkeypatch):
    whole = list(read_records(uri, 0, 10**9))
    for read_bytes in (1, 7, 100):
        monkeypatch.setattr(archive_records, "_READ_BYTES", read_bytes)
        if not uri.endswith(".warc"):
            assert list(read_records(uri, 0, 10**9)) == whole


def test_records_are_those_that_were_written(tmp_path):
    records = warc_records([PAGE, PAGE], [Image("https://i.example/a.jpg", JPEG)])
    for name in ("a.warc", "a.warc.gz"):
        offsets = write_records(tmp_path / name, records)
        found = list(read_records(str(tmp_path / name), 0, 10**9))
        assert [(one.offset, one.content) for one in found] == list(
            zip(offsets, records, strict=True)
        )
        assert sum(one.length for one in found) == (tmp_path / name).stat().st_size


@pytest.mark.parametrize("at", ["begin", "middle", "checksum"])
def test_a_broken_record_costs_itself_and_is_told(tmp_path, at):
    path = tmp_path / "a.warc.gz"
    pages = [PAGE._replace(url=f"https://site{number}.example/") for number in range(3)]
    offsets = write_warc(path, pages)
    content = bytearray(path.read_bytes())
    begin, end = offsets[5], offsets[6]
    content[{"begin": begin + 1, "middle": (begin + end) // 2, "checksum": end - 7}[at]] ^= 255
    path.write_bytes(content)
    found = list(read_warc(str(path), 0, 10**9))
    problems = [one for one in found if isinstance(one, ArchiveProblem)]
    assert [one.record_offset for one in problems] == [begin]
    assert {one.columns["page_url"] for one in found if isinstance(one, ArchiveLink)} == {
        "https://site0.example/",
        "https://site2.example/",
    }


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_record_that_breaks_off_is_told(tmp_path, name):
    path = tmp_path / name
    offsets = write_warc(path, [PAGE])
    path.write_bytes(path.read_bytes()[: offsets[2] + 300 if name == "a.warc" else offsets[2] + 99])
    (problem,) = read_warc(str(path), 0, 10**9)
    assert problem.record_offset == offsets[2]


@pytest.mark.parametrize("stated", [b"999999", b"3", b"x"])
@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_wrong_content_length_swallows_no_other_record(tmp_path, name, stated):
    good = response("https://a.example/", b"<img src=i.jpg>", "text/html")
    head, _, rest = good.partition(b"Content-Length: ")
    wrong = head + b"Content-Length: " + stated + b"\r\n" + rest.partition(b"\r\n")[2]
    write_records(tmp_path / name, [good, wrong, good])
    kinds = [type(one) for one in read_warc(str(tmp_path / name), 0, 10**9)]
    assert kinds == [ArchiveLink, ArchiveProblem, ArchiveLink]


def test_json_that_is_broken_is_told(tmp_path):
    path = tmp_path / "a.wat"
    write_records(
        path,
        [
            record("metadata", b'{"HTML-Metadata": ', "u", "application/json"),
            record("metadata", b'{"Envelope": ["HTML-Metadata"]}', "u", "application/json"),
        ],
    )
    (problem,) = read_wat(str(path), 0, 10**9)
    assert problem.record_offset == 0


def test_a_record_too_large_is_told_and_not_inflated(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_records, "MAX_RECORD_BYTES", 100_000)
    path = tmp_path / "a.warc.gz"
    offsets = write_warc(path, [PAGE, PAGE._replace(html=b" " * 200_000), PAGE])
    found = list(read_warc(str(path), 0, 10**9))
    assert [type(one) for one in found].count(ArchiveLink) == 4
    (problem,) = [one for one in found if isinstance(one, ArchiveProblem)]
    assert problem.record_offset == offsets[5]
    assert "at most 100000 bytes" in problem.detail


def test_a_long_gap_with_false_magic_numbers_is_told_once(tmp_path):
    path = tmp_path / "a.warc.gz"
    offsets = write_warc(path, [PAGE, PAGE])
    content = path.read_bytes()
    gap = b"\x1f\x8b\x08false" * 400_000
    path.write_bytes(content[: offsets[4]] + gap + content[offsets[4] :])
    found = list(read_warc(str(path), 0, 10**9))
    assert [one.record_offset for one in found if isinstance(one, ArchiveProblem)] == [offsets[4]]
    assert len(found) == 5


@pytest.mark.parametrize("name", ["a.warc", "a.wat.gz"])
def test_an_empty_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(SetupError, match=r"expected a WARC file, plain or gzip, got b''"):
        list(read_wat(str(tmp_path / name), 0, 100))


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(SetupError, match=r"expected a WARC file, plain or gzip, got b'PK"):
        list(read_wat(str(tmp_path / "a.bin"), 0, 100))


def test_requests_and_failed_answers_give_nothing(tmp_path):
    path = tmp_path / "a.warc"
    write_records(
        path,
        [
            request("https://a.example/<img src=a>"),
            response("https://a.example/", b"<img src=a>", "text/html", status=404),
        ],
    )
    assert list(read_warc(str(path), 0, 10**9)) == []
