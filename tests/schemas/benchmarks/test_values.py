import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists

from schemas.benchmarks.field_rules import FieldRule
from schemas.benchmarks.storage import LayoutError
from schemas.benchmarks.values import is_missing, number_of_labels, value_of

NUMBERS = floats(-1e6, 1e6)


@given(NUMBERS, lists(NUMBERS, min_size=1, max_size=6, unique=True))
def test_a_bin_is_the_number_of_bounds_not_above_the_value(value, bounds):
    rule = FieldRule(column=("x",), bins=tuple(sorted(bounds)))
    expected = int(np.digitize(value, sorted(bounds)))
    assert value_of(rule, value) == expected
    assert value_of(rule, repr(value)) == expected


def test_a_value_is_split_then_binned_then_put_into_words():
    rule = FieldRule(column=("x",), separator=";", bins=(10.0,), words={"0": "low", "1": "high"})
    assert value_of(rule, "3; 30;") == ("low", "high")
    assert value_of(rule, [3, 30]) == ("low", "high")
    assert value_of(rule, "") == ()


def test_words_may_stand_for_what_is_no_number():
    rule = FieldRule(column=("x",), bins=(10.0,), words={"N/A": "unknown", "1": "old"})
    assert [value_of(rule, one) for one in ("N/A", "12", 3)] == ["unknown", "old", 0]
    with pytest.raises(LayoutError, match="expected a number for bins, got 'some'"):
        value_of(rule, "some")


def test_numbers_of_files_find_their_words():
    rule = FieldRule(column=("x",), words={"1": "female"})
    assert [value_of(rule, one) for one in (1, "1", "other")] == ["female", "female", "other"]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["007", "10", 3], [7, 10, 3]),
        (["7", "dog", 3], ["7", "dog", "3"]),
        ([("5", 7), ()], [(5, 7), ()]),
        ([2.0, None], [2, None]),
        ([], []),
    ],
)
def test_labels_are_numbers_only_if_all_are(labels, expected):
    assert number_of_labels(labels) == expected


@pytest.mark.parametrize(
    ("found", "missing"), [(None, True), ("", True), (float("nan"), True), (0, False), ((), False)]
)
def test_nothing_is_told_from_zero(found, missing):
    assert is_missing(found) == missing
