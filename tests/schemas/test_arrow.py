from typing import Annotated

import pyarrow as pa
import pytest
from pydantic import Field, ValidationError

from schemas.__main__ import documents
from schemas.arrow import Record
from schemas.ledger import LedgerRow
from schemas.manifest import Commit, DatasetRecord, decode, encode
from schemas.options import BuildOptions, PlanOptions
from schemas.outcome import Outcome


def some_commit(**changes):
    values = {
        "shard": 3,
        "build_sha256": "a" * 64,
        "plan_file": "plan/00003.parquet",
        "plan_sha256": "b" * 64,
        "shard_file": "shards/x.tar",
        "shard_bytes": 1024,
        "shard_sha256": "c" * 64,
        "ledger_file": "ledger/x.parquet",
        "ledger_bytes": 9,
        "ledger_sha256": "d" * 64,
        "num_candidates": 5,
        "num_kept": 2,
        "image_bytes": 77,
        "outcomes": {"kept": 2, "dns": 3},
        "merkle_root": "e" * 64,
    }
    return Commit(**{**values, **changes})


def test_a_commit_is_the_same_from_json_and_from_the_manifest():
    commit = some_commit()
    assert decode(Commit, encode(commit)) == commit
    assert Commit.from_table(Commit.to_table([commit])) == [commit]


def test_an_empty_table_has_all_columns():
    assert LedgerRow.to_table([]).schema.equals(LedgerRow.arrow_schema())


def test_a_foreign_column_is_refused():
    table = Commit.to_table([some_commit()]).append_column("extra", pa.array([1]))
    with pytest.raises(ValidationError, match="extra"):
        Commit.from_table(table)


def test_a_field_without_an_arrow_type_is_refused():
    class Bad(Record):
        number: int

    with pytest.raises(TypeError, match="'number': expected one Arrow type"):
        Bad.arrow_schema()


def test_nullable_columns_are_those_that_admit_none():
    class Some(Record):
        always: Annotated[int, Field(ge=0), pa.int64()]
        maybe: Annotated[int, pa.int64()] | None

    assert [field.nullable for field in Some.arrow_schema()] == [False, True]


def test_the_generated_documentation_is_up_to_date():
    for path, text in documents().items():
        assert path.read_text() == text


def test_each_outcome_is_a_word_with_a_stage_and_an_explanation():
    for outcome in Outcome:
        assert str(outcome) == outcome.value == Outcome(outcome.value)
        assert outcome.value.replace("_", "").isalnum()
        assert outcome.stage
        assert outcome.explanation.endswith(".")


def test_options_that_only_change_speed_are_not_recorded():
    recorded = BuildOptions(output="x").recorded()
    assert "output" not in recorded
    assert "connections" not in recorded["fetch"]
    assert recorded["fetch"]["timeout_s"] == 30.0


def test_inputs_are_recorded_in_one_order():
    assert PlanOptions(input=("b", "a", "b")).input == ("a", "b")
    with pytest.raises(ValidationError, match="expected at least one --input"):
        PlanOptions(input=())


def test_the_seal_covers_every_field_of_the_record():
    plan = {
        "options": {},
        "inputs": (),
        "num_rows": 1,
        "num_candidates": 1,
        "num_shards": 1,
        "parts_sha256": "",
    }
    build = {
        "options": {},
        "plan_sha256": "",
        "fingerprint": "",
        "eval_index": None,
        "versions": {},
    }
    record = DatasetRecord(
        plan=plan,
        build=build,
        plan_sha256="",
        build_sha256="",
        manifest_sha256="",
        decontamination="not decontaminated",
        num_shards=1,
        num_candidates=1,
        num_kept=1,
        image_bytes=1,
        outcomes={"kept": 1},
        merkle_root="",
    ).sealed()
    assert record.sealed() == record
    assert record.model_copy(update={"decontamination": "x"}).sealed() != record
