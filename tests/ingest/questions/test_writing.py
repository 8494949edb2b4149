import io
import json

import pyarrow.parquet as pq
import pytest

from ingest.errors import SetupError
from ingest.questions.query import question
from ingest.questions.sealed import read_sealed
from ingest.questions.writing import TerminalFile, write_csv, write_json, write_parquet
from schemas.ledger import LedgerRow
from tests.train_entry.datasets import make_dataset, pictures

MEMORY_MIB = 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A dataset of two shards with four and three pictures."""
    folder = tmp_path_factory.mktemp("data")
    make_dataset(folder, [pictures(4), pictures(3)])
    return folder


def written(folder, sql, write):
    buffer = io.BytesIO()
    with question(read_sealed(str(folder)), sql, MEMORY_MIB) as answer:
        write(answer, buffer)
    return buffer.getvalue()


def test_csv_keeps_null_apart_from_empty_and_bytes_are_hex(folder):
    sql = "SELECT NULL::VARCHAR AS a, '' AS b, 'say \"hi\",\nplease' AS c, '\\x00\\xFF'::BLOB AS d"
    found = written(folder, sql, write_csv)
    assert found == b'"a","b","c","d"\n,"","say ""hi"",\nplease","00ff"\n'


def test_json_is_strict_and_has_one_object_a_line(folder):
    sql = """
        SELECT 'nan'::DOUBLE AS a, [1e400::DOUBLE, 1] AS b, 'NaN' AS c, '\\x01'::BLOB AS d,
               170141183460469231731687303715884105727 AS e, {'x': [1, NULL]} AS f, NULL AS g
        FROM range(2)
    """
    lines = written(folder, sql, write_json).splitlines()
    expected = {"a": None, "b": [None, 1.0], "c": "NaN", "d": "01", "e": 2**127 - 1}
    for line in lines:
        found = json.loads(line, parse_constant=pytest.fail)
        assert found == expected | {"f": {"x": [1, None]}, "g": None}
    assert len(lines) == 2


def test_parquet_keeps_the_types(folder):
    sql = "SELECT id, shard, phash, fetched_at, requests FROM ledger"
    found = pq.read_table(io.BytesIO(written(folder, sql, write_parquet)))
    expected = LedgerRow.arrow_schema()
    assert found.num_rows == 9
    assert [found.schema.field(name).type for name in ("id", "shard")] == [
        expected.field(name).type for name in ("id", "shard")
    ]


def test_a_type_that_parquet_lacks_is_told(folder):
    with pytest.raises(SetupError, match="expected types that parquet has"):
        written(folder, "SELECT union_value(a := 1) AS u", write_parquet)


def test_two_columns_of_one_name_are_both_answered(folder):
    assert written(folder, "SELECT 1 AS a, 2 AS a", write_csv) == b'"a","a"\n"1","2"\n'


def test_a_terminal_is_given_no_control_characters():
    shown = io.StringIO()
    TerminalFile(shown).write("a\x1b[31m\u202eb\n".encode())
    assert shown.getvalue() == "a\\u001b[31m\\u202eb\n"
