import csv
from hashlib import sha256
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingest.errors import SetupError
from ingest.plan_part import read_plan, read_plan_part, seal_plan
from pipelines.plan import plan
from schemas.candidate import Candidate
from schemas.manifest import plan_part_path
from schemas.options import PlanOptions
from schemas.outcome import Outcome
from tests.building import uncurated

RUNNER = ["--runner=FnApiRunner"]


def write_table(path, begin, end):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["url", "caption"])
        writer.writerows([f"http://a.example/{n}.jpg", f"caption {n}"] for n in range(begin, end))
    return str(path)


@pytest.fixture
def tables(tmp_path):
    return write_table(tmp_path / "a.csv", 0, 700), write_table(tmp_path / "b.csv", 700, 1000)


def counts_of(tables):
    return [(tables[0], "table", 700, 700), (tables[1], "table", 300, 300)]


def parts_of(dataset):
    return {path.name: path.read_bytes() for path in sorted(Path(dataset, "plan").iterdir())}


def test_every_row_is_in_exactly_one_part_in_shuffled_order(tables, dataset):
    record = plan(PlanOptions(input=tables, shard_candidates=100), dataset, RUNNER)
    assert (record.num_rows, record.num_candidates, record.num_shards) == (1000, 1000, 10)
    assert [(Path(one.uri).name, one.num_rows) for one in record.inputs] == [
        ("a.csv", 700),
        ("b.csv", 300),
    ]
    parts = [read_plan_part(dataset, plan_part_path(shard))[0] for shard in range(10)]
    candidates = [one for part in parts for one in part]
    urls = [one.url for one in candidates]
    assert sorted(urls) == sorted(f"http://a.example/{n}.jpg" for n in range(1000))
    assert urls != sorted(urls)
    assert all(Candidate.model_validate(one.model_dump()) == one for one in candidates)
    sizes = [len(part) for part in parts]
    assert all(50 < size < 150 for size in sizes)
    table = pq.read_table(Path(dataset, "plan", "00000.parquet"))
    assert table.schema.equals(Candidate.arrow_schema())


@pytest.mark.parametrize(
    "arguments", [[], ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]]
)
def test_parts_depend_neither_on_input_order_nor_on_workers(tables, dataset, tmp_path, arguments):
    options = PlanOptions(input=tables, shard_candidates=100)
    plan(options, dataset, RUNNER)
    other = PlanOptions(input=tables[::-1], shard_candidates=100)
    plan(other, str(tmp_path / "other"), [*RUNNER, *arguments])
    assert parts_of(dataset) == parts_of(tmp_path / "other")
    assert read_plan(dataset) == read_plan(str(tmp_path / "other"))


def test_sampling_takes_its_share_and_counts_the_rest(tables, dataset):
    record = plan(PlanOptions(input=tables, sample_rate=0.2), dataset, RUNNER)
    assert record.num_rows == 1000
    assert 130 < record.num_candidates < 270


def test_an_empty_table_gives_one_empty_part(tmp_path, dataset):
    table = write_table(tmp_path / "empty.csv", 0, 0)
    record = plan(PlanOptions(input=(table,)), dataset, RUNNER)
    assert (record.num_candidates, record.num_shards) == (0, 1)
    assert read_plan_part(dataset, plan_part_path(0))[0] == []


def test_more_shards_than_candidates_gives_empty_parts_too(tmp_path, dataset):
    table = write_table(tmp_path / "few.csv", 0, 9)
    record = plan(PlanOptions(input=(table,), shard_candidates=1), dataset, RUNNER)
    assert record.num_shards == 9
    assert sorted(parts_of(dataset)) == [f"{n:05d}.parquet" for n in range(9)]


def test_a_second_plan_is_the_first_unless_its_options_differ(tables, dataset):
    first = plan(PlanOptions(input=tables), dataset, RUNNER)
    before = parts_of(dataset)
    assert plan(PlanOptions(input=tables), dataset, RUNNER) == first
    with pytest.raises(SetupError, match="expected seed 0 as recorded, got 5"):
        plan(PlanOptions(input=tables, seed=5), dataset, RUNNER)
    assert parts_of(dataset) == before


def test_a_plan_that_another_run_wrote_meanwhile_is_never_taken_for_this_one(tables, dataset):
    plan(PlanOptions(input=tables), dataset, RUNNER)
    options = PlanOptions(input=tables, seed=5)
    counts = counts_of(tables)
    with pytest.raises(SetupError, match=r"plan\.json: expected none while planning"):
        seal_plan(dataset, options, counts, [(0, 1000, "00" * 32)])


def test_a_plan_that_lost_a_candidate_is_never_sealed(tables, dataset):
    options = PlanOptions(input=tables)
    counts = counts_of(tables)
    with pytest.raises(AssertionError, match=r"expected 1000 candidates .*, got 999"):
        seal_plan(dataset, options, counts, [(0, 999, "00" * 32)])
    assert read_plan(dataset) is None


def test_a_plan_has_the_rows_that_cannot_be_used_too(tmp_path, dataset):
    (tmp_path / "t.csv").write_bytes(
        b'url,c\nhttp://a.example/1,x\nftp://a/2,x\n,x\nhttp://a/\xff,x\nhttp://a/5,"x\n'
        b"http://a.example/6,\x00\nhttp://a.example/1,x\n"
    )
    record = plan(PlanOptions(input=(f"{tmp_path}/t.csv",)), dataset, RUNNER)
    assert (record.num_rows, record.num_candidates) == (7, 7)
    planned, digest_of_part = read_plan_part(dataset, plan_part_path(0))
    problems = {one.row: one.problem for one in planned}
    malformed = Outcome.MALFORMED_ROW
    expected = [None, Outcome.INVALID_URL, malformed, malformed, malformed, None, None]
    assert [problems[row] for row in range(7)] == expected
    assert record.parts_sha256 == sha256(bytes.fromhex(digest_of_part)).hexdigest()


def test_an_unreadable_table_is_told_in_one_sentence(tmp_path, dataset):
    (tmp_path / "t.parquet").write_bytes(b"no parquet")
    finished = uncurated("plan", f"--input={tmp_path}/t.parquet", f"--output={dataset}")
    assert finished.returncode == 2
    assert "t.parquet: expected a whole parquet file" in " ".join(finished.stderr.split())
    assert "Traceback" not in finished.stderr
    assert read_plan(dataset) is None
