import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.quantity import amount, bytes_text, hours_text, interval_text, percent
from schemas.forecast import Estimate


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (999.7, "1 kB"),
        (1000, "1 kB"),
        (12_345_678, "12.3 MB"),
        (999_600_000, "1 GB"),
        (2.5e15, "2.5 PB"),
        (1.5e19, "15,000 PB"),
    ],
)
def test_bytes_have_the_unit_that_is_short_to_read(number, text):
    assert bytes_text(number) == text


@given(st.floats(0, 1e21))
def test_bytes_keep_three_digits(number):
    units = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}
    value, unit = bytes_text(number).replace(",", "").split()
    assert float(value) * units[unit] == pytest.approx(number, rel=6e-3, abs=1e-300)


def test_durations_amounts_and_intervals_are_told_as_people_do():
    assert [hours_text(hours) for hours in (0.5, 30.0, 240.0)] == ["1,800 s", "30.0 h", "10.0 days"]
    assert [amount(value) for value in (0.01234, 99.94, 1234.5)] == ["0.0123", "99.9", "1,234"]
    share = Estimate.of(0.5, 0.25, 0.75)
    assert interval_text(share, percent) == "25.0% - 75.0%"
