"""The page of removed pairs: safe, complete, and its curves are recounts."""

import re
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ingest.audit.gallery import (
    PAIRS_OF_A_SET,
    Pair,
    Picture,
    curves_html,
    gallery_html,
    removed_by_radius,
    removed_by_shift,
)
from schemas.evaluation import least_correlation

LUMA = np.random.default_rng(1).bytes(1024)
HOSTILE = '"><script>alert(1)</script>'
VOID = {"meta", "img", "br", "line", "polyline"}
candidates = st.lists(st.tuples(st.integers(0, 80), st.floats(-1, 1)), max_size=60)


class Walker(HTMLParser):
    """Fails on tags that are not balanced; keeps all tags and their attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    @classmethod
    def walk(cls, page):
        walker = cls()
        walker.feed(page)
        assert walker.open == []
        return walker.tags


def pair(
    number=0, correlation=0.7, distance=20, url="https://example.org/a.jpg", name="s/x", **rest
):
    found = Picture(thumbnail=LUMA)
    return Pair(
        f"{number:032x}", url, found, name, Picture(), rest.get("variant", "identity"), "plain",
        distance, correlation,
    )  # fmt: skip


def page_of(*pairs):
    return gallery_html("title", [("a", "b")], [("t", ("h",), [("c",)])], pairs, [])


def test_hostile_texts_are_escaped_and_only_web_addresses_are_links():
    page = gallery_html(
        HOSTILE,
        [(HOSTILE, HOSTILE)],
        [(HOSTILE, (HOSTILE,), [(HOSTILE,)])],
        [
            pair(name=f"s/{HOSTILE}", url=f"https://example.org/{HOSTILE}"),
            pair(1, url="javascript:alert(1)", variant=HOSTILE),
        ],
        [],
    )
    tags = Walker.walk(page)
    assert not [tag for tag, _ in tags if tag == "script"]
    links = [attributes for tag, attributes in tags if tag == "a"]
    assert [link["href"] for link in links] == [f"https://example.org/{HOSTILE}"]
    assert "noreferrer" in links[0]["rel"]
    assert "javascript:alert(1)" in page


def test_pictures_are_those_that_were_compared():
    tags = Walker.walk(page_of(pair()))
    (image,) = [attributes for tag, attributes in tags if tag == "img"]
    content = b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert Image.open(BytesIO(content)).tobytes() == LUMA
    assert "no picture kept" in page_of(pair())


def test_the_least_sure_come_first_in_their_set_and_counts_are_told():
    page = page_of(
        pair(1, 0.9), pair(2, 0.5), pair(3, 0.9, 80), pair(4, 0.6, name="t/x"),
        pair(5, 1.0, 0, variant="bytes"),
    )  # fmt: skip
    assert [int(one, 16) for one in re.findall(r"<code>(\w+)</code>", page)] == [2, 3, 1, 4]
    assert "s: 3 near copies, the least sure first; 1 exact" in page
    assert "t: 1 near copies" in page
    assert "1 exact copies</summary>" in page


def test_of_very_many_pairs_the_page_says_how_many_are_left_out():
    page = page_of(*(pair(number) for number in range(PAIRS_OF_A_SET + 7)))
    assert page.count("<figure>") == PAIRS_OF_A_SET
    assert "7 more are in the ledger" in page
    assert Walker.walk(page_of())


@given(candidates, st.integers(0, 80), st.floats(0, 1))
def test_curves_are_recounts_at_each_cut(found, radius, base):
    def recount(radius, base):
        return sum(d <= radius and c >= least_correlation(d, base) for d, c in found)

    by_radius = removed_by_radius(found, base)
    assert by_radius == [recount(cut, base) for cut in range(81)]
    by_shift = removed_by_shift(found, radius, base)
    assert by_shift == sorted(by_shift, reverse=True)
    assert by_shift[7] == recount(radius, base) == by_radius[radius]
    for drawing in curves_html(found, radius, base):
        assert Walker.walk(drawing)
        assert f": {by_radius[radius]:,}</text>" in drawing
