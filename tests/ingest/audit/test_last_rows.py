from collections import defaultdict
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.audit.last_rows import read_last_rows
from ingest.errors import SetupError
from ingest.sampling import draw, shard_of
from schemas.manifest import Commit, DatasetRecord, PlanRecord, RetryRecord

SEED = 4


def placed(one, carrier, generation, num_shards, block):
    """The shard of a candidate: of images in parquet files the plan takes whole row groups."""
    by_block = carrier == "parquet" and generation == 0
    return shard_of((block << 62) if by_block else draw(one, SEED)[1], num_shards)


@st.composite
def histories(draw_from):
    """Candidates as (id, carrier, block, generations it was in), and shards of each generation."""
    count = draw_from(st.integers(0, 25))
    shards = draw_from(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    candidates = []
    for number in range(count):
        later = draw_from(st.sets(st.integers(1, len(shards) - 1))) if len(shards) > 1 else set()
        carrier = draw_from(st.sampled_from(("url", "url", "parquet")))
        one = sha256(str(number).encode()).hexdigest()[:32]
        candidates.append((one, carrier, draw_from(st.integers(0, 3)), {0, *later}))
    return candidates, shards


def write_history(folder, history):
    """Ledger parts, a seal and commits, with no more in them than their readers need."""
    candidates, num_shards = history
    rows = defaultdict(list)
    first = [sum(num_shards[:generation]) for generation in range(len(num_shards))]
    for one, carrier, block, generations in candidates:
        for generation in generations:
            place = placed(one, carrier, generation, num_shards[generation], block)
            rows[first[generation] + place].append((one, carrier, generation, f"was {generation}"))
    commits = []
    schema = pa.schema(
        {"id": "string", "carrier": "string", "generation": "uint16", "detail": "string"}
    )
    (folder / "ledger").mkdir(parents=True, exist_ok=True)
    for shard in range(sum(num_shards)):
        path = f"ledger/{shard}.parquet"
        columns = list(zip(*rows[shard], strict=True)) or [()] * 4
        arrays = [
            pa.array(list(one), field.type) for one, field in zip(columns, schema, strict=True)
        ]
        pq.write_table(pa.table(arrays, schema=schema), folder / path)
        commits.append(Commit.model_construct(shard=shard, ledger_file=path))
    retries = tuple(
        RetryRecord.model_construct(
            generation=generation, first_shard=first[generation], num_shards=num_shards[generation]
        )
        for generation in range(1, len(num_shards))
    )
    plan = PlanRecord.model_construct(num_shards=num_shards[0])
    return DatasetRecord.model_construct(plan=plan, retries=retries), commits


@given(history=histories())
@settings(max_examples=60)
def test_each_candidate_comes_once_and_by_its_last_row(tmp_path_factory, history):
    folder = tmp_path_factory.mktemp("history")
    seal, commits = write_history(folder, history)
    parts = list(read_last_rows(str(folder), seal, commits, ("id", "detail")))
    assert [part.column_names for part in parts] == [["id", "detail"]] * len(commits)
    rows = [row for part in parts for row in part.to_pylist()]
    expected = {one: f"was {max(generations)}" for one, _, _, generations in history[0]}
    assert len(rows) == len(expected)
    assert {row["id"]: row["detail"] for row in rows} == expected


def test_columns_that_were_not_asked_for_or_are_not_there_do_not_come(tmp_path):
    history = [("a" * 32, "url", 0, {0, 1}), ("b" * 32, "url", 0, {0})], [1, 1]
    seal, commits = write_history(tmp_path, history)
    parts = list(read_last_rows(str(tmp_path), seal, commits, ("detail", "md5")))
    assert [part.to_pydict() for part in parts] == [{"detail": ["was 0"]}, {"detail": ["was 1"]}]


def test_a_missing_part_is_told(tmp_path):
    history = [("a" * 32, "url", 0, {0, 1})], [1, 1]
    seal, commits = write_history(tmp_path, history)
    (tmp_path / commits[1].ledger_file).unlink()
    with pytest.raises(SetupError, match=r"expected ledger/1.parquet in .*, got no such file"):
        list(read_last_rows(str(tmp_path), seal, commits, ("detail",)))
