from datetime import UTC, datetime

import pytest

from ingest.fetch.opt_out import read_opt_out
from schemas.options import ConsentOptions

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def decide(name, value, **consent):
    return read_opt_out({name: [value]}, ConsentOptions(**consent), "mybot", NOW)


@pytest.mark.parametrize(
    "value",
    [
        "noai",
        "NoAI",
        "noimageai",
        "max-snippet:5, noindex",
        "none",
        "noml",
        "mybot: noai",
        "MyBot: noindex, nofollow",
        "otherbot: nofollow, mybot: noai",
        "otherbot: max-snippet:5, noindex, mybot: nofollow, noimageindex",
        "mybot: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT",
        "unavailable_after: 25 Jun 2010 15:00:00 GMT",
        "unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT",
        "unavailable_after: 2010-06-25",
        "unavailable_after: 25 Jun 2030 15:00:00 GMT, noindex",
    ],
)
def test_a_refusal_is_honoured(value):
    assert decide("x-robots-tag", value).rule == f"x-robots-tag: {value}"


@pytest.mark.parametrize(
    "value",
    [
        "all",
        "nofollow",
        "otherbot: noai",
        "otherbot: noai, noindex",
        "mybot: all, otherbot: noindex",
        "otherbot: unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT",
        "unavailable_after: 25 Jun 2030 15:00:00 GMT",
        "unavailable_after: nonsense",
        "",
    ],
)
def test_what_refuses_nothing_is_only_seen(value):
    opt_out = decide("x-robots-tag", value)
    assert opt_out.rule is None
    assert opt_out.signals == (f"x-robots-tag: {value}",)


def test_recorded_signals_decide_nothing_and_ignored_ones_are_not_seen():
    assert decide("x-robots-tag", "noai", x_robots_tag="record").rule is None
    assert decide("x-robots-tag", "noai", x_robots_tag="record").signals
    assert decide("x-robots-tag", "noai", x_robots_tag="ignore").signals == ()


@pytest.mark.parametrize(
    ("name", "value", "option"),
    [
        ("tdm-reservation", "1", "tdm_reservation"),
        ("content-usage", "train-ai=n", "content_usage"),
        ("content-usage", "search=y, train-ai=n", "content_usage"),
    ],
)
def test_reservations_are_recorded_by_default_and_honoured_on_request(name, value, option):
    assert decide(name, value).rule is None
    assert decide(name, value).signals == (f"{name}: {value}",)
    assert decide(name, value, **{option: "honour"}).rule == f"{name}: {value}"


def test_an_answer_without_such_headers_says_nothing():
    assert read_opt_out({"etag": ["x"]}, ConsentOptions(), "mybot", NOW).signals == ()
