from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingest.errors import SetupError
from ingest.questions.query import question
from ingest.questions.sealed import read_sealed
from schemas.ledger import LedgerRow
from schemas.tombstone import Tombstone
from tests.building import commits_of
from tests.train_entry.datasets import (
    add_retry,
    add_tombstones,
    make_dataset,
    pictures,
    replace_ledger,
)

MEMORY_MIB = 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two shards with four and three pictures, in a folder whose name looks like a pattern."""
    folder = tmp_path_factory.mktemp("data") / "set [1]*"
    make_dataset(folder, [pictures(4), pictures(3)])
    return folder


def ask(folder, sql, memory_mib=MEMORY_MIB):
    """The rows of an answer as dicts of text."""
    with question(read_sealed(str(folder)), sql, memory_mib) as answer:
        return [
            dict(zip(answer.names, row.values(), strict=True))
            for batch in answer.texts()
            for row in batch.to_pylist()
        ]


def test_the_ledger_has_a_row_for_every_candidate(folder):
    found = ask(folder, "SELECT outcome, count(*) AS n FROM ledger GROUP BY 1 ORDER BY 1")
    assert found == [{"outcome": "http_404", "n": "2"}, {"outcome": "kept", "n": "7"}]


def test_a_pivot_says_its_columns(folder):
    told = "PIVOT ledger ON outcome {} USING count(*) GROUP BY shard ORDER BY shard"
    found = ask(folder, told.format("IN ('kept', 'http_404')"))
    assert [row["kept"] for row in found] == ["4", "3"]
    with pytest.raises(SetupError, match=r"expected a PIVOT with its columns.* got none"):
        ask(folder, told.format(""))


def test_the_kept_ones_know_their_shard_file(folder):
    found = ask(folder, "SELECT DISTINCT shard, shard_file FROM kept ORDER BY shard")
    files = ask(folder, "SELECT shard, shard_file FROM manifest ORDER BY shard")
    assert found == files
    assert len(files) == 2


def test_the_seal_is_one_row(folder):
    seal = read_sealed(str(folder)).seal
    (row,) = ask(folder, "SELECT version, merkle_root, outcomes->>'kept' AS kept FROM dataset")
    assert row == {"version": seal.version, "merkle_root": seal.merkle_root, "kept": "7"}


@pytest.mark.parametrize("view", ["tombstones", "removals"])
def test_a_view_without_rows_has_its_columns(view, folder):
    assert ask(folder, f"FROM {view}") == []
    columns = [row["column_name"] for row in ask(folder, f"DESCRIBE {view}")]
    assert set(Tombstone.model_fields if view == "tombstones" else {"reason", "authority"}) <= set(
        columns
    )


def test_a_dataset_without_samples_can_be_asked(tmp_path):
    make_dataset(tmp_path, [[]])
    assert ask(tmp_path, "SELECT count(*) AS n FROM kept") == [{"n": "0"}]
    make_dataset(tmp_path / "nothing", [])
    assert ask(tmp_path / "nothing", "FROM ledger") == []
    columns = [row["column_name"] for row in ask(tmp_path / "nothing", "DESCRIBE ledger")]
    assert columns == list(LedgerRow.model_fields)


def test_only_files_that_the_manifest_names_are_read(tmp_path):
    make_dataset(tmp_path, [pictures(2)])
    (part,) = (tmp_path / "ledger").iterdir()
    (tmp_path / "ledger" / "00001-left-over.parquet").write_bytes(part.read_bytes())
    assert ask(tmp_path, "SELECT count(*) AS n FROM ledger") == [{"n": "3"}]


def test_a_part_without_a_younger_column_has_nulls_there(tmp_path):
    make_dataset(tmp_path, [pictures(2), pictures(1)])
    part = pq.read_table(tmp_path / commits_of(tmp_path)[0].ledger_file)
    replace_ledger(tmp_path, 0, part.drop_columns(["md5", "trimmed_phash"]))
    (row,) = ask(tmp_path, "SELECT count(*) AS n, count(md5) AS m, count(url) AS u FROM ledger_all")
    assert row == {"n": "5", "m": "0", "u": "5"}


def test_a_sample_with_a_tombstone_is_not_kept_but_in_the_ledger(tmp_path):
    ids = make_dataset(tmp_path, [pictures(3)])
    add_tombstones(tmp_path, ids[:1], dict.fromkeys(ids, 0))
    assert {row["id"] for row in ask(tmp_path, "SELECT id FROM kept")} == set(ids[1:])
    assert ids[0] in {row["id"] for row in ask(tmp_path, "SELECT id FROM ledger")}
    (row,) = ask(tmp_path, "SELECT id, file FROM tombstones")
    assert row["id"] == ids[0]
    assert (tmp_path / row["file"]).is_file()


def test_of_a_candidate_that_was_retried_the_last_row_counts(tmp_path):
    make_dataset(tmp_path, [pictures(2)])
    add_retry(tmp_path, [pictures(1)])
    first, second = (
        pq.read_table(tmp_path / one.ledger_file).to_pylist() for one in commits_of(tmp_path)
    )
    missing = next(row for row in first if row["outcome"] != "kept")
    kept = next(row for row in second if row["outcome"] == "kept")
    kept |= {"id": missing["id"], "generation": 1}
    columns = {name: [row[name] for row in second] for name in LedgerRow.model_fields}
    replace_ledger(tmp_path, 1, LedgerRow.columns_to_table(columns))
    for view, outcomes in (("ledger_all", ["http_404", "kept"]), ("ledger", ["kept"])):
        sql = f"SELECT outcome FROM {view} WHERE id = '{missing['id']}' ORDER BY generation"
        assert [row["outcome"] for row in ask(tmp_path, sql)] == outcomes
    assert ask(tmp_path, "SELECT count(*) AS n FROM ledger") == [{"n": "4"}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM read_json('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM parquet_metadata('/etc/passwd')",
        "SELECT * FROM read_parquet('ledger/*.parquet')",
        "SELECT * FROM 'dataset://../../etc/passwd'",
        "SELECT * FROM read_blob('file:///etc/passwd')",
        "SELECT * FROM 'https://127.0.0.1:1/x.parquet'",
        "SELECT * FROM 's3://bucket/x.parquet'",
        "SELECT * FROM query('COPY ledger TO ''stolen.csv''')",
        "SELECT getenv('HOME')",
        "SELECT * FROM sealed",
        "SELECT * FROM folder",
    ],
)
def test_no_question_reads_anything_else(sql, folder):
    with pytest.raises(SetupError, match="expected a question"):
        ask(folder, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_text('dataset://build.json')",
        "FROM glob('dataset://**')",
        "FROM duckdb_secrets()",
        "FROM duckdb_variables() WHERE value LIKE '%/etc%'",
    ],
)
def test_there_is_nothing_else_to_find(sql, folder):
    assert ask(folder, sql) == []


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW ledger",
        "COPY ledger TO 'stolen.csv'",
        "COPY (SELECT 1) TO 'dataset://ledger/new.parquet'",
        "ATTACH 'other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET memory_limit = '100GB'",
        "RESET enable_external_access",
        "PRAGMA database_list",
        "CREATE TABLE mine AS SELECT 1",
        "DROP VIEW ledger",
        "DELETE FROM ledger",
        "INSERT INTO ledger SELECT * FROM ledger",
        "EXPORT DATABASE 'stolen'",
        "CALL pragma_version()",
        "PREPARE later AS SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "CHECKPOINT",
        "WITH gone AS (DELETE FROM ledger RETURNING *) SELECT * FROM gone",
        "WITH sent AS (COPY (SELECT 1) TO 'stolen.csv') SELECT 1",
        "WITH a AS (WITH b AS (COPY (SELECT 1) TO 'x') SELECT 1) SELECT * FROM a",
        "SELECT 1 UNION ALL (WITH b AS (INSERT INTO t VALUES (1) RETURNING *) FROM b)",
    ],
)
def test_what_is_not_one_select_is_refused(sql, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SetupError, match=r"expected (a|one) SELECT, got|expected a question"):
        ask(folder, sql)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "FROM ledger",
        "SELECT 1 -- why; not",
        "SELECT ';' AS a;",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "VALUES (1), (2)",
        "SHOW TABLES",
        "DESCRIBE ledger",
        "SUMMARIZE SELECT id FROM ledger",
        "SELECT id, row_number() OVER (ORDER BY id) FROM kept QUALIFY 1 = 1",
    ],
)
def test_all_ways_to_write_a_select_are_answered(sql, folder):
    assert ask(folder, sql)


def test_an_unknown_view_is_told_with_those_that_there_are(folder):
    with pytest.raises(SetupError, match=r"urls does not exist!\nthere is: dataset, kept, ledger,"):
        ask(folder, "FROM urls")


def test_an_unknown_column_is_told_with_those_of_the_view(folder):
    with pytest.raises(SetupError, match=r"(?s)\"urls\" not found.*columns of manifest: .*shard,"):
        ask(folder, "SELECT urls FROM manifest")


def test_an_error_in_the_midst_of_the_answer_is_a_sentence(folder):
    late = "SELECT CASE WHEN i > 50000 THEN error('late') ELSE i END FROM range(60000) t(i)"
    with pytest.raises(SetupError, match="late"):
        ask(folder, late)


def test_no_file_stays_open(folder):
    ask(folder, "FROM ledger")
    gone = "(the listing itself)"
    links = [
        one.readlink() if one.is_symlink() else gone for one in Path("/proc/self/fd").iterdir()
    ]
    assert [one for one in links if str(folder) in str(one)] == []


def test_a_missing_part_is_named(tmp_path):
    make_dataset(tmp_path, [pictures(1)])
    (part,) = (tmp_path / "ledger").iterdir()
    part.unlink()
    with pytest.raises(SetupError, match=f"expected ledger/{part.name} in .*, got no such file"):
        ask(tmp_path, "SELECT url FROM ledger")


def test_a_missing_manifest_is_named(tmp_path):
    make_dataset(tmp_path, [pictures(1)])
    (tmp_path / "manifest.parquet").unlink()
    with pytest.raises(SetupError, match=r"manifest.parquet: expected a manifest, got .* No such"):
        ask(tmp_path, "FROM ledger")


def test_a_manifest_cannot_name_files_outside_of_its_dataset(tmp_path):
    make_dataset(tmp_path, [pictures(1)])
    manifest = pq.read_table(tmp_path / "manifest.parquet")
    place = manifest.column_names.index("ledger_file")
    outside = manifest.set_column(place, manifest.field(place), [["ledger/../../other.parquet"]])
    pq.write_table(outside, tmp_path / "manifest.parquet")
    with pytest.raises(SetupError, match="expected a path inside of the dataset"):
        ask(tmp_path, "FROM ledger")


def test_an_unfinished_dataset_is_refused(tmp_path):
    with pytest.raises(SetupError, match="expected a finished dataset, got none at"):
        ask(tmp_path, "FROM ledger")


def test_a_large_sort_spills_and_leaves_nothing_behind(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    # Some 200 MB that must be in order before the first is told.
    sql = "SELECT md5(i::VARCHAR) || repeat('x', 80) AS a FROM range(1500000) t(i) ORDER BY a"
    with question(read_sealed(str(folder)), sql, memory_mib=100) as answer:
        _, batches = answer.rows()
        assert next(batches).num_rows
        assert sum(one.stat().st_size for one in tmp_path.rglob("*") if one.is_file()) > 10 << 20
    assert list(tmp_path.iterdir()) == []
