from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ingest.papers.markdown import escape, table
from tests.ingest.papers.examples import HOSTILE

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.text(
    "|`*_<>&[]()!#~$\\\n\r\t-=+.1 a:/", max_size=60
)


class Seen(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self):
        super().__init__()
        self.elements, self.text, self.cells = [], "", []

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data):
        self.text += data
        if self.cells and self.elements[-1] == "td":
            self.cells[-1] += data


def render(markdown):
    seen = Seen()
    seen.feed(MarkdownIt("commonmark").enable("table").render(markdown))
    seen.close()
    return seen


def visible(text):
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)


@given(texts)
def test_any_text_is_shown_as_it_is_and_makes_no_element(text):
    seen = render(f"Text: {escape(text)}.")
    assert seen.elements == ["p"]
    assert seen.text.rstrip("\n") == f"Text: {visible(text)}."


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_a_table_has_a_cell_for_each_text_whatever_is_in_it(rows):
    seen = render("\n".join(table(("a", "b"), rows)))
    assert set(seen.elements) == {"table", "thead", "tbody", "tr", "th", "td"}
    found = [cell.strip("\n").strip() for cell in seen.cells]
    assert found == [visible(cell).strip() for row in rows for cell in row]


def test_numbers_have_separators_and_no_rows_are_said_so():
    assert table(("a",), [(12345,)])[1:] == ["| ---: |", "| 12,345 |"]
    assert table(("a",), []) == ["None."]


def test_hostile_text_leaves_no_tag_or_line_break_in_the_source():
    escaped = escape(HOSTILE)
    assert "<" not in escaped
    assert "\n" not in escaped
    assert "\u202e" not in escaped
