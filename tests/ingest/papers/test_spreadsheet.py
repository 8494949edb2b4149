import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from ingest.papers.spreadsheet import write_csv

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
cells = texts | st.builds(str.__add__, st.sampled_from("=+-@\t\r"), texts)


def read(content):
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


@given(st.lists(st.tuples(cells, cells), max_size=6))
def test_no_text_begins_as_a_formula_and_every_text_comes_back(rows):
    header, *found = read(write_csv(("a", "b"), rows))
    assert header == ["a", "b"]
    for row, texts_found in zip(rows, found, strict=True):
        for text, cell in zip(row, texts_found, strict=True):
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
            assert cell in (text, f"'{text}")


def test_negative_numbers_stay_numbers():
    assert read(write_csv(("n",), [(-1,), (0.5,)]))[1:] == [["-1"], ["0.5"]]
