import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.evaluation_index.probes import MAX_KEY_BITS, NUM_SURE, flip_steps, table_bits
from ingest.evaluation_index.tables import (
    GUARANTEED_RADIUS,
    MAX_HITS,
    SCAN_CODES,
    Tables,
    build_tables,
)

rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def some_codes(rng, count, kind):
    """Codes that are strangers, or nearly alike, or a few that come many times."""
    if kind == "random":
        return rng.integers(0, 2**64, (count, 4), dtype=np.uint64)
    few = rng.integers(0, 2**64, (3, 4), dtype=np.uint64)
    codes = few[rng.integers(0, 3, count)]
    return codes if kind == "equal" else flipped(rng, codes, 6)


def flipped(rng, codes, most):
    """Each code with 0 to `most` bits changed, at random places or all of them close together."""
    bits = np.unpackbits(np.ascontiguousarray(codes).view(np.uint8).reshape(-1, 32), axis=1)
    for row in bits:
        among = rng.permutation(256) if rng.integers(2) else rng.integers(0, 220) + np.arange(30)
        row[rng.permutation(among)[: rng.integers(0, most + 1)] if most < 30 else among[:most]] ^= 1
    return np.packbits(bits, axis=1).view(np.uint64)


def plain_hits(codes, query, limit):
    """The definition: (distance, place) of the nearest."""
    distances = np.bitwise_count(codes ^ query).sum(axis=1, dtype=np.int64)
    pairs = [(int(distances[place]), int(place)) for place in np.flatnonzero(distances <= limit)]
    return sorted(pairs)[:MAX_HITS]


def hits_of(hits, number):
    chosen = hits.query == number
    return list(zip(hits.distance[chosen].tolist(), hits.place[chosen].tolist(), strict=True))


@settings(deadline=None, max_examples=60)
@given(
    rng=rngs,
    count=st.sampled_from([0, 1, 2, 50, 3_000]),
    kind=st.sampled_from(["random", "clustered", "equal"]),
    scan_codes=st.sampled_from([0, 49, 3_000]),
    with_certainty=st.booleans(),
    limit=st.sampled_from([0, 3, GUARANTEED_RADIUS, 40]),
)
def test_all_codes_within_the_guaranteed_radius_are_found(
    rng, count, kind, scan_codes, with_certainty, limit
):
    codes = some_codes(rng, count, kind)
    tables = Tables(codes, build_tables(codes, scan_codes))
    near = codes[rng.integers(0, count, 6)] if count else codes
    queries = np.concatenate([flipped(rng, near, GUARANTEED_RADIUS), some_codes(rng, 2, "random")])
    # What the query says of itself may be wrong.
    certainty = rng.integers(0, 256, (len(queries), 256)).astype(np.uint8)
    hits = tables.near(queries, certainty if with_certainty else None, limit)
    for number, query in enumerate(queries):
        expected, found = plain_hits(codes, query, limit), hits_of(hits, number)
        if count <= scan_codes:
            assert found == expected
        # Whatever lies in the radius is as the definition says; beyond it, hits are true.
        sure = [pair for pair in expected if pair[0] <= GUARANTEED_RADIUS]
        assert [pair for pair in found if pair[0] <= GUARANTEED_RADIUS] == sure
        assert found == sorted(set(found))
        assert len(found) <= MAX_HITS
        places = [place for _, place in found]
        real = np.bitwise_count(codes[places] ^ query).sum(axis=1)
        assert real.tolist() == [distance for distance, _ in found]
        assert all(distance <= limit for distance, _ in found)


def test_the_guarantee_holds_for_any_place_of_the_changed_bits():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 2**64, (2_000, 4), dtype=np.uint64)
    tables = Tables(codes, build_tables(codes, 0))
    bits = np.unpackbits(codes.view(np.uint8), axis=1)
    # One or two changes in the key or tag of each sure table, as many as the radius allows.
    groups = table_bits(12)[:: len(table_bits(12)) // NUM_SURE]
    for row in bits:
        for number, group in enumerate(rng.permutation(groups)):
            row[rng.permutation(group)[: 1 if number == 0 else 2]] ^= 1
    hits = tables.near(np.packbits(bits, axis=1), None, GUARANTEED_RADIUS)
    assert hits.query.tolist() == hits.place.tolist() == list(range(2_000))
    assert set(hits.distance.tolist()) == {GUARANTEED_RADIUS}


def test_the_nearest_of_a_thousand_equal_codes_are_the_first_ones():
    codes = np.zeros((5_000, 4), np.uint64)
    codes[1_000:] = np.random.default_rng(1).integers(0, 2**64, (4_000, 4), dtype=np.uint64)
    codes = codes[::-1].copy()
    hits = Tables(codes, build_tables(codes, 0)).near(np.zeros((1, 4), np.uint64), None, 64)
    assert hits.place.tolist() == list(range(4_000, 4_000 + MAX_HITS))
    assert not hits.distance.any()


def test_ten_thousand_near_copies_do_not_hide_a_nearer_one():
    rng = np.random.default_rng(2)
    codes = np.zeros((10_001, 4), np.uint64)
    codes[:, 3] = rng.permutation(
        np.uint64(1) << np.uint64(60) | np.arange(10_001, dtype=np.uint64)
    )
    nearest = int(rng.integers(10_001))
    codes[nearest] = 0
    for scan_codes in (0, len(codes)):
        hits = Tables(codes, build_tables(codes, scan_codes)).near(codes[[nearest]], None, 20)
        assert hits_of(hits, 0) == plain_hits(codes, codes[nearest], 20)


def test_certainty_finds_codes_far_beyond_the_radius():
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 2**64, (20_000, 4), dtype=np.uint64)
    tables = Tables(codes, build_tables(codes, 0))
    certainty = np.tile(rng.permutation(256).astype(np.uint8), (500, 1))
    bits = np.unpackbits(codes[:500].view(np.uint8), axis=1)
    bits ^= (certainty < 120) & (rng.random(bits.shape) < 0.5)
    queries = np.packbits(bits, axis=1)
    assert len(tables.near(queries, certainty, 80).query) > 400


def test_the_same_codes_give_the_same_bytes():
    codes = some_codes(np.random.default_rng(4), 5_000, "clustered")
    first, second = build_tables(codes, 0), build_tables(codes.copy(), 0)
    assert sorted(first) == ["ids", "lines", "tags", "wide"]
    assert {name: values.tobytes() for name, values in first.items()} == {
        name: values.tobytes() for name, values in second.items()
    }


def test_tables_are_searched_where_they_are_mapped(tmp_path):
    codes = some_codes(np.random.default_rng(5), 4_000, "random")
    for name, values in {"codes": codes, **build_tables(codes, 0)}.items():
        np.save(tmp_path / f"{name}.npy", values, allow_pickle=False)
    mapped = {
        path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in tmp_path.iterdir()
    }
    tables = Tables(mapped.pop("codes"), mapped)
    hits = tables.near(codes.view(np.uint8).reshape(-1, 32), None, 0)
    assert hits.place.tolist() == list(range(4_000))


def test_few_codes_need_no_tables():
    codes = some_codes(np.random.default_rng(6), 100, "random")
    assert build_tables(codes) == {}
    assert len(codes) < SCAN_CODES


def test_no_query_has_no_hits():
    codes = some_codes(np.random.default_rng(7), 100, "random")
    for scan_codes in (0, 100):
        hits = Tables(codes, build_tables(codes, scan_codes)).near(codes[:0], None, 64)
        assert [len(values) for values in (hits.query, hits.place, hits.distance)] == [0, 0, 0]
        assert [values.dtype for values in (hits.query, hits.place, hits.distance)] == [
            np.int32,
            np.int64,
            np.uint8,
        ]


@pytest.mark.parametrize("key_bits", [1, 12, 26, 27, MAX_KEY_BITS])
def test_sure_tables_share_no_bit_and_none_has_the_mean(key_bits):
    bits = table_bits(key_bits)
    sure = bits[:: len(bits) // NUM_SURE].ravel()
    assert len(set(sure.tolist())) == len(sure) == NUM_SURE * bits.shape[1]
    assert 0 not in bits
    assert all(len(set(row.tolist())) == len(row) for row in bits)


def test_each_flip_set_is_an_earlier_one_and_one_bit_more():
    sets = [0]
    for earlier, rank in flip_steps(64)[1:].tolist():
        assert not sets[earlier] >> rank & 1
        sets.append(sets[earlier] | 1 << rank)
    assert len(set(sets)) == 64


@pytest.mark.parametrize(
    ("codes", "queries", "certainty", "limit", "message"),
    [
        (np.zeros((4, 3), np.uint64), None, None, 9, r"expected codes uint64 \[N, 4\].*\(4, 3\)"),
        (np.zeros((4, 4), np.uint64, order="F"), None, None, 9, "row by row.*strides"),
        (np.zeros((4, 4), np.uint64), np.zeros((1, 4), np.uint8), None, 9, r"uint8 \(1, 4\)"),
        (
            np.zeros((4, 4), np.uint64),
            np.zeros((1, 32), np.uint8),
            np.zeros((2, 256), np.uint8),
            9,
            r"expected certainty uint8 \[1, 256\], got uint8 \(2, 256\)",
        ),
        (np.zeros((4, 4), np.uint64), np.zeros((1, 32), np.uint8), None, 256, "0 to 255.*256"),
    ],
)
def test_errors_say_what_was_expected_and_what_came(codes, queries, certainty, limit, message):
    with pytest.raises(ValueError, match=message):
        Tables(codes, build_tables(codes)).near(queries, certainty, limit)


def test_tables_of_other_codes_are_refused():
    codes = some_codes(np.random.default_rng(8), 300, "random")
    with pytest.raises(ValueError, match=r"expected uint32 \(12, 299\).*got uint32 \(12, 300\)"):
        Tables(codes[:299], build_tables(codes, 0))


def test_importing_the_tables_does_not_import_numba():
    code = "import sys, ingest.evaluation_index.tables; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_functions_are_compiled_where_nothing_can_be_cached():
    from ingest.evaluation_index.instructions import compiled

    scope = {}
    # A function without a file has no place in numba's cache either.
    exec("def double(number):\n    return 2 * number", scope)
    assert compiled(scope["double"])(21) == 42
