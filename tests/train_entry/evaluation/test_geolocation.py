import numpy as np
import pytest
import s2cell
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from schemas.benchmarks.recipes import Geolocation, LinearProbe
from train_entry.errors import DataError
from train_entry.evaluation.geolocation import (
    distance_scores,
    distances_km,
    evaluate,
    leaf_ids,
    make_cells,
    places_of,
)
from train_entry.evaluation.scores import Features

RADIUS_KM = 6371.0
PROBE = LinearProbe(metric="top1", taps=("pool",), epochs=8, batch=16, learning_rate=4.0)
PARIS, BERLIN, SYDNEY, LIMA = (48.857, 2.352), (52.52, 13.405), (-33.87, 151.21), (-12.05, -77.04)
UNIT = st.floats(0, 1, allow_nan=False)


def on_the_earth(shares):
    """Places from shares of area and of a turn."""
    shares = np.asarray(shares, np.float64).reshape(-1, 2)
    latitudes = np.degrees(np.arcsin(2 * shares[:, 0] - 1))
    return np.stack([latitudes, 360 * shares[:, 1] - 180], axis=1)


def around(place, count, spread=0.5, seed=0):
    return place + np.random.default_rng(seed).normal(0, spread, (count, 2))


def part(places, taps=None):
    latitudes, longitudes = np.asarray(places).T.tolist()
    names = [f"{number}.jpg" for number in range(len(places))]
    return Features(names, taps or {}, {"latitude": latitudes, "longitude": longitudes})


def clustered(places):
    """Mostly distinct places, and some images at one point."""
    return np.concatenate([places, np.repeat(places[:1], 5, axis=0)])


@pytest.mark.parametrize(
    ("start", "end", "wanted_km", "tolerance"),
    [
        # Rosetta Code, "Haversine formula": Nashville to Los Angeles airport, same radius.
        ((36.12, -86.67), (33.94, -118.40), 2886.444443, 1e-8),
        # Veness, "Calculate distance between latitude/longitude points", its example: Land's End to
        # John o' Groats, same radius.
        ((50.066389, -5.714722), (58.643889, -3.07), 968.9, 1e-4),
        # Vincenty's own check, Flinders Peak to Buninyong, on an ellipsoid, from which the sphere
        # differs by up to 0.56 %.
        ((-37.951033, 144.424868), (-37.652821, 143.926496), 54.972271, 5.6e-3),
    ],
)
def test_distances_are_the_published_ones(start, end, wanted_km, tolerance):
    found = distances_km(np.array([start]), np.array([end]), RADIUS_KM)
    assert found[0] == pytest.approx(wanted_km, rel=tolerance)


@given(arrays(np.float64, (2, 2), elements=UNIT))
def test_a_distance_is_the_arc_between_unit_vectors(shares):
    start, end = on_the_earth(shares)
    latitude, longitude = np.radians([start, end]).T
    x, y, z = (
        np.cos(latitude) * np.cos(longitude),
        np.cos(latitude) * np.sin(longitude),
        np.sin(latitude),
    )
    vectors = np.stack([x, y, z], axis=1)
    cross, dot = np.linalg.norm(np.cross(*vectors)), vectors[0] @ vectors[1]
    found = distances_km(start[None], end[None], RADIUS_KM)[0]
    # Near the other end of the earth the haversine loses half of its digits: a metre or so.
    assert found == pytest.approx(RADIUS_KM * np.arctan2(cross, dot), abs=2e-3)


def test_a_step_over_the_date_line_is_short_and_half_around_is_half_of_the_circle():
    start, end = np.array([[0.0, 179.5], [90.0, 0.0]]), np.array([[0.0, -179.5], [-90.0, 77.0]])
    degree_km = RADIUS_KM * np.pi / 180
    assert distances_km(start, end, RADIUS_KM) == pytest.approx([degree_km, 180 * degree_km])


@settings(max_examples=40, deadline=None)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 60), st.just(2)), elements=UNIT),
    st.integers(1, 4),
    st.integers(4, 12),
)
def test_cells_keep_their_bounds_and_each_place_lies_in_its_own(shares, min_images, max_images):
    places = clustered(on_the_earth(shares))
    cells = make_cells(places, min_images=min_images, max_images=max_images)
    leaves = leaf_ids(places).tolist()
    counts = np.bincount(cells.of_image[cells.of_image >= 0], minlength=len(cells.ids))
    for number, cell in enumerate(cells.ids.tolist()):
        level = s2cell.cell_id_to_level(cell)
        within = [s2cell.cell_id_to_parent_cell_id(leaf, level) == cell for leaf in leaves]
        assert (cells.of_image == number).tolist() == within
        distinct = len({leaf for leaf, inside in zip(leaves, within, strict=True) if inside})
        assert min_images <= counts[number]
        assert counts[number] <= max_images or distinct == 1
    # Sorted and apart from each other: no place lies in two.
    assert cells.ids.tolist() == sorted(set(cells.ids.tolist()))


@settings(max_examples=20, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(2, 40), st.just(2)), elements=UNIT), st.randoms())
def test_cells_do_not_depend_on_the_order_of_images(shares, random):
    places = on_the_earth(shares)
    order = list(range(len(places)))
    random.shuffle(order)
    first = make_cells(places, min_images=2, max_images=5)
    second = make_cells(places[order], min_images=2, max_images=5)
    assert first.ids.tolist() == second.ids.tolist()
    assert first.of_image[order].tolist() == second.of_image.tolist()
    np.testing.assert_allclose(first.centers, second.centers, atol=1e-9)


def test_a_cell_is_divided_only_where_it_is_too_full_and_the_empty_parts_are_no_cells():
    places = np.concatenate([around(PARIS, 40), around(SYDNEY, 9), around(LIMA, 2)])
    cells = make_cells(places, min_images=3, max_images=20)
    sydney = cells.ids[cells.of_image[40]]
    assert s2cell.cell_id_to_level(int(sydney)) == 0
    assert cells.of_image[49:].tolist() == [-1, -1]
    paris = {
        s2cell.cell_id_to_level(int(cells.ids[one])) for one in cells.of_image[:40] if one >= 0
    }
    assert min(paris) > 3


def test_the_place_of_a_cell_is_right_beside_the_date_line_and_at_a_pole():
    date_line = np.array([[10.0, 179.9], [10.0, -179.9]] * 5)
    pole = np.array([[89.0, 0.0], [89.0, 90.0], [89.0, 180.0], [89.0, -90.0]] * 3)
    cells = make_cells(np.concatenate([date_line, pole]), min_images=2, max_images=100)
    beside, at = cells.centers[cells.of_image[0]], cells.centers[cells.of_image[-1]]
    assert beside[0] == pytest.approx(10.0, abs=1e-3)
    assert abs(beside[1]) == pytest.approx(180.0, abs=1e-9)
    assert at[0] == pytest.approx(90.0, abs=1e-6)


def test_places_at_the_very_ends_of_the_earth_have_a_cell():
    ends = np.array([[90.0, 0.0], [-90.0, 0.0], [0.0, 180.0], [0.0, -180.0], [90.0, -180.0]])
    cells = make_cells(np.repeat(ends, 3, axis=0), min_images=1, max_images=1000)
    assert (cells.of_image >= 0).all()
    assert cells.of_image[6] == cells.of_image[9]


def test_25_km_comes_first_and_each_threshold_counts_what_is_within_it():
    distances = np.array([0.5, 10.0, 24.0, 100.0, 800.0, 9000.0])
    scores = distance_scores(distances, (1, 25, 200, 750, 2500))
    assert [(one.setting, one.value) for one in scores[:-1]] == [
        ("25 km", 3 / 6),
        ("1 km", 1 / 6),
        ("200 km", 4 / 6),
        ("750 km", 4 / 6),
        ("2500 km", 5 / 6),
    ]
    median = scores[-1]
    assert (median.metric, median.value) == ("median_km", 62.0)
    assert median.low <= 62.0 <= median.high
    assert all(one.low <= one.value <= one.high for one in scores)


def test_images_are_placed_where_those_that_look_alike_were_taken():
    cities, codes = (PARIS, BERLIN, SYDNEY, LIMA), torch.eye(4)
    recipe = Geolocation(min_images=10, max_images=60, probe=PROBE)
    # Five images alone in the ocean that look like Paris are no cell, and do no harm.
    places = [around(city, 50, 0.05, seed) for seed, city in enumerate(cities)]
    looks = [codes.repeat_interleave(50, dim=0), codes[:1].expand(5, 4)]
    train = part(np.concatenate([*places, around((-15.0, 80.0), 5)]), {"pool": torch.cat(looks)})
    test = part(
        np.concatenate([around(city, 3, 0.01, 7 + seed) for seed, city in enumerate(cities)]),
        {"pool": codes.repeat_interleave(3, dim=0)},
    )
    found = evaluate(recipe, {"train": train, "test": test})
    by_setting = {one.setting: one.value for one in found}
    assert (found[0].metric, found[0].setting) == ("within_km", "25 km")
    assert by_setting["25 km"] == by_setting["2500 km"] == 1.0
    assert found[-1].value < 10
    assert evaluate(recipe, {"train": train, "test": test}) == found


def test_several_views_of_an_image_are_one_image():
    codes = torch.eye(2)
    recipe = Geolocation(min_images=10, max_images=60, probe=PROBE)
    once = part(
        np.concatenate([around(PARIS, 50, 0.05), around(LIMA, 50, 0.05), around(SYDNEY, 9)]),
        {"pool": torch.cat([codes.repeat_interleave(50, dim=0), torch.zeros(9, 2)])},
    )
    twice = Features(
        [*once.names, *once.names],
        {"pool": once.taps["pool"].repeat(2, 1)},
        {name: [*values, *values] for name, values in once.fields.items()},
    )
    test = once.take(range(40, 60))
    found = evaluate(recipe, {"train": twice, "test": test})
    assert found == evaluate(recipe, {"train": once, "test": test})
    assert found[0].value == 1.0


def test_too_few_images_for_two_cells_are_an_error():
    train = part(around(PARIS, 30), {"pool": torch.zeros(30, 2)})
    with pytest.raises(DataError, match=r"at least 2 cells of 50 .* got 0 of 30"):
        evaluate(Geolocation(), {"train": train, "test": train})


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([(91.0, 0.0)], r"0\.jpg: expected a latitude within 90 .* got 91"),
        ([(0.0, float("nan"))], "got 0.0 and nan"),
        ([(0.0, None)], "0.jpg: expected a latitude"),
    ],
)
def test_a_place_that_is_none_is_told_with_its_image(places, message):
    latitudes, longitudes = zip(*places, strict=True)
    wrong = Features(["0.jpg"], {}, {"latitude": latitudes, "longitude": longitudes})
    with pytest.raises(DataError, match=message):
        places_of(wrong, "test")
    with pytest.raises(DataError, match="expected fields latitude and longitude, got label"):
        places_of(Features(["0.jpg"], {}, {"label": [1]}), "test")
