import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import SetupError
from pipelines import over_shards
from pipelines.over_shards import map_shards, pack_results, unpack_results

SHARDS = [3, 1, 40, 2, 7]
ON_BEAM = ("--runner=FnApiRunner",)


def named(prefix, shard):
    """Work that Beam can pickle."""
    return f"{prefix} {shard}".encode()


def expected(shards):
    return [named("shard", shard) for shard in shards]


@pytest.mark.parametrize("arguments", [(), ON_BEAM])
def test_results_come_in_the_order_of_the_shards(arguments):
    assert list(map_shards(partial(named, "shard"), SHARDS, arguments, "")) == expected(SHARDS)


@pytest.mark.parametrize("arguments", [(), ON_BEAM])
def test_no_shards_give_no_results(arguments):
    assert list(map_shards(partial(named, "shard"), [], arguments, "")) == []


def test_several_shards_share_a_file_and_nothing_stays_in_scratch(tmp_path, monkeypatch):
    monkeypatch.setattr(over_shards, "_FEWEST_ELEMENTS", 3)
    monkeypatch.setattr(over_shards, "_FILES_AT_ONCE", 2)
    found = list(map_shards(partial(named, "shard"), range(10), ON_BEAM, str(tmp_path)))
    assert found == expected(range(10))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_workers_elsewhere_need_a_scratch_that_they_reach():
    arguments = ("--runner=PortableRunner", "--job_endpoint=example.org:1")
    with pytest.raises(SetupError, match="--scratch: expected a URI that all workers reach"):
        list(map_shards(partial(named, "shard"), SHARDS, arguments, ""))


def test_threads_run_no_further_ahead_than_a_few_shards():
    begun, lock = [], threading.Lock()

    def work(shard):
        with lock:
            begun.append(shard)
        return b""

    results = map_shards(work, range(1000), (), "")
    next(results)
    results.close()
    assert len(begun) < 100


def test_an_error_of_the_work_is_the_callers():
    def work(shard):
        raise SetupError(f"shard {shard}")

    with pytest.raises(SetupError, match="shard 3"):
        list(map_shards(work, SHARDS, (), ""))


@given(st.lists(st.binary(max_size=50)))
def test_packed_results_are_what_was_packed(results):
    assert list(unpack_results(pack_results(results))) == results
