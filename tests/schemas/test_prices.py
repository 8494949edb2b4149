import pytest

from schemas.prices import default_prices, parse_prices


def test_the_prices_that_come_along_are_whole_and_say_whose_they_are():
    prices = default_prices()
    assert prices.note
    assert prices.currency == "USD"
    assert 0 < prices.vcpu_utilisation <= 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("vcpu_hour = ", "Invalid value"),
        ("vcpu_hour = -1", "greater than or equal to 0"),
        ('currency = "USD"', "Field required"),
        ("vcpu_houre = 1", "Extra inputs"),
    ],
)
def test_other_files_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_prices(text)
