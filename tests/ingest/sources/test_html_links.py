import time
from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sources.html_links import decode_page, image_links, largest_of

PAGE_URL = "http://a.example/x/y.html?q=/z"


def links(page):
    return [(link.url, link.attribute) for link in image_links(page, PAGE_URL)]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<img src="a.jpg">', [("http://a.example/x/a.jpg", "img@src")]),
        ("<IMG SRC = '/a.jpg' >", [("http://a.example/a.jpg", "img@src")]),
        ("<img src=//b.example/a.jpg>", [("http://b.example/a.jpg", "img@src")]),
        ("<img src=../a.jpg>", [("http://a.example/a.jpg", "img@src")]),
        ("<img src='https://c.example/a b.jpg'/>", [("https://c.example/a b.jpg", "img@src")]),
        ("<img src=' \n a\n.jpg\t'>", [("http://a.example/x/a.jpg", "img@src")]),
        ("<img src='?b=1'><img src='#c'><img src=''><img>", []),
        ("<img src=javascript:x><img src=blob:http://a/1><img src=about:blank>", []),
        ("<img src=data:image/gif;base64,AA>", [("data:image/gif;base64,AA", "img@src")]),
        ("<img src=a.jpg?a=1&amp;b=2>", [("http://a.example/x/a.jpg?a=1&b=2", "img@src")]),
        ("<img alt=it's src=a.jpg>", [("http://a.example/x/a.jpg", "img@src")]),
        ("<img src=a.jpg src=b.jpg>", [("http://a.example/x/a.jpg", "img@src")]),
        ("<img alt='>' src=a.jpg>", [("http://a.example/x/a.jpg", "img@src")]),
        ("<imgs src=a.jpg><image src=b.jpg>", [("http://a.example/x/b.jpg", "image@src")]),
        ("<img data-src=a.jpg>", [("http://a.example/x/a.jpg", "img@data-src")]),
        ("<img srcset='a.jpg 1x, b.jpg 2x'>", [("http://a.example/x/b.jpg", "img@srcset")]),
        ("<picture><source srcset=a.webp>", [("http://a.example/x/a.webp", "source@srcset")]),
        ("<source src=film.mp4>", []),
        (
            "<input type=image src=a.gif><input src=b.gif>",
            [("http://a.example/x/a.gif", "input@src")],
        ),
        ("<video poster=a.jpg src=a.mp4>", [("http://a.example/x/a.jpg", "video@poster")]),
        (
            "<meta content=a.jpg property=OG:image><meta name=twitter:image content=b.jpg>",
            [
                ("http://a.example/x/a.jpg", "meta@og:image"),
                ("http://a.example/x/b.jpg", "meta@twitter:image"),
            ],
        ),
        ("<link rel='image_src x' href=/a.jpg>", [("http://a.example/a.jpg", "link@image_src")]),
        ("<base href=/b/><base href=/c/><img src=a>", [("http://a.example/b/a", "img@src")]),
        ("<!-- <img src=a> --!><img src=b>", [("http://a.example/x/b", "img@src")]),
        ("<!--><img src=b>", [("http://a.example/x/b", "img@src")]),
        ("<script>'<img src=a>'</script ><img src=b>", [("http://a.example/x/b", "img@src")]),
        ("<style><img src=a></script></style><img src=b>", [("http://a.example/x/b", "img@src")]),
        ("<noscript><img src=a></noscript>", [("http://a.example/x/a", "img@src")]),
        ("<img src='a.jpg", []),
        ("<img src=a", []),
    ],
)
def test_links_are_what_a_browser_would_ask_for(page, expected):
    assert links(page) == expected


def test_a_url_is_named_once_with_the_first_text_that_it_has():
    page = (
        "<img src=a.jpg><img src=b.jpg alt=B><img src=a.jpg alt='A &amp; a'><img src=a.jpg alt=x>"
    )
    assert [(link.url[-5:], link.alt) for link in image_links(page, PAGE_URL)] == [
        ("a.jpg", "A & a"),
        ("b.jpg", "B"),
    ]


@pytest.mark.parametrize(
    ("srcset", "largest"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg, b.jpg 1.5x", "b.jpg"),
        ("a.jpg 300w,b.jpg 1200w , c.jpg 600w", "b.jpg"),
        ("a,b.jpg 2x, c.jpg", "a,b.jpg"),
        (" , ", None),
        ("", None),
        ("a.jpg 300w 200h, b.jpg 100w", "a.jpg"),
        ("data:image/png;base64,AA== 1x, b.jpg 2x", "b.jpg"),
    ],
)
def test_the_largest_of_a_set_counts(srcset, largest):
    assert largest_of(srcset) == largest


class Plain(HTMLParser):
    """An independent way to the `src` of images, by the standard library."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def handle_starttag(self, tag, attrs):
        first = {}
        for name, value in attrs:
            first.setdefault(name, value)
        if tag == "img" and first.get("src"):
            self.found[urljoin(PAGE_URL, first["src"])] = None

    handle_startendtag = handle_starttag


names = st.text("abc-/.", min_size=1, max_size=6).filter(lambda name: "//" not in name)
values = st.builds('"{}"'.format, names) | st.builds("'{}'".format, names)
attributes = st.tuples(st.sampled_from([" src", " alt", " class", "\n SRC"]), values).map("=".join)
tags = st.builds(
    "<{}{}>".format,
    st.sampled_from(["img", "IMG", "p", "div", "a"]),
    st.lists(attributes, max_size=4).map("".join),
)
pieces = tags | st.sampled_from(
    ["text", "<!-- <img src='no'> -->", "<script>'<img src=no>'</script>"]
)


@settings(max_examples=300)
@given(st.lists(pieces, max_size=8).map("".join))
def test_plain_pages_are_read_as_the_standard_library_reads_them(page):
    plain = Plain()
    plain.feed(page)
    plain.close()
    assert [url for url, _ in links(page)] == list(plain.found)


fragments = st.sampled_from(
    [
        *("<img", " src=", "'", '"', ">", "<", "<!--", "-->", "<script", "</script>", "a.jpg", " "),
        *("=", "/", "srcset=", ",", "&amp;", "&#x110000;", "<base href=", "http://[", "\x00", "é"),
    ]
)


@settings(max_examples=500)
@given(
    st.lists(fragments, max_size=30).map("".join), st.sampled_from([PAGE_URL, "", "x", "http://["])
)
def test_any_page_is_read_without_an_error(page, page_url):
    image_links(page, page_url)


@pytest.mark.parametrize(
    "piece",
    [
        *("<img src='", "<", "<!--", "<script>", "<img ", "<img a", "</script", "<img = "),
        *("<script></style ", "<img srcset=', ", "<img srcset='a,"),
    ],
)
def test_the_time_of_a_page_is_linear(piece):
    def seconds(count):
        began = time.process_time()
        image_links(piece * count, PAGE_URL)
        return time.process_time() - began

    # A quadratic time would be 64 times as long for a page 8 times as large.
    assert seconds(400_000) < 30 * seconds(50_000) + 0.5


@pytest.mark.parametrize(
    ("content", "charset", "text"),
    [
        ("é".encode(), None, "é"),
        ("é".encode("latin-1"), "iso-8859-1", "é"),
        ("<meta charset=iso-8859-1>é".encode("latin-1"), None, "<meta charset=iso-8859-1>é"),
        (b"\xef\xbb\xbf" + "é".encode(), "latin-1", "é"),
        ("é".encode(), "no-such-charset", "é"),
        (b"\xff", None, "\N{REPLACEMENT CHARACTER}"),
        (b"abc", "hex", "abc"),
    ],
)
def test_pages_are_decoded_by_mark_header_and_meta(content, charset, text):
    assert decode_page(content, charset) == text
