from collections import Counter
from hashlib import sha256

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import SetupError
from ingest.sampling import draw
from ingest.survey.sample import BottomSample, read_images


def ids(count):
    return [sha256(str(number).encode()).hexdigest()[:32] for number in range(count)]


def taken(size, seed, parts):
    sample = BottomSample(size, seed)
    for part in parts:
        sample.add(pa.table({"id": pa.array(part, pa.string())}))
    return sample.rows()["id"].to_pylist()


@given(
    st.integers(0, 60),
    st.integers(0, 20),
    st.integers(0, 2**63 - 1),
    st.randoms(use_true_random=False),
)
def test_the_sample_depends_on_ids_and_seed_alone(count, size, seed, generator):
    population = ids(count)
    expected = sorted(population, key=lambda one: draw(one, seed)[0])[:size]
    shuffled = generator.sample(population, count)
    cuts = sorted(generator.randrange(count + 1) for _ in range(4))
    ends = zip([0, *cuts], [*cuts, count], strict=True)
    assert taken(size, seed, [shuffled[begin:end] for begin, end in ends]) == expected


def test_each_image_is_as_likely_as_any_other():
    population, size, times = ids(20), 5, 1200
    counts = Counter(one for seed in range(times) for one in taken(size, seed, [population]))
    expected = times * size / len(population)
    # Chi-square of 19 degrees of freedom; 43.8 is passed once in a thousand, and nothing is random.
    assert sum((counts[one] - expected) ** 2 / expected for one in population) < 43.8
    # In the first place, too: the beginning of a sample is a sample.
    first = Counter(taken(size, seed, [population])[0] for seed in range(times))
    expected = times / len(population)
    assert sum((first[one] - expected) ** 2 / expected for one in population) < 43.8


def test_images_come_in_order_with_their_rows(tmp_path):
    contents = [bytes([number]) * (number * 50 + 1) for number in range(60)]
    offsets = [sum(map(len, contents[:number])) for number in range(60)]
    (tmp_path / "shard").write_bytes(b"".join(contents))
    order = sorted(range(60), key=lambda number: number * 37 % 60)
    rows = pa.table(
        {
            "id": [str(number) for number in order],
            "shard": [3] * 60,
            "offset_bytes": [offsets[number] for number in order],
            "length_bytes": [len(contents[number]) for number in order],
        }
    )
    found = [
        (row["id"], content) for row, content in read_images(str(tmp_path), {3: "shard"}, rows)
    ]
    assert found == [(str(number), contents[number]) for number in order]


@pytest.mark.parametrize(("name", "told"), [("shard", "got 10"), ("none", "got no such file")])
def test_images_that_are_not_there_are_told(tmp_path, name, told):
    (tmp_path / "shard").write_bytes(bytes(15))
    rows = pa.table({"shard": [0], "offset_bytes": [5], "length_bytes": [20]})
    with pytest.raises(SetupError, match=told):
        list(read_images(str(tmp_path), {0: name}, rows))
