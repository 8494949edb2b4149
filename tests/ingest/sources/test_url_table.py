import csv
import gzip
import io
import json
import tracemalloc
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import storage
from ingest.errors import SetupError
from ingest.sources import expand_inputs, read_candidates
from schemas.candidate import Candidate, Carrier
from schemas.options import PlanOptions
from schemas.outcome import Outcome

URLS = [f"http://a.example/{number}.jpg" for number in range(5)]


def read(path, **options):
    """All candidates of one input, each validated."""
    batches = read_candidates(str(path), PlanOptions(input=(str(path),), **options))
    found = [one for batch in batches for one in batch]
    return [Candidate.model_validate(one.model_dump()) for one in found]


def outcomes(candidates):
    return [one.problem for one in candidates]


def compressed(path, content):
    """Write bytes plainly, or packed as the suffix says."""
    if path.suffix == ".gz":
        content = gzip.compress(content)
    elif path.suffix == ".zst":
        with pa.output_stream(path, compression="zstd") as file:
            file.write(content)
        return path
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "txt"])
def test_text_tables_give_their_rows_in_order(tmp_path, kind, packing):
    separator = {"csv": ",", "tsv": "\t"}.get(kind)
    if separator:
        text = f"url{separator}caption\n" + "".join(f"{url}{separator}c\n" for url in URLS)
    elif kind == "jsonl":
        text = "".join(json.dumps({"url": url, "caption": "c"}) + "\n" for url in URLS)
    else:
        text = "".join(url + "\n" for url in URLS)
    found = read(compressed(tmp_path / f"t.{kind}{packing}", text.encode()))
    assert [one.url for one in found] == URLS
    assert [one.row for one in found] == list(range(5))
    assert outcomes(found) == [None] * 5
    assert {one.carrier for one in found} == {Carrier.URL}
    expected = None if kind == "txt" else '{"caption":"c"}'
    assert {one.columns for one in found} == {expected}


def test_parquet_columns_of_any_type_pass_through(tmp_path):
    rows = [
        {
            "URL": URLS[0],
            "when": datetime(2020, 1, 2, tzinfo=UTC),
            "price": Decimal("1.50"),
            "tags": ["a", "b"],
            "nested": {"x": 1},
            "raw": b"\xff\x00",
            "missing": None,
        }
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    (found,) = read(tmp_path / "t.parquet")
    assert found.url == URLS[0]
    assert json.loads(found.columns) == {
        "when": "2020-01-02T00:00:00+00:00",
        "price": "1.50",
        "tags": ["a", "b"],
        "nested": {"x": 1},
        "raw": "\ufffd\x00",
        "missing": None,
    }


def test_malformed_rows_become_candidates_with_a_problem(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(
        b"url,caption\nhttp://a.example/1,x\nhttp://a.example/2\n,empty\n\n"
        b"http://a.example/\xff,bytes\nhttp://a.example/3,x,y\nftp://a/4,scheme\n nonsense ,x\n"
        b'"http://a.example/5","two\nlines"\n'
    )
    found = read(path)
    malformed, invalid = Outcome.MALFORMED_ROW, Outcome.INVALID_URL
    expected = [None, malformed, malformed, malformed, malformed, invalid, invalid, None]
    assert outcomes(found) == expected
    assert found[1].problem_detail == "expected 2 fields, got 1"
    assert "expected scheme http or https, got ftp" in found[5].problem_detail
    assert json.loads(found[7].columns) == {"caption": "two\nlines"}


def test_broken_json_lines_become_candidates_with_a_problem(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"url": "http://a.example/1"}\n{"url": \n[1]\n{"other": 1}\n{"url": 5}\n')
    assert outcomes(read(path)) == [None] + [Outcome.MALFORMED_ROW] * 4


def test_null_urls_in_parquet_are_malformed_rows(tmp_path):
    table = pa.table({"url": ["http://a.example/1", None, "  "]})
    pq.write_table(table, tmp_path / "t.parquet")
    assert outcomes(read(tmp_path / "t.parquet")) == [None] + [Outcome.MALFORMED_ROW] * 2


def test_a_byte_order_mark_belongs_to_no_name(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfurl\nhttp://a.example/1\n")
    (tmp_path / "t.txt").write_bytes(b"\xef\xbb\xbfhttp://a.example/1\n")
    assert outcomes(read(tmp_path / "t.csv")) == outcomes(read(tmp_path / "t.txt")) == [None]


def test_a_table_without_the_column_names_those_it_has(tmp_path):
    (tmp_path / "t.csv").write_text("link,caption\nhttp://a.example/1,x\n")
    with pytest.raises(SetupError, match=r"expected a column 'url' .*, got link, caption"):
        read(tmp_path / "t.csv")
    assert outcomes(read(tmp_path / "t.csv", url_column="link")) == [None]


def test_a_file_that_ends_too_soon_fails_and_tells_how_far_it_got(tmp_path):
    text = "".join(f"http://a.example/{number}\n" for number in range(50_000))
    content = gzip.compress(text.encode())
    (tmp_path / "t.txt.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(SetupError, match=r"gz: expected a whole txt file, got .* at row \d"):
        read(tmp_path / "t.txt.gz")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 this is none")
    with pytest.raises(SetupError, match="expected a whole parquet file"):
        read(tmp_path / "t.parquet")


def test_inputs_are_globs_folders_and_uris(tmp_path):
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_text("url\n")
    storage.write_bytes("memory://tables/c.csv", b"url\nhttp://a.example/1\n")
    options = PlanOptions(input=(f"{tmp_path}/*.csv", "memory://tables/c.csv"))
    assert expand_inputs(options) == [
        f"{tmp_path}/a.csv",
        f"{tmp_path}/b.csv",
        "memory://tables/c.csv",
    ]
    assert outcomes(read("memory://tables/c.csv")) == [None]


@pytest.mark.parametrize("name", ["missing.csv", "*.nothing"])
def test_an_input_that_names_nothing_is_refused(tmp_path, name):
    with pytest.raises(SetupError, match="got nothing at"):
        expand_inputs(PlanOptions(input=(str(tmp_path / name),)))


def test_a_file_of_no_known_kind_is_refused(tmp_path):
    (tmp_path / "t.xls").write_text("")
    with pytest.raises(SetupError, match=r"ending in parquet, csv, .*, got .*t\.xls"):
        expand_inputs(PlanOptions(input=(str(tmp_path / "t.xls"),)))


def test_a_folder_gives_every_visible_file_in_order(tmp_path):
    for name in ("b.jpg", "a", "sub/c.png", ".hidden", ".git/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = read(tmp_path)
    assert [one.url for one in found] == [
        f"{tmp_path}/{name}" for name in ("a", "b.jpg", "sub/c.png")
    ]
    assert {one.carrier for one in found} == {Carrier.FILE}
    assert json.loads(found[2].columns) == {"path": "sub/c.png"}


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00"), max_size=20)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=20))
def test_one_table_is_the_same_in_every_kind(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("kinds")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([("url", "caption"), *rows])
    (folder / "t.csv").write_text(buffer.getvalue(), newline="")
    lines = (json.dumps({"url": url, "caption": caption}) for url, caption in rows)
    (folder / "t.jsonl").write_text("\n".join(lines), newline="")
    table = pa.table({"url": [row[0] for row in rows], "caption": [row[1] for row in rows]})
    pq.write_table(table, folder / "t.parquet")
    one, two, three = (
        [(row.row, row.url, row.columns, row.problem) for row in read(folder / name)]
        for name in ("t.csv", "t.jsonl", "t.parquet")
    )
    assert one == two == three


def test_a_large_table_is_streamed(tmp_path):
    with gzip.open(tmp_path / "t.csv.gz", "wt") as file:
        file.write("url,caption\n")
        file.writelines(f"http://a.example/{n}.jpg,{'word ' * 20}\n" for n in range(200_000))
    tracemalloc.start()
    count = sum(
        len(batch) for batch in read_candidates(f"{tmp_path}/t.csv.gz", PlanOptions(input=("x",)))
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 200_000
    assert peak < 40e6
