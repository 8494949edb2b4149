import csv
import io
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import SetupError
from ingest.sources.delimited import read_delimited

LONG = "x" * 200_000


def read(text, delimiter=","):
    content = text if isinstance(text, bytes) else text.encode()
    return list(read_delimited(io.BytesIO(content), "t.csv", "url", delimiter))


def test_a_quote_that_never_closes_costs_its_own_line_only():
    text = 'url\tcaption\n1\t"open\n' + "".join(f"{n}\tc\n" for n in range(2, 500))
    rows = read(text, "\t")
    assert [url for url, _, _ in rows] == [None, *(str(n) for n in range(2, 500))]
    assert "unexpected end of data: '1\\t\"open\\n'" in rows[0][2]
    assert [problem for _, _, problem in rows[1:]] == [None] * 498


def test_an_open_quote_that_meets_another_gives_back_the_lines_between():
    rows = read('url,c\n1,"open\n2,x\n3,"so" said\n4,y\n')
    assert [(url, values) for url, values, _ in rows[1:]] == [
        ("2", {"c": "x"}),
        ("3", {"c": "so said"}),
        ("4", {"c": "y"}),
    ]
    assert rows[0][2] is not None


def test_an_open_quote_in_the_last_line_is_told():
    rows = read('url,c\n1,x\n2,"open')
    assert [problem is None for _, _, problem in rows] == [True, False]


@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=20))
def test_whatever_python_writes_is_read_back(rows):
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    surrogates = [any("\ud800" <= sign <= "\udfff" for sign in a + b) for a, b in rows]
    rows = [row for row, broken in zip(rows, surrogates, strict=True) if not broken]
    writer.writerows([("url", "c"), *rows])
    assert read(buffer.getvalue()) == [(url, {"c": c}, None) for url, c in rows]


@given(st.lists(st.text('ab"', max_size=8), max_size=12))
def test_no_line_is_lost_whatever_its_quotes(lines):
    text = "".join(f"<{number}>,{line}\n" for number, line in enumerate(lines))
    found = repr(read("url,c\n" + text))
    assert all(f"<{number}>" in found for number in range(len(lines)))


def test_columns_of_one_name_are_all_kept():
    assert read("url,c,c,url\n1,x,y,2\n") == [("1", {"c": "x", "c.2": "y", "url.2": "2"}, None)]


@pytest.mark.parametrize("header", [b"url,\xff\n", "url\n".encode("utf-16")])
def test_a_header_that_is_no_utf8_is_refused(header):
    with pytest.raises(SetupError, match="expected a header in UTF-8"):
        read(header)


def test_an_open_reader_does_not_shorten_the_fields_of_another():
    limit = csv.field_size_limit()
    first, second = (
        read_delimited(io.BytesIO(f"url,c\n1,a\n2,{LONG}\n".encode()), "t.csv", "url", ",")
        for _ in range(2)
    )
    assert next(first)[0] == next(second)[0] == "1"
    first.close()
    assert next(second) == ("2", {"c": LONG}, None)
    second.close()
    assert csv.field_size_limit() == limit


def test_readers_in_threads_take_long_fields_too():
    results = []
    text = "url,c\n" + f"1,{LONG}\n" * 20
    threads = [Thread(target=lambda: results.append(read(text))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [[problem for _, _, problem in rows] for rows in results] == [[None] * 20] * 8
