import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest.errors import SetupError
from ingest.sources.parquet import count_parquet, read_parquet

URL = "http://a.example/1"


def read(table):
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    buffer.seek(0)
    rows = list(read_parquet(buffer, "t.parquet", "url"))
    assert count_parquet(buffer, "t.parquet", "url") == len(rows)
    return rows


def text_of(*values):
    """A text column that may hold what is no UTF-8."""
    return pa.array(values, pa.binary()).view(pa.string())


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1_234_567_890_123_456_789, pa.timestamp("ns"), "2009-02-13T23:31:30.123456789"),
        (1_000_000_000, pa.timestamp("ns", "UTC"), "1970-01-01T00:00:01+00:00"),
        (1_500_000_000, pa.timestamp("ns", "Europe/Berlin"), "1970-01-01T00:00:01.500000+00:00"),
        (5, pa.duration("ns"), "5 duration[ns]"),
        (2**60, pa.timestamp("us"), "1152921504606846976 timestamp[us]"),
    ],
)
def test_times_are_the_same_text_on_every_machine(value, dtype, expected):
    column = pa.array([value, None], pa.int64()).cast(dtype)
    (url, values, problem), (_, missing, _) = read(pa.table({"url": [URL, URL], "when": column}))
    assert (url, values, problem) == (URL, {"when": expected}, None)
    assert missing == {"when": None}


def test_a_time_zone_that_nobody_knows_does_no_harm():
    column = pa.array([0], pa.timestamp("us", "Nowhere/X"))
    ((_, values, problem),) = read(pa.table({"url": [URL], "when": column}))
    assert (values["when"].isoformat(), problem) == ("1970-01-01T00:00:00+00:00", None)


def test_text_that_is_no_utf8_costs_its_row_only():
    rows = read(pa.table({"url": text_of(URL.encode(), b"\xff"), "c": text_of(b"x", b"y")}))
    assert rows[0] == (URL, {"c": "x"}, None)
    assert rows[1] == (None, {"c": "y"}, "column 'url': expected UTF-8, got invalid start byte")
    rows = read(pa.table({"url": [URL, URL], "c": text_of(b"\xff", b"y")}))
    assert [row[2] is None for row in rows] == [False, True]


def test_columns_of_one_name_are_all_kept():
    table = pa.Table.from_arrays(
        [pa.array([URL]), pa.array([1]), pa.array([2])], names=["url", "c", "c"]
    )
    assert read(table) == [(URL, {"c": 1, "c.2": 2}, None)]


def test_a_table_without_the_column_is_refused_when_counting_too():
    buffer = io.BytesIO()
    pq.write_table(pa.table({"link": [URL]}), buffer)
    for work in (count_parquet, lambda *arguments: next(read_parquet(*arguments))):
        with pytest.raises(SetupError, match=r"expected a column 'url' .*, got link"):
            work(buffer, "t.parquet", "url")
