"""The removed pairs of a page: safe, and no more than a page can bear."""

from base64 import b64decode
from io import BytesIO

import numpy as np
from PIL import Image

from ingest.page.pairs import Pair, PairsOfSet, Picture, pairs_html, threshold_curves
from ingest.page.removed import CutCounts
from schemas.page.charts import Table
from schemas.page.page import Heading, make_page
from schemas.page.section import Section
from tests.pages import HOSTILE, tags_of

LUMA = np.random.default_rng(1).bytes(1024)


def pair(
    number=0, correlation=0.7, distance=20, url="https://example.org/a.jpg", name="s/x", **rest
):
    found = Picture(thumbnail=LUMA)
    return Pair(
        f"{number:032x}", url, found, name, Picture(), rest.get("variant", "identity"), "plain",
        distance, correlation,
    )  # fmt: skip


def page_of(*pairs, text="text"):
    table = Table(text, (text,), [(text,)])
    found = PairsOfSet(text, pairs, len(pairs) + 7, 1, table)
    section = Section("s", text, text, [(text, text)], (), [table], [text], pairs_html([found]))
    return make_page(Heading(text, [text], text, [(text, text)]), [section])


def test_hostile_texts_are_escaped_and_only_web_addresses_are_links():
    page = page_of(
        pair(name=f"s/{HOSTILE}", url=f"https://example.org/{HOSTILE}"),
        pair(1, url="javascript:alert(1)", variant=HOSTILE),
        text=HOSTILE,
    )
    tags = tags_of(page)
    assert not [tag for tag, _ in tags if tag == "script"]
    links = [attributes for tag, attributes in tags if tag == "a" and "rel" in attributes]
    assert [link["href"] for link in links] == [f"https://example.org/{HOSTILE}"]
    assert "noreferrer" in links[0]["rel"]
    assert "javascript:alert(1)" in page


def test_pictures_are_those_that_were_compared():
    tags = tags_of(page_of(pair()))
    (image,) = [attributes for tag, attributes in tags if tag == "img"]
    content = b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert Image.open(BytesIO(content)).tobytes() == LUMA
    assert "no picture kept" in page_of(pair())


def test_a_preview_that_is_too_large_is_shown_smaller_and_no_picture_is_not_shown():
    buffer = BytesIO()
    noise = np.random.default_rng(2).integers(0, 256, (600, 900, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    source = Picture(buffer.getvalue()).source.removeprefix("data:image/jpeg;base64,")
    assert Image.open(BytesIO(b64decode(source))).size == (160, 107)
    assert Picture(b"<" * 20_000).source == ""


def test_the_page_says_how_many_pairs_it_does_not_show():
    page = page_of(pair(), pair(1))
    assert page.count('<figure class="pair">') == 2
    assert "text: 9 near copies, the least sure first; 1 exact" in page
    assert "7 more are in the ledger" in page
    assert tags_of(page_of())


def test_a_curve_is_drawn_with_its_numbers_and_the_cut_in_force():
    cuts = CutCounts(20, 0.3)
    for distance in (10, 30):
        cuts.add(distance, 0.9)
    by_radius, by_shift = threshold_curves(cuts, 20)
    assert tags_of(str(by_radius.svg))
    assert by_radius.table.rows[20] == ("20", "1")
    assert by_radius.table.rows[80] == ("80", "2")
    assert "the cut in force: 20" in by_radius.note
    assert len(by_shift.table.rows) == 16
