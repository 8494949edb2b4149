import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import average_precision_score

from train_entry.evaluation.intervals import mean_interval, share_interval
from train_entry.evaluation.ranking import (
    NamePlaces,
    OneRanking,
    average_precision,
    mean_of_queries,
    precision_at,
)

HITS = arrays(np.bool_, st.integers(1, 40))


@given(HITS)
def test_average_precision_is_that_of_scikit_learn(hits):
    if hits.any():
        found = average_precision(hits, int(hits.sum()))
        assert found == pytest.approx(average_precision_score(hits, -np.arange(len(hits))))


@given(HITS, st.integers(0, 3))
def test_average_precision_by_trapezoids_is_the_area_under_the_curve(hits, missed):
    relevant = int(hits.sum()) + missed
    if not relevant:
        return
    area, found, before = 0.0, 0, 1.0
    for rank, hit in enumerate(hits.tolist()):
        found += hit
        precision = found / (rank + 1)
        area += hit * (precision + before) / 2 / relevant
        before = precision
    assert average_precision(hits, relevant, trapezoids=True) == pytest.approx(area)


def test_average_precisions_are_those_that_are_known():
    perfect, second = np.array([True, True, False]), np.array([False, True])
    assert average_precision(perfect, 2) == average_precision(perfect, 2, trapezoids=True) == 1
    assert average_precision(second, 1) == 0.5
    assert average_precision(second, 1, trapezoids=True) == 0.25
    with pytest.raises(ValueError, match="num_relevant: expected 1 or more, got 0"):
        average_precision(second, 0)


@given(HITS, st.integers(1, 50))
def test_precision_counts_the_first_only(hits, k):
    assert precision_at(hits, k) == sum(hits.tolist()[:k]) / k


@st.composite
def answers(draw):
    num = draw(st.integers(1, 6))
    pairs = st.tuples(st.integers(0, num - 1), st.integers(0, 5), st.booleans())
    found = draw(st.lists(pairs, min_size=1, max_size=25))
    queries, certainty, hits = (np.array(column) for column in zip(*found, strict=True))
    missed = draw(st.lists(st.integers(0, 2), min_size=num, max_size=num))
    relevant = np.bincount(queries[hits], minlength=num) + np.array(missed)
    return queries, certainty / 5, hits, relevant


@given(answers())
def test_one_ranking_of_all_queries_takes_equal_answers_the_worst_way(told):
    queries, certainty, hits, relevant = told
    found = OneRanking.of(queries, certainty, hits, relevant).average_precision()
    rows = sorted(zip(-certainty, hits, strict=True))
    precisions = [
        sum(hit for _, hit in rows[: place + 1]) / (place + 1)
        for place, (_, hit) in enumerate(rows)
        if hit
    ]
    if relevant.sum():
        assert found == pytest.approx(sum(precisions) / relevant.sum())
    else:
        assert np.isnan(found)


@given(answers())
def test_one_ranking_without_ties_is_that_of_scikit_learn(told):
    queries, _, hits, _ = told
    if not hits.any():
        return
    certainty = -np.arange(len(hits), dtype=np.float64)
    relevant = np.bincount(queries[hits], minlength=queries.max() + 1)
    found = OneRanking.of(queries, certainty, hits, relevant).average_precision()
    assert found == pytest.approx(average_precision_score(hits, certainty))


@given(answers(), st.data())
def test_drawn_queries_bring_their_answers_as_often_as_they_are_drawn(told, data):
    queries, certainty, hits, relevant = told
    num = len(relevant)
    chosen = data.draw(st.lists(st.integers(0, num - 1), min_size=1, max_size=8, unique=True))
    ranking_of_all = OneRanking.of(queries, certainty, hits, relevant)
    everyone = ranking_of_all.average_precision(np.arange(num))
    assert everyone == pytest.approx(ranking_of_all.average_precision(), nan_ok=True)
    kept = np.isin(queries, chosen)
    part = np.where(np.isin(np.arange(num), chosen), relevant, 0)
    alone = OneRanking.of(queries[kept], certainty[kept], hits[kept], part).average_precision()
    # Each of them twice: all precisions stay as they are.
    for drawn in (np.array(chosen), np.repeat(chosen, 2)):
        assert ranking_of_all.average_precision(drawn) == pytest.approx(alone, nan_ok=True)


def test_the_interval_of_one_ranking_is_over_queries_and_has_a_width_where_all_are_right():
    places, certainty = np.arange(40), np.arange(40) / 40
    hits = np.random.default_rng(0).random(40) < 0.5
    found = OneRanking.of(places, certainty, hits, np.ones(40, int)).score("gap")
    assert (found.metric, found.num_images) == ("gap", 40)
    assert 0 < found.low < found.value < found.high < 1
    right = OneRanking.of(places, certainty, np.ones(40, bool), np.ones(40, int)).score("gap")
    assert (right.value, right.low, right.high) == (1, *mean_interval(np.ones(40)))
    wrong = OneRanking.of(places, certainty, np.zeros(40, bool), np.ones(40, int)).score("gap")
    assert (wrong.value, wrong.low, wrong.high) == (0, *mean_interval(np.zeros(40)))
    nothing = OneRanking.of(places, certainty, np.zeros(40, bool), np.zeros(40, int)).score("gap")
    assert np.isnan([nothing.value, nothing.low, nothing.high]).all()


def test_the_interval_of_a_mean_is_of_clusters_where_queries_are_alike():
    values = np.repeat(np.linspace(0.1, 0.9, 20), 10)
    clusters = np.repeat(np.arange(20), 10).tolist()
    alone, alike = mean_of_queries("map", values), mean_of_queries("map", values, clusters)
    assert alone.value == alike.value == pytest.approx(0.5)
    assert alone.num_images == alike.num_images == 200
    width = np.std(np.linspace(0.1, 0.9, 20)) / 20**0.5 * 2 * 1.96
    assert alike.high - alike.low == pytest.approx(width, rel=0.25)
    assert alone.high - alone.low == pytest.approx(width / 10**0.5, rel=0.25)


def test_the_interval_of_a_mean_has_a_width_where_all_values_are_equal():
    hits, clusters = [1.0] * 30, list(range(10)) * 3
    found = mean_of_queries("recall_at_1", hits, clusters)
    assert (found.low, found.high) == share_interval(np.ones(30), clusters)
    assert found.low == pytest.approx(mean_interval(np.ones(10))[0])
    half = mean_of_queries("map", [0.5] * 30, clusters)
    assert (half.low, half.high) == mean_interval(np.full(10, 0.5))
    single = mean_of_queries("map", [0.5, 0.5, 0.7])
    assert (single.low, single.high) == mean_interval(np.array([0.5, 0.5, 0.7]))


def test_images_are_found_by_name_and_by_the_name_of_their_file():
    places = NamePlaces(["index/0/a/0a1b.jpg", "index/1/x.png", "other/x.png", "set.tar/R2.jpg"])
    assert places.find("0a1b") == 0
    assert places.find("0a1b.jpg") == 0
    assert places.find("index/1/x.png") == 1
    assert places.find("x") is None
    assert places.find("elsewhere") is None
    assert places.find("R2") == 3
