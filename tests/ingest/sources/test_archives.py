import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import storage
from ingest.errors import FetchError
from ingest.sources.common_crawl import wat_links
from ingest.stored import read_archived
from schemas.candidate import Carrier
from schemas.outcome import Outcome
from tests.archives import WARC_DATE, Image, Page, write_warc, write_wat
from tests.reading import read_input

PNG = b"\x89PNG\r\n\x1a\n" + bytes(60)


def page(number):
    url = f"http://site{number}.example/a/{number}.html"
    html = f'<img src="pic{number}.jpg" alt="Picture {number}"><img src="/logo.png">'
    links = [{"path": "IMG@/src", "url": f"pic{number}.jpg", "alt": f"Picture {number}"}]
    return Page(url, html.encode(), links, [{"property": "og:image", "content": "/og.jpg"}])


def image(number):
    return Image(f"http://img.example/{number}.png", PNG + b"%d" % number, "image/png")


@pytest.mark.parametrize("name", ["CC-MAIN.warc.wat.gz", "t.wat"])
def test_a_wat_file_gives_links_whose_row_is_the_offset_of_their_record(tmp_path, name):
    offsets = write_wat(tmp_path / name, [page(0), page(1)])
    found = read_input(tmp_path / name)
    assert [one.url for one in found] == [
        *("http://site0.example/og.jpg", "http://site0.example/a/pic0.jpg"),
        *("http://site1.example/og.jpg", "http://site1.example/a/pic1.jpg"),
    ]
    # A request and an answer for each page, behind the file's own record.
    assert [one.row for one in found] == [offsets[n] for n in (2, 2, 4, 4)]
    assert {one.carrier for one in found} == {Carrier.URL}
    assert json.loads(found[1].columns) == {
        "page_url": "http://site0.example/a/0.html",
        "attribute": "img@src",
        "alt": "Picture 0",
    }


@pytest.mark.parametrize("name", ["crawl.warc.gz", "crawl.warc"])
def test_a_warc_file_gives_links_and_images_with_their_bytes(tmp_path, name):
    path = tmp_path / name
    write_warc(path, [page(0), page(1)], [image(0), image(1)])
    found = read_input(path)
    assert [one.url for one in found] == [
        *("http://site0.example/a/pic0.jpg", "http://site0.example/logo.png"),
        *("http://site1.example/a/pic1.jpg", "http://site1.example/logo.png"),
        *("http://img.example/0.png", "http://img.example/1.png"),
    ]
    for number, one in enumerate(found[4:]):
        assert one.carrier is Carrier.WARC
        record = read_archived(one, 10_000)
        assert (record.body, record.warc_date) == (image(number).content, WARC_DATE)
    assert read_input(path, archive_records="images") == found[4:]
    assert read_input(path, archive_records="links") == found[:4]


@settings(max_examples=30, deadline=None)
@given(piece_bytes=st.integers(50, 3000), count=st.integers(0, 8))
def test_an_archive_that_is_split_anywhere_gives_the_candidates_of_the_whole(
    tmp_path_factory, piece_bytes, count
):
    path = tmp_path_factory.mktemp("split") / "t.warc.gz"
    write_warc(path, map(page, range(count)), map(image, range(count)))
    whole = read_input(path)
    assert len(whole) == 3 * count
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest.sources.archives.PIECE_BYTES", piece_bytes)
        assert read_input(path) == whole


def test_an_archived_image_over_the_cap_is_too_large_and_not_read(tmp_path):
    path = tmp_path / "t.warc"
    write_warc(path, [], [Image("http://img.example/", PNG + bytes(3 << 20), "image/png")])
    (found,) = read_input(path)
    with pytest.raises(FetchError, match="expected at most") as caught:
        read_archived(found, 1 << 20)
    assert caught.value.outcome is Outcome.TOO_LARGE
    assert len(read_archived(found, 4 << 20).body) > 3 << 20


def test_a_broken_record_is_a_candidate_with_a_problem(tmp_path):
    path = tmp_path / "t.warc.gz"
    offsets = write_warc(path, [], [image(n) for n in range(3)])
    content = bytearray(path.read_bytes())
    content[offsets[4] + 100] ^= 0xFF
    path.write_bytes(content)
    found = read_input(path)
    assert [(one.row, one.problem) for one in found] == [
        (offsets[2], None),
        (offsets[4], Outcome.MALFORMED_ROW),
        (offsets[6], None),
    ]


def test_an_archive_may_lie_in_any_store(tmp_path):
    write_warc(tmp_path / "t.warc.gz", [page(1)])
    storage.write_bytes("memory://crawl/t.warc.gz", Path(tmp_path, "t.warc.gz").read_bytes())
    assert len(read_input("memory://crawl/t.warc.gz")) == 2


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
    envelope = {
        "WARC-Header-Metadata": {"WARC-Target-URI": "http://a/"},
        "Payload-Metadata": {"HTTP-Response-Metadata": {"HTML-Metadata": value}},
    }
    wat_links(json.dumps({"Envelope": envelope}).encode())
