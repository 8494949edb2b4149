import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis.strategies import booleans, floats, integers, lists, sampled_from

from schemas.benchmarks.field_rules import Division
from train_entry.errors import DataError
from train_entry.evaluation.division import amounts, divide


def named(values):
    return [f"{place:04d}.jpg" for place in range(len(values))]


CLASSES = lists(sampled_from("abc"), min_size=30, max_size=90)


@given(CLASSES, floats(0.2, 0.6), floats(0.1, 0.3), booleans(), integers(-5, 5))
def test_shares_are_disjoint_exact_and_leave_nothing_over(values, train, val, per_class, seed):
    division = Division(
        by="share", train=train, val=val, rest="test", per_class=per_class, seed=seed
    )
    try:
        found = divide(division, named(values), values)
    except DataError:
        # A part of no image of the few.
        return
    assert sorted(place for places in found.values() for place in places) == list(
        range(len(values))
    )
    for group, total in (Counter(values) if per_class else {None: len(values)}).items():
        counts = {
            part: sum(group in (None, values[place]) for place in places)
            for part, places in found.items()
        }
        for part, share in (("train", train), ("val", val), ("test", 1 - train - val)):
            assert abs(counts[part] - share * total) < 1


@given(CLASSES, integers(1, 3), integers(1, 3), sampled_from(["random", "name"]))
def test_counts_are_those_of_each_class(values, train, val, order):
    division = Division(by="count", train=train, val=val, order=order)
    fewest = min(Counter(values).values())
    if fewest < train + val:
        with pytest.raises(DataError, match=f"got {fewest}|expected"):
            divide(division, named(values), values)
        return
    found = divide(division, named(values), values)
    for part, count in (("train", train), ("val", val)):
        counted = Counter(values[place] for place in found[part])
        assert counted == dict.fromkeys(set(values), count)
    assert not set(found["train"]) & set(found["val"])


@given(CLASSES, integers(0, 9))
def test_who_is_in_which_part_does_not_depend_on_the_order_of_files(values, seed):
    division = Division(by="share", train=0.5, rest="test", seed=seed)
    names = named(values)
    order = random.Random(seed).sample(range(len(names)), len(names))
    found = divide(division, names, values)
    other = divide(division, [names[i] for i in order], [values[i] for i in order])
    for part, places in found.items():
        assert {names[place] for place in places} == {names[order[place]] for place in other[part]}


def test_another_seed_divides_otherwise():
    names = named(range(200))
    parts = [
        divide(Division(by="share", train=0.5, rest="test", seed=seed), names, ["x"] * 200)
        for seed in (0, 1)
    ]
    assert parts[0] != parts[1]


def test_the_first_by_name_are_the_first_part():
    names = ["b", "d", "a", "c"]
    division = Division(by="count", train=2, val=1, order="name")
    assert divide(division, names, ["x"] * 4) == {"train": [0, 2], "val": [3]}


def test_a_column_says_the_part_and_other_values_are_not_used():
    division = Division(by="column")
    values = ["test", "train", None, "extra", "train"]
    assert divide(division, named(values), values) == {"train": [1, 4], "test": [0]}


def test_a_part_without_images_is_told():
    with pytest.raises(DataError, match=r"expected images in part test, got train 1, test 0"):
        divide(Division(by="column"), ["a"], ["train"])


@pytest.mark.parametrize("total", [1, 2, 3, 7, 10, 99, 31_500])
def test_shares_that_add_up_use_every_image(total):
    division = Division(by="share", train=0.7, val=0.1, test=0.2)
    assert sum(amounts(division, total, "all").values()) == total
    rest = Division(by="share", train=0.7, val=0.1, rest="test")
    assert amounts(rest, total, "all") == amounts(division, total, "all")


def test_a_share_that_no_part_has_is_not_used():
    division = Division(by="share", train=0.5, test=0.2)
    assert amounts(division, 10, "all") == {"train": 5, "test": 2}


def test_too_few_images_are_told_with_both_sides():
    division = Division(by="count", train=30, rest="test")
    with pytest.raises(DataError, match=r"expected 30 for train images of class 'x', got 4"):
        divide(division, named("xxxx"), ["x"] * 4)
