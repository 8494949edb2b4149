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

from ingest.errors import SetupError
from ingest.sources import read_candidates, split_input
from schemas.candidate import Candidate, Carrier
from schemas.options import PlanOptions
from schemas.outcome import Outcome
from tests.reading import read_input as read

URLS = [f"http://a.example/{number}.jpg" for number in range(5)]


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


@pytest.mark.parametrize("kind", ["csv", "txt", "jsonl"])
@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_an_empty_compressed_file_is_a_broken_one(tmp_path, kind, packing):
    path = tmp_path / f"t.{kind}{packing}"
    path.write_bytes(b"")
    with pytest.raises(SetupError, match=r"expected a whole .* file, got 0 bytes"):
        read(path)


def test_keys_of_json_lines_may_differ_from_line_to_line(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_bytes(
        b'\xef\xbb\xbf{"c": 1}\n{"URL": "http://a.example/1"}\n{"url": "http://a.example/2"}'
    )
    found = read(path)
    assert outcomes(found) == [Outcome.MALFORMED_ROW, None, None]
    assert found[0].columns == '{"c":1}'


def test_json_lines_that_never_have_the_column_are_refused(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"link": 1}\n{"caption": 2}\n')
    with pytest.raises(SetupError, match=r"expected a column 'url' .*, got link, caption"):
        read(path)


@pytest.mark.parametrize("kind", ["jsonl", "txt", "csv"])
def test_a_line_that_never_ends_is_one_malformed_row(tmp_path, kind):
    head, line = {
        "jsonl": (b"", b'{"url":"http://a.example/1"}\n'),
        "txt": (b"", b"http://a.example/1\n"),
        "csv": (b"url\n", b"http://a.example/1\n"),
    }[kind]
    path = tmp_path / f"t.{kind}"
    path.write_bytes(head + line + b"x" * (17 << 20) + b"\n" + line)
    found = read(path)
    assert outcomes(found) == [None, Outcome.MALFORMED_ROW, None]
    assert "16777216" in found[1].problem_detail
    assert found[1].url == ""


def test_columns_nested_too_deep_cost_their_row_only(tmp_path):
    path = tmp_path / "t.jsonl"
    deep = '{"url": "http://a.example/1", "c": ' + "[" * 400 + "]" * 400 + "}\n"
    path.write_text(deep + '{"url": "http://a.example/2"}\n')
    found = read(path)
    assert outcomes(found) == [Outcome.MALFORMED_ROW, None]
    assert found[0].url == "http://a.example/1"


def test_nul_and_lone_surrogates_can_be_written_to_a_plan(tmp_path):
    (tmp_path / "t.jsonl").write_bytes(
        b'{"url":"http://a.example/\\u0000","c":"\\u0000"}\n{"url":"http://a.example/\\ud800"}\n'
        b'{"url":"http://a.example/3","c":"\\udfff"}\n'
    )
    (tmp_path / "t.csv").write_bytes(b"url,c\nhttp://a.example/\x00,\x00\nhttp://a/\xff,\xff\n")
    for name in ("t.jsonl", "t.csv"):
        candidates = read(tmp_path / name)
        assert candidates[0].url == "http://a.example/\x00"
        table = Candidate.to_table(candidates)
        pq.write_table(table, tmp_path / "part.parquet")
        assert pq.read_table(tmp_path / "part.parquet").equals(table)


@pytest.mark.parametrize(
    "url", ["data:image/png;base64", "ftp://a/1", "file:///etc/passwd", "http://", "http://[::1"]
)
def test_what_http_cannot_fetch_is_an_invalid_url_kept_as_given(tmp_path, url):
    (tmp_path / "t.txt").write_text(f"  {url}\n")
    (found,) = read(tmp_path / "t.txt")
    assert (found.problem, found.url) == (Outcome.INVALID_URL, f"  {url}")
    assert found.problem_detail


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "txt", "parquet"])
def test_rows_are_counted_as_they_are_read(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        pq.write_table(pa.table({"url": [*URLS, None]}), path)
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"url": url}) + "\n" for url in URLS) + "broken\n")
    else:
        path.write_text("url\n\n" + "\n".join(URLS))
    assert len(read(path)) == len(URLS) + (kind not in ("csv", "tsv"))


@pytest.mark.parametrize("kind", ["txt", "jsonl"])
@settings(max_examples=30, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=30).map(lambda one: one.replace(b"\r", b"")), max_size=20),
    piece_bytes=st.integers(1, 40),
)
def test_a_file_that_is_split_gives_the_rows_of_the_whole(
    tmp_path_factory, kind, lines, piece_bytes
):
    path = tmp_path_factory.mktemp("split") / f"t.{kind}"
    path.write_bytes(b'{"url": "http://a.example/0"}\n' + b"\n".join(lines))
    whole = read(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest.sources.url_table.PIECE_BYTES", piece_bytes)
        assert read(path) == whole


def test_a_parquet_table_is_split_by_row_groups(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    table = pa.table({"url": [f"http://a.example/{n}" for n in range(100)], "n": range(100)})
    pq.write_table(table, path, row_group_size=7)
    whole = read(path)
    monkeypatch.setattr("ingest.sources.parquet.PIECE_BYTES", 300)
    assert len(list(split_input(str(path), PlanOptions(input=("x",))))) > 3
    assert read(path) == whole
    assert [one.row for one in whole] == list(range(100))


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
    with gzip.open(tmp_path / "t.csv.gz", "wt", compresslevel=1) as file:
        file.write("url,caption\n")
        file.writelines(f"http://a.example/{n}.jpg,{'word ' * 200}\n" for n in range(60_000))
    tracemalloc.start()
    options = PlanOptions(input=("x",))
    (piece,) = split_input(f"{tmp_path}/t.csv.gz", options)
    count = sum(len(batch) for batch in read_candidates(piece, options))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60_000
    assert peak < 50e6  # two batches; all candidates would take 125 MB
