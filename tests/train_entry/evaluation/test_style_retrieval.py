import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from schemas.benchmarks.recipes import StyleRetrieval
from train_entry.errors import DataError
from train_entry.evaluation.scores import Features
from train_entry.evaluation.style_retrieval import evaluate

RECIPE = StyleRetrieval(k=(1, 3))


def paintings(num_artists=8, per_artist=4, seed=0):
    """Two artists a style; an artist's paintings are alike, a style's a little."""
    generator = np.random.default_rng(seed)
    styles = [f"style {artist // 2}" for artist in range(num_artists) for _ in range(per_artist)]
    artists = [f"artist {artist}" for artist in range(num_artists) for _ in range(per_artist)]
    rows = []
    for artist in range(num_artists):
        own = np.random.default_rng(100 + artist // 2).normal(size=10)
        own = own + np.random.default_rng(200 + artist).normal(size=10)
        rows.append(own + 0.8 * generator.normal(size=(per_artist, 10)))
    pool = torch.from_numpy(np.concatenate(rows).astype(np.float32))
    names = [str(place) for place in range(len(styles))]
    return Features(names, {"pool": pool}, {"style": styles, "artist": artists})


def reference(test, wanted, apart):
    """P@1, P@3, average precision and chance of each painting, in plain NumPy."""
    rows = test.taps["pool"].double().numpy()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    found = []
    for place in range(len(test)):
        cosines = unit @ unit[place]
        others = [n for n in range(len(test)) if n != place and not apart(n, place)]
        others.sort(key=lambda n: -cosines[n])
        hits = np.array([wanted[n] == wanted[place] for n in others])
        if hits.any():
            precision = average_precision_score(hits, -np.arange(len(hits)))
            found.append((hits[0], hits[:3].mean(), precision, hits.mean()))
    return np.mean(found, axis=0), len(found)


def test_styles_are_looked_for_among_other_artists_first_then_among_all_then_artists():
    test = paintings()
    scores = evaluate(RECIPE, {"test": test})
    styles, artists = test.fields["style"], test.fields["artist"]
    searches = {
        "style among other artists": (styles, lambda one, other: artists[one] == artists[other]),
        "style": (styles, lambda one, other: False),
        "artist": (artists, lambda one, other: False),
    }
    metrics = ["precision_at_k", "precision_at_k", "map", "chance"]
    for number, (told, (wanted, apart)) in enumerate(searches.items()):
        values, num = reference(test, wanted, apart)
        part = scores[4 * number : 4 * number + 4]
        assert [score.metric for score in part] == metrics
        assert [score.value for score in part] == pytest.approx(values)
        assert {score.num_images for score in part} == {num}
        assert [score.setting for score in part] == [
            f"{told}, first 1",
            f"{told}, first 3",
            told,
            told,
        ]
    assert len(scores) == 12
    # The artist's own paintings make a style easy to find.
    assert scores[0].value < scores[4].value


def test_intervals_are_over_artists():
    many = paintings(num_artists=16, per_artist=16)
    first = next(score for score in evaluate(RECIPE, {"test": many}) if score.setting == "style")
    fewer = paintings(num_artists=16, per_artist=4)
    other = next(score for score in evaluate(RECIPE, {"test": fewer}) if score.setting == "style")
    # Four times the images of as many artists do not halve the interval.
    assert first.high - first.low > 0.6 * (other.high - other.low)


def test_a_chance_level_has_no_interval():
    chance = [one for one in evaluate(RECIPE, {"test": paintings()}) if one.metric == "chance"]
    assert [(one.low, one.high) for one in chance] == [(None, None)] * 3
    # 3 of 31 others are of the artist.
    assert chance[2].value == pytest.approx(3 / 31)


def test_without_artists_styles_alone_are_looked_for():
    test = paintings()
    untold = Features(test.names, test.taps, {"style": test.fields["style"]})
    scores = evaluate(RECIPE, {"test": untold})
    wanted, _ = reference(test, test.fields["style"], lambda one, other: False)
    assert [score.value for score in scores] == pytest.approx(wanted)


def test_what_is_not_told_of_an_image_leaves_it_out():
    test = paintings()
    styles = list(test.fields["style"])
    artists = list(test.fields["artist"])
    styles[0], styles[9], artists[5] = "", None, None
    told = Features(test.names, test.taps, {"style": styles, "artist": artists})
    scores = evaluate(RECIPE, {"test": told})
    assert [score.num_images for score in scores] == [29] * 4 + [30] * 4 + [31] * 4
    kept = [place for place in range(32) if place not in (0, 9)]
    smaller = test.take(kept)
    wanted, _ = reference(smaller, smaller.fields["style"], lambda one, other: False)
    assert [score.value for score in scores[4:8]] == pytest.approx(wanted)


def test_paintings_that_share_nothing_are_refused():
    test = paintings(num_artists=4, per_artist=1)
    alone = Features(test.names, test.taps, {"style": list("abcd")})
    with pytest.raises(DataError, match="expected images that share their style, got 4"):
        evaluate(RECIPE, {"test": alone})
