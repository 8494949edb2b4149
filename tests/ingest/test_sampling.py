from hypothesis import given
from hypothesis import strategies as st

from ingest.sampling import draw, is_taken, sample_id, shard_of, shards_over

ids = st.binary(min_size=16, max_size=16).map(bytes.hex)


def test_ids_are_what_they_were_in_every_earlier_version():
    assert sample_id("urls.csv", 7, "http://a/x.jpg") == "58763e63dfddb621dfcb2afc5a4aea56"


@given(st.text(), st.integers(0, 2**40), st.text())
def test_an_id_is_32_hex_digits_and_depends_on_all_three(source, row, url):
    one = sample_id(source, row, url)
    assert len(one) == 32
    assert int(one, 16) >= 0
    assert one != sample_id(source + "x", row, url)
    assert one != sample_id(source, row + 1, url)
    assert one != sample_id(source, row, url + "x")


def test_parts_cannot_run_into_each_other():
    assert sample_id("a1", 2, "b") != sample_id("a", 12, "b")
    assert sample_id("a", 1, "2b") != sample_id("a", 12, "b")


@given(ids, st.integers(0, 2**63 - 1), st.integers(1, 10_000))
def test_draws_are_in_range_and_shards_too(candidate, seed, num_shards):
    number, order = draw(candidate, seed)
    assert 0 <= number < 2**64
    assert 0 <= shard_of(order, num_shards) < num_shards
    assert is_taken(number, 1.0)
    assert (number, order) == draw(candidate, seed)


def test_draws_are_uniform_and_independent():
    draws = [draw(sample_id("s", row, "u"), 3) for row in range(20_000)]
    taken = [order for number, order in draws if is_taken(number, 0.25)]
    assert abs(len(taken) - 5000) < 5 * (20_000 * 0.25 * 0.75) ** 0.5
    shards = [shard_of(order, 10) for order in taken]
    assert all(
        abs(shards.count(n) - len(taken) / 10) < 5 * (len(taken) * 0.09) ** 0.5 for n in range(10)
    )


def test_a_larger_sample_holds_the_smaller_one():
    draws = [draw(sample_id("s", row, "u"), 3)[0] for row in range(2000)]
    small = {number for number in draws if is_taken(number, 0.1)}
    assert small < {number for number in draws if is_taken(number, 0.2)}


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2), st.integers(1, 1000))
def test_shards_are_stretches_of_the_global_order(orders, num_shards):
    shards = [shard_of(order, num_shards) for order in sorted(orders)]
    assert shards == sorted(shards)


def test_samples_and_shuffles_are_what_they_were_in_every_earlier_version():
    candidate = "58763e63dfddb621dfcb2afc5a4aea56"
    assert draw(candidate, 7) == (15363839068382458318, 12060886638353593252)
    assert draw(candidate, 7) != draw(candidate, 8)
    assert shard_of(12060886638353593252, 100) == 65


@given(st.integers(0, 2**64 - 1), st.integers(1, 1000), st.integers(1, 1000))
def test_the_shards_over_a_shard_are_those_that_hold_its_candidates(order, num_shards, others):
    over = shards_over(shard_of(order, num_shards), num_shards, others)
    assert shard_of(order, others) in over
    assert len(over) <= others // num_shards + 2
