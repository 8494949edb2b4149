import random
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sources.html_links import image_links, page_charset
from ingest.sources.image_link import absolute_url, base_of, largest_candidate

PAGE = "https://site.example/news/today.html"


def urls(page, page_url=PAGE, **more):
    return [link.url for link in image_links(page, page_url, **more)]


def found(page):
    return [
        (link.url.removeprefix("https://site.example"), link.attribute, link.alt)
        for link in image_links(page, PAGE)
    ]


def test_every_place_of_an_image_is_found():
    page = """<!DOCTYPE html><html><head>
      <meta property="og:image" content="/og.jpg"><meta name='twitter:image' content=/tw.jpg>
      <link rel="shortcut image_src" href="/link.jpg"><link rel=stylesheet href=/a.css></head><body>
      <IMG SRC="/a.jpg" ALT="A &amp; B"><img alt='late' data-src=/b.jpg src="data:image/gif,R0">
      <picture><source srcset="/s.webp 1x, /s2.webp 2x">
      <img srcset="/t.jpg 300w,/u.jpg 900w"/></picture>
      <noscript><img src="/n.jpg"></noscript><input type="IMAGE" src="/i.png" alt="Go">
      <input type=text src="/no.png"><video poster="/v.jpg" src="/v.mp4"></video>
      <img data-lazy-srcset="/w.jpg 2x" data-lazy="true"></body></html>"""
    assert found(page) == [
        ("/og.jpg", "meta@og:image", None),
        ("/tw.jpg", "meta@twitter:image", None),
        ("/link.jpg", "link@image_src", None),
        ("/a.jpg", "img@src", "A & B"),
        ("/b.jpg", "img@data-src", "late"),
        ("data:image/gif,R0", "img@src", "late"),
        ("/s2.webp", "source@srcset", None),
        ("/u.jpg", "img@srcset", None),
        ("/n.jpg", "img@src", None),
        ("/i.png", "input@src", "Go"),
        ("/v.jpg", "video@poster", None),
        ("/w.jpg", "img@data-lazy-srcset", None),
    ]


@pytest.mark.parametrize(
    "page",
    [
        "<!-- <img src=/no.jpg> --><img src=/a.jpg>",
        "<!--><img src=/a.jpg>",
        "<!-- --!><img src=/a.jpg>",
        "<script>'<img src=/no.jpg>'</SCRIPT ><img src=/a.jpg>",
        "<style><img src=/no.jpg></style><img src=/a.jpg>",
        "<title><img src=/no.jpg></title><img src=/a.jpg>",
        "<textarea rows=2><img src=/no.jpg></textarea><img src=/a.jpg>",
        "<template><img src=/no.jpg></template><img src=/a.jpg>",
        "<a title='<img src=/no.jpg>'>x</a><img src=/a.jpg>",
        '<a title="<b>x</b> <strong>y</strong> <img src=/no.jpg>">x</a><img src=/a.jpg>',
        "<a title=<img src=/no.jpg>x</a><img src=/a.jpg>",
        '<a href="?q="><img src=/a.jpg></a>',
        '<p>5 = "<img src=/a.jpg>',
        "<imgs src=/no.jpg><img-x src=/no.jpg><img src=/a.jpg>",
        "<img alt='5 > 4' src=/a.jpg>",
        "<img src=/a.jpg src=/no.jpg>",
        "<img/src=/a.jpg>",
        "<img\nsrc\n=\n'\n/a\n.jpg '>",
        "<img src=/a.jpg><img src=/no.jpg",
        "<img src=/a.jpg><img alt='<img src=/no.jpg>",
        "<img src=/a.jpg><script><img src=/no.jpg>",
        "<img src=''><img src='#x'><img src=javascript:1><img src=blob:x><img src=/a.jpg>",
    ],
)
def test_only_what_a_browser_takes_for_a_tag_counts(page):
    assert urls(page) == ["https://site.example/a.jpg"]


def test_one_url_counts_once_with_the_first_alt_there_is():
    page = "<img src=/a.jpg><img src='/a.jpg' alt=''><img src=/a.jpg alt=x><img src=/a.jpg alt=y>"
    assert found(page) == [("/a.jpg", "img@src", "x")]


def test_references_need_their_semicolon_before_a_letter_or_an_equals_sign():
    page = "<img src='/i?a=1&copy=2&region=3&amp;d=4&lt;&#65;&#x42;&notit;'>"
    assert urls(page) == ["https://site.example/i?a=1&copy=2&region=3&d=4<AB&notit;"]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("a.jpg", "https://site.example/news/a.jpg"),
        ("../a.jpg", "https://site.example/a.jpg"),
        ("./a.jpg", "https://site.example/news/a.jpg"),
        ("/a.jpg", "https://site.example/a.jpg"),
        ("//cdn.example/a.jpg", "https://cdn.example/a.jpg"),
        ("?a", "https://site.example/news/today.html?a"),
        ("HTTP://Cdn.Example/a", "HTTP://Cdn.Example/a"),
        ("\\\\cdn.example\\a.jpg", "https://cdn.example/a.jpg"),
        (" \t\nhttp://a.example/a b\n.jpg ", "http://a.example/a b.jpg"),
        ("http:\t//a.example/a", "http://a.example/a"),
        ("mailto:a@b", None),
        ("android-app://x/y", None),
        ("https://[bad/a", "https://[bad/a"),
        ("//", None),
        ("", None),
        ("DATA:,x", "DATA:,x"),
    ],
)
def test_references_are_joined_as_browsers_join_them(reference, expected):
    assert absolute_url(reference, base_of(PAGE)) == expected


def test_the_first_base_counts_and_is_itself_joined_to_the_page():
    page = "<base target=x><base href=/b/><base href=/c/><img src=a.jpg>"
    assert urls(page) == ["https://site.example/b/a.jpg"]
    assert urls("<base href='data:,x'><img src=a.jpg>") == ["https://site.example/news/a.jpg"]


@pytest.mark.parametrize(
    ("srcset", "largest"),
    [
        ("a.jpg 300w, b.jpg 900w, c.jpg 600w", "b.jpg"),
        ("a.jpg, b.jpg 1.5x", "b.jpg"),
        ("a.jpg", "a.jpg"),
        ("a.jpg 1x,b.jpg 2x,", "b.jpg"),
        ("data:image/png;base64,aa 1x, b.jpg 2x", "b.jpg"),
        ("a,b.jpg 2x", "a,b.jpg"),
        ("a.jpg nonsense, b.jpg 1x", "b.jpg"),
        ("a.jpg type(x, y) 3x, b.jpg", "b.jpg"),
        (" , ,", None),
        ("", None),
    ],
)
def test_the_largest_candidate_of_a_srcset_is_taken(srcset, largest):
    assert largest_candidate(srcset) == largest


def test_charsets_come_from_the_mark_the_header_the_page_then_utf8():
    text = "<meta charset=windows-1251><img src=/a.jpg alt='Привет'>"
    assert image_links(text.encode("cp1251"), PAGE)[0].alt == "Привет"
    assert image_links(text.encode("koi8-r"), PAGE, charset="koi8-r")[0].alt == "Привет"
    assert image_links(("\ufeff" + text).encode("utf-16-le"), PAGE)[0].alt == "Привет"
    assert image_links(("\ufeff" + text).encode(), PAGE, charset="koi8-r")[0].alt == "Привет"
    assert (
        image_links("<img src=a alt='<日本>'>".encode("iso2022-jp"), PAGE, "iso-2022-jp")[0].alt
        == "<日本>"
    )
    assert image_links(b"<img src=a alt=\xff>", PAGE)[0].alt == "\ufffd"
    assert page_charset(b"", "no such") == "utf-8"
    assert page_charset(b"<meta charset=utf-16>") == "utf-8"
    assert page_charset(b"", "base64") == "utf-8"


class Plain(HTMLParser):
    """An independent reading of a page by the standard library."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.sources = {}
        self._hidden = None

    def handle_starttag(self, tag, attributes):
        if self._hidden is None and tag in ("textarea", "title", "template"):
            self._hidden = tag
        named = dict(reversed(attributes))
        if self._hidden is None and tag == "img" and named.get("src"):
            self.sources.setdefault(named["src"])

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_endtag(self, tag):
        if tag == self._hidden:
            self._hidden = None


PIECES = (
    '<img src="/{}.jpg">',
    "<img alt='a > b' src='/{}.jpg'/>",
    "<IMG class=x SRC=/{}.jpg >",
    "<p>text = 'quoted' &amp; more {}",
    "<a href='?q=' title=\"<img src=/{}.png>\">link</a>",
    "<a title='<b>b</b> <img src=/{}.png>'>",
    "<!-- <img src=/{}.gif> -->",
    "<br/>",
    "</div {}>",
    "<script>if (a<b) '<img src=/{}.gif>'</script>",
    "<style>p>a{{}}</style>",
    "a < b {} > c",
    "<textarea><img src=/{}.gif></textarea>",
    "<title>x<img src=/{}.gif></title>",
    "<strong>{}",
    "<noscript><img src=/{}.webp></noscript>",
    "<table><tr><td width=5>{}",
    "<svg><path d='M0 0'/>",
    "<input value='{}'>",
    "<link rel=x href='/{}'>",
    "<meta name=a content='<{}>'>",
    '"',
    "'",
    "=",
)


@given(st.lists(st.tuples(st.sampled_from(PIECES), st.integers(0, 20)), max_size=40))
def test_pages_are_read_as_an_independent_parser_reads_them(pieces):
    page = "".join(piece.format(number) for piece, number in pieces)
    plain = Plain()
    plain.feed(page)
    plain.close()
    expected = [f"https://site.example{source}" for source in plain.sources]
    assert [one.url for one in image_links(page, PAGE) if one.attribute == "img@src"] == expected


WORDS = [
    b"<img ",
    b"src=",
    b"srcset=",
    b'"',
    b"'",
    b">",
    b"<!--",
    b"-->",
    b"<script",
    b"</script>",
    b"<base href=",
    b"//[",
    b"&#x110000;",
    b"&#",
    b"data-src=",
    b"\xff\xfe",
    b"<meta charset=",
    b"utf-7",
    b"http://",
    b"1e99x, ",
    b"<a ",
    b"\\",
    b"\x00",
    b"content=",
    b"og:image",
    b"a(b",
]


@given(
    st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=6)), max_size=60),
    st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["utf-16", "hz", "utf-7", "idna"])),
)
def test_no_bytes_make_it_fail(words, charset):
    for link in image_links(b"".join(words), "http://[x", charset) + image_links(
        b"".join(words), PAGE, charset
    ):
        assert link.url[:5].lower() in ("http:", "https", "data:")


@pytest.mark.parametrize(
    "unit",
    [
        b"<img ",
        b"<!--",
        b'<img a="',
        b"<img a='\"",
        b'<a x="<img',
        b'= "<img',
        b"<script>",
        b"<a b='<img c=\"<img d='",
        b"<imgx",
        b"<meta charset",
        b'<b =" <img src=x>',
    ],
)
def test_time_is_linear_in_pages_made_to_be_slow(unit):
    begin = time.process_time()
    image_links(unit * (10_000_000 // len(unit)), PAGE)
    assert time.process_time() - begin < 60  # quadratic: hours


@pytest.mark.parametrize("unit", [",", "a(", "a 1x,", "&", "&#", "\t", "../", "\\", "a "])
def test_time_is_linear_in_values_made_to_be_slow(unit):
    value = unit * (3_000_000 // len(unit))
    begin = time.process_time()
    image_links(f"<img srcset='{value}' src='{value}'>", PAGE)
    assert time.process_time() - begin < 60  # quadratic: hours


def test_a_page_of_random_tags_gives_the_same_links_in_every_charset():
    pick = random.Random(5)
    page = "".join(pick.choice(PIECES).format(number) for number in range(500))
    assert urls(page) == urls(page.encode()) == urls(page.encode("utf-16"))
