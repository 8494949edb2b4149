import io

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.audit.leaves import kept_rows, ledger_leaves
from ingest.pack.provenance import SAMPLE_FIELDS, provenance_json
from ingest.pack.tar import write_tar
from schemas.ledger import LedgerRow
from tests.samples import described, sample_of

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def ledger_of(rows):
    """A ledger part with these kept rows and failures between them."""
    blank = dict.fromkeys(LedgerRow.model_fields)
    missing = {**blank, **described(10**9, b""), "outcome": "http_404"}
    full = [one for row in rows for one in ({**blank, **row, "outcome": "kept"}, missing)]
    columns = {name: [row[name] for row in full] for name in LedgerRow.model_fields}
    return LedgerRow.columns_to_table(columns)


def packed_rows(images):
    """Ledger rows of a tar of these images, and its leaves in shard order."""
    rows = [described(number, image, f"number {number}") for number, image in enumerate(images)]
    samples = [sample_of(row, image) for row, image in zip(rows, images, strict=True)]
    written = write_tar(samples, io.BytesIO())
    for row, image, offset in zip(rows, images, written.offsets, strict=True):
        row.update(offset_bytes=offset, length_bytes=len(image), generation=0, shard=0)
    return rows, written.leaves


@given(st.lists(st.binary(max_size=50), max_size=8), st.randoms(use_true_random=False))
def test_a_ledger_gives_the_leaves_of_its_shard_whatever_the_order_of_its_rows(images, generator):
    rows, leaves = packed_rows(images)
    generator.shuffle(rows)
    assert ledger_leaves(ledger_of(rows)) == leaves


@given(st.fixed_dictionaries(dict.fromkeys(SAMPLE_FIELDS, texts)))
def test_the_json_has_sorted_fields_and_the_columns_as_they_came(values):
    row = {**values, "columns": '{"b" : 1,"a":2}', "outcome": "kept"}
    content = provenance_json(row)
    found = orjson.loads(content)
    assert list(found) == sorted([*SAMPLE_FIELDS, "columns"])
    assert {name: found[name] for name in SAMPLE_FIELDS} == values
    assert b'"columns":{"b" : 1,"a":2}' in content
    assert provenance_json({**row, "columns": None}) == content.replace(b'{"b" : 1,"a":2}', b"{}")


def test_kept_rows_come_in_the_order_of_their_bytes():
    rows, _ = packed_rows([b"a", b"b", b"c"])
    kept = kept_rows(ledger_of(rows[::-1]))
    assert kept["id"].to_pylist() == [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("name", "value"),
    [("id", "xy"), ("id", "f" * 31 + "\0"), ("sha256", None), ("sha256", "f" * 63)],
)
def test_an_id_or_digest_that_is_none_is_an_error_with_both_sides(name, value):
    rows, _ = packed_rows([b"a", b"b"])
    rows[1][name] = value
    with pytest.raises(ValueError, match=f"{name}: expected \\d+ hex digits, got"):
        ledger_leaves(ledger_of(rows))


def test_a_column_without_chunks_gives_no_leaves():
    schema = LedgerRow.arrow_schema()
    empty = pa.table({field.name: pa.chunked_array([], field.type) for field in schema})
    assert ledger_leaves(empty) == []
