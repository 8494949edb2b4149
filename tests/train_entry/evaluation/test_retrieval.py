import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from schemas.benchmarks import load_benchmarks
from schemas.benchmarks.recipes import Retrieval
from train_entry.errors import DataError
from train_entry.evaluation.retrieval import evaluate, precisions_at, truths_of
from train_entry.evaluation.scores import Features

MAP, GAP = Retrieval(metric="map"), Retrieval(metric="gap")


def part(names, seed=0, width=6, **fields):
    generator = np.random.default_rng(seed)
    pool = generator.normal(size=(len(names), width)).astype(np.float32)
    return Features(list(names), {"pool": torch.from_numpy(pool)}, fields)


def cosines_of(queries, gallery):
    rows = [one.taps["pool"].double().numpy() for one in (queries, gallery)]
    unit = [row / np.linalg.norm(row, axis=1, keepdims=True) for row in rows]
    return unit[0] @ unit[1].T


def area(cosines, relevant, junk):
    """Average precision by trapezoids, image by image, of one query."""
    order = [place for place in np.argsort(-cosines).tolist() if place not in junk]
    whole, found, before = 0.0, 0, 1.0
    for rank, place in enumerate(order):
        found += place in relevant
        precision = found / (rank + 1)
        whole += (place in relevant) * (precision + before) / 2 / len(relevant)
        before = precision
    return whole, float(order[0] in relevant)


def revisited():
    """Buildings with easy, hard and junk images; the last query has no hard ones."""
    gallery = part([f"jpg/ox_{place:02}.jpg" for place in range(30)], seed=1)
    lists = {
        "easy": [("ox_00", "ox_01"), ("ox_05", "ox_06", "ox_07"), ("ox_20",)],
        "hard": [("ox_02",), ("ox_08", "ox_09"), ()],
        "junk": [("ox_03", "ox_04"), (), ("ox_21",)],
    }
    return part(["q0.jpg", "q1.jpg", "q2.jpg"], seed=2, **lists), gallery


def places(names):
    return {int(name[3:]) for name in names}


def test_easy_medium_and_hard_differ_in_what_is_junk():
    queries, gallery = revisited()
    scores = evaluate(MAP, {"queries": queries, "gallery": gallery})
    cosines = cosines_of(queries, gallery)
    lists = zip(*(queries.fields[kind] for kind in ("easy", "hard", "junk")), strict=True)
    wanted = {"medium": [], "easy": [], "hard": []}
    for row, kinds in zip(cosines, lists, strict=True):
        easy, hard, junk = map(places, kinds)
        wanted["medium"].append(area(row, easy | hard, junk))
        wanted["easy"].append(area(row, easy, junk | hard))
        if hard:
            wanted["hard"].append(area(row, hard, junk | easy))
    told = [(score.metric, score.setting) for score in scores]
    settings_ = [f"{setting}, not whitened" for setting in wanted]
    assert told == [("map", one) for one in settings_] + [("recall_at_1", one) for one in settings_]
    for score, pairs in zip(scores, [*wanted.values()] * 2, strict=True):
        column = 0 if score.metric == "map" else 1
        assert score.value == pytest.approx(np.mean([pair[column] for pair in pairs]))
        assert score.num_images == len(pairs)


def test_listed_images_that_are_not_in_the_gallery_are_told():
    queries, gallery = revisited()
    kept = gallery.take([place for place in range(30) if place not in (5, 3)])
    scores = evaluate(MAP, {"queries": queries, "gallery": kept})
    assert scores[0].setting == "medium, not whitened, 2 listed images not in the gallery"


def test_queries_and_gallery_are_matched_by_instance_and_the_unmatched_are_left_out():
    gallery = part("abcdefgh", seed=3, instance=[0, 0, 1, 1, 2, 2, 3, 3])
    queries = part("uvwxy", seed=4, instance=["0", 1, 2, None, "stranger"])
    scores = evaluate(MAP, {"queries": queries, "gallery": gallery})
    cosines = cosines_of(queries, gallery)
    found = [area(cosines[n], {2 * n, 2 * n + 1}, set()) for n in range(3)]
    assert [(score.metric, score.setting) for score in scores] == [
        ("map", "not whitened"),
        ("recall_at_1", "not whitened"),
    ]
    assert scores[0].value == pytest.approx(np.mean([pair[0] for pair in found]))
    assert scores[1].value == np.mean([pair[1] for pair in found])
    assert scores[0].num_images == 3
    assert scores[0].low <= scores[0].value <= scores[0].high


@settings(deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=5), st.integers(1, 12), st.randoms()
)
def test_the_first_k_are_scored_against_as_many_as_could_be_found(relevant, k, random):
    found = np.array([random.sample(range(10), min(k, 10)) for _ in relevant])
    wanted = []
    for row, these in zip(found.tolist(), relevant, strict=True):
        hits = [place in these for place in row]
        sums = [sum(hits[: n + 1]) / (n + 1) for n, hit in enumerate(hits) if hit]
        if these:
            wanted.append(sum(sums) / min(len(these), k))
    truth = [np.array(sorted(these), np.int64) for these in relevant]
    assert precisions_at(found, truth, k) == pytest.approx(wanted)


def test_google_landmarks_are_scored_by_their_lists_alone():
    recipe = load_benchmarks()["google-landmarks-v2"].recipe_of("retrieval")
    gallery = part([f"index/{n % 3}/{n:016x}.jpg" for n in range(200)], seed=5)
    easy = [(f"{1:016x}", f"{7:016x}"), ("None",), tuple(f"{n:016x}" for n in range(30, 180))]
    queries = part(["a", "b", "c"], seed=6, easy=easy)
    (score,) = evaluate(recipe, {"queries": queries, "gallery": gallery})
    cosines = cosines_of(queries, gallery)
    wanted = []
    for query, these in ((0, {1, 7}), (2, set(range(30, 180)))):
        hits = np.isin(np.argsort(-cosines[query])[:100], list(these))
        precisions = average_precision_score(hits, -np.arange(100)) if hits.any() else 0.0
        wanted.append(precisions * hits.sum() / min(len(these), 100))
    assert (score.metric, score.setting) == ("map_at_k", "first 100, not whitened")
    assert score.value == pytest.approx(np.mean(wanted))
    assert score.num_images == 2


def met(num=40):
    """Exhibits with two images each, visitors' photographs of some, and of none."""
    exhibits = part([f"e{n}" for n in range(num)], seed=7, instance=[n // 2 for n in range(num)])
    generator = np.random.default_rng(8)
    noise = torch.from_numpy(generator.normal(size=(15, 6)).astype(np.float32))
    seen = exhibits.taps["pool"][:30:2] + 0.8 * noise
    strangers = torch.from_numpy(generator.normal(size=(10, 6)).astype(np.float32))
    instances = [*range(15), None, "", "-1", -1, *[None] * 6]
    names = [f"q{n}" for n in range(25)]
    return Features(
        names, {"pool": torch.cat([seen, strangers])}, {"instance": instances}
    ), exhibits


def test_the_queries_of_nothing_in_the_gallery_count_in_gap():
    queries, exhibits = met()
    whole, alone, first = evaluate(GAP, {"queries": queries, "gallery": exhibits})
    cosines = cosines_of(queries, exhibits)
    hits = (cosines.argmax(axis=1) // 2)[:15] == np.arange(15)
    certainty = cosines.max(axis=1)
    every = np.concatenate([hits, np.zeros(10, bool)])
    expected = average_precision_score(every, certainty) * hits.sum() / 15
    assert (whole.metric, whole.setting, whole.num_images) == ("gap", "not whitened", 25)
    assert whole.value == pytest.approx(expected)
    assert alone.value == pytest.approx(
        average_precision_score(hits, certainty[:15]) * hits.sum() / 15
    )
    assert alone.setting == "queries of the gallery alone, not whitened"
    assert (first.metric, first.value, first.num_images) == ("recall_at_1", hits.mean(), 15)
    assert whole.low < whole.value < whole.high


def test_the_whitening_is_told():
    queries, exhibits = met()
    splits = {"queries": queries, "gallery": exhibits, "whitening": exhibits}
    recipe = GAP.model_copy(update={"dimensions": 4})
    assert evaluate(recipe, splits)[0].setting == "whitened to 4 dimensions"


def test_a_set_that_does_not_tell_what_to_find_is_refused():
    with pytest.raises(DataError, match=r"queries: expected a field instance, or .* got none"):
        truths_of(part("ab"), part("cd"))
    untold = {"queries": part("ab", instance=["", None]), "gallery": part("cd", instance=[1, 2])}
    with pytest.raises(DataError, match="got none for 2 queries and 2 images"):
        evaluate(MAP, untold)
