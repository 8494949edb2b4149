import pytest

from tests.building import (
    HOST,
    build,
    commits_of,
    ledger_of,
    picture_site,
    shards_of,
    write_urls,
)

NUM_PICTURES = 120


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A running web and two URL tables that lead to it."""
    from ingest.miniweb.server import MiniWeb

    folder = tmp_path_factory.mktemp("tables")
    with MiniWeb(picture_site(NUM_PICTURES)) as web:
        urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES)]
        first = write_urls(folder / "a.csv", urls[:50])
        second = write_urls(folder / "b.csv", urls[50:])
        yield first, second


@pytest.fixture(scope="module")
def reference(tables, tmp_path_factory):
    """A dataset built with one decoder and one worker."""
    dataset = tmp_path_factory.mktemp("reference") / "dataset"
    inputs = [f"--input={table}" for table in tables]
    build(dataset, *inputs, "--shard-candidates=30", "--decoder-processes=1")
    return dataset


@pytest.mark.parametrize(
    "arguments",
    [
        ["--decoder-processes=4", "--connections=3"],
        ["--direct_running_mode=multi_processing", "--direct_num_workers=2"],
    ],
    ids=["4 decoders", "2 workers"],
)
def test_shards_do_not_depend_on_the_number_of_processes(tables, reference, dataset, arguments):
    inputs = [f"--input={table}" for table in tables]
    build(dataset, *inputs, "--shard-candidates=30", *arguments)
    assert shards_of(dataset) == shards_of(reference)


def test_shards_do_not_depend_on_the_order_in_which_inputs_are_named(tables, reference, dataset):
    inputs = [f"--input={table}" for table in reversed(tables)]
    build(dataset, *inputs, "--shard-candidates=30")
    assert shards_of(dataset) == shards_of(reference)


def test_another_seed_gives_another_order(tables, reference, dataset):
    inputs = [f"--input={table}" for table in tables]
    build(dataset, *inputs, "--shard-candidates=30", "--seed=1")
    one, other = ([row["id"] for row in ledger_of(built)] for built in (dataset, reference))
    assert sorted(one) == sorted(other)
    assert one != other


def test_outcomes_add_up_to_the_plan_in_each_shard(reference):
    for commit in commits_of(reference):
        assert sum(commit.outcomes.values()) == commit.num_candidates
    assert sum(commit.num_candidates for commit in commits_of(reference)) == NUM_PICTURES
