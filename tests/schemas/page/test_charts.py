import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.page.charts import Interval, bars, columns, histogram, intervals, size_labels
from schemas.page.drawing import draw
from tests.pages import HOSTILE, assert_harmless, tags_of

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=15)
@example({"00000000000000000000\U00010000@": 0}, "")
@given(st.dictionaries(texts, st.integers(0, 10**12), min_size=1, max_size=5), texts)
def test_whatever_names_say_the_drawing_stays_a_drawing(counts, title):
    chart = bars(title, counts, "images")
    assert_harmless(str(chart.svg))
    assert [row[0] for row in chart.table.rows] == list(counts)


@pytest.mark.parametrize("odd", ["\x00", "\x1b[0m", "\ud800", "\ufffe", "\uffff", "\u202e", ""])
def test_no_character_can_abort_the_process_that_draws(odd):
    assert_harmless(str(bars(odd, {odd: 1, "b": 2}, odd).svg))


def test_a_label_is_never_cut_within_a_character():
    for length in range(10, 40):
        name = "0" * length + "\U00010000@" * 20
        chart = bars("t", {name: 1}, "images")
        assert_harmless(str(chart.svg))
        assert chart.table.rows[0][0] == name


def test_a_hostile_name_is_shown_as_text():
    svg = str(bars(HOSTILE, {HOSTILE: 3, "b": 1}, HOSTILE).svg)
    assert "<script" not in svg
    assert "&lt;script&gt;" in svg


def test_names_that_are_alike_once_shortened_have_a_bar_each():
    svg = str(bars("t", {"a" * 50: 3, "a" * 60: 1}, "images").svg)
    assert (
        sum(
            tag == "path" and attributes.get("fill") == "#3f74a6"
            for tag, attributes in tags_of(svg)
        )
        == 2
    )


def test_the_numbers_of_a_histogram_are_those_of_its_bins():
    edges = [2.0**power for power in range(12)]
    chart = histogram("Size", edges, [0, 0, 5, 0, 7, *[0] * 6], size_labels(edges), "bytes")
    assert [row[:2] for row in chart.table.rows] == [
        ("4 to 8", "5"),
        ("8 to 16", "0"),
        ("16 to 32", "7"),
    ]
    assert tags_of(str(chart.svg))


@pytest.mark.parametrize(
    "counts", [{}, {"2020": 0}, {str(year): year for year in range(1900, 2030)}]
)
def test_columns_may_be_none_or_many(counts):
    assert len(columns("Years", counts, "images").table.rows) == len(counts)


def test_an_empty_histogram_and_no_intervals_are_drawn_too():
    assert histogram("t", [1, 2, 4], [0, 0], ["1", "2", "4"], "px").table.rows
    assert intervals("t", [Interval("A", 1, 0.5, 0.1, 0.9)], []).svg


def test_a_drawing_is_the_same_whatever_was_drawn_before():
    def spec(name):
        color = {"field": "name", "type": "nominal", "legend": None}
        x = {"field": "x", "type": "quantitative"}
        values = [{"name": name, "x": 1}, {"name": "b", "x": 2}]
        return {
            "data": {"values": values},
            "mark": {"type": "point", "clip": True},
            "encoding": {"color": color, "x": x},
        }

    first = draw(spec("a"), "t")
    other = draw(spec("c"), "t")
    assert draw(spec("a"), "t") == first
    clips = [set(re.findall(r'<clipPath id="([^"]*)"', svg)) for svg in (first, other)]
    assert clips[0]
    assert not clips[0] & clips[1]
    assert set(re.findall(r"url\(#([^)]*)\)", first)) == clips[0]
