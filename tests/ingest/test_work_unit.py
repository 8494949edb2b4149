import pytest

from ingest import storage
from ingest.errors import SetupError
from ingest.plan_part import to_row, write_plan_part
from ingest.sources.candidates import stored_candidate
from ingest.work_unit import Engine, Run
from schemas.candidate import Carrier
from schemas.options import BuildOptions, InspectOptions


def build_first_shard(engine):
    engine.submit(0)
    engine.drain()


def test_a_store_that_cannot_be_opened_ends_the_run_with_its_own_error(tmp_path):
    # Not with a group of as many errors as there are candidates under way.
    place = (Carrier.FILE, "abfs://bucket/t.tar", "0+10")
    candidates = [stored_candidate("t", row, f"t#{row}", {}, place) for row in range(20)]
    rows = [to_row(row, one) for row, one in enumerate(candidates)]
    write_plan_part(str(tmp_path), 0, rows)
    options = BuildOptions(output=str(tmp_path), inspect=InspectOptions(decoder_processes=1))
    engine = Engine(Run(options, "0" * 64))
    try:
        with pytest.raises(SetupError, match="expected the fsspec package for it"):
            build_first_shard(engine)
    finally:
        engine.close()
    assert not storage.exists(f"{tmp_path}/commits")
