import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.benchmarks import load_benchmarks
from schemas.benchmarks.recipes import AttributeRetrieval
from train_entry.errors import DataError
from train_entry.evaluation.attribute_retrieval import evaluate, group_scores, precisions
from train_entry.evaluation.disparity import ratio, spread
from train_entry.evaluation.fairness_labels import People
from train_entry.evaluation.scores import Features

RECIPE = AttributeRetrieval(k=(1, 5), group_by=(("gender", "skin_tone"), ("age",)))
GENDERS, TONES, AGES = ("female", "male"), ("darker", "lighter"), ("18-30", "70+")


def faces(genders, noises, seed):
    """Features that tell the gender, more or less clearly."""
    generator = np.random.default_rng(seed)
    side = np.where(np.array(genders) == "female", 1.0, -1.0)
    rows = generator.normal(size=(len(genders), 4)) * np.array(noises)[:, None]
    rows[:, 0] += side
    return torch.from_numpy(rows.astype(np.float32))


def database(num=60, seed=1):
    genders = [GENDERS[place % 2] for place in range(num)]
    taps = {"pool": faces(genders, [0.7] * num, seed)}
    return Features([f"utk{place}" for place in range(num)], taps, {"gender": genders})


def queries(num=80, seed=2):
    """Faces of darker skin are told less well."""
    genders = [GENDERS[place % 2] for place in range(num)]
    tones = [TONES[place // 2 % 2] for place in range(num)]
    ages = [AGES[place // 4 % 2] for place in range(num)]
    noises = [1.6 if tone == "darker" else 0.4 for tone in tones]
    fields = {"gender": genders, "skin_tone": tones, "age": ages}
    names = [f"cc{place}" for place in range(num)]
    return Features(names, {"pool": faces(genders, noises, seed)}, fields)


def by_hand(asked, searched, k):
    """The share of the first K that have the query's gender, query by query."""
    rows = [one.taps["pool"].double().numpy() for one in (asked, searched)]
    unit = [row / np.linalg.norm(row, axis=1, keepdims=True) for row in rows]
    found = []
    for row, gender in zip(unit[0], asked.fields["gender"], strict=True):
        first = np.argsort(-(unit[1] @ row))[:k]
        found.append(np.mean([searched.fields["gender"][place] == gender for place in first]))
    return np.array(found)


def test_precision_is_given_for_all_for_groups_and_for_their_spread():
    asked, searched = queries(), database()
    scores = evaluate(RECIPE, {"queries": asked, "database": searched})
    groups = [f"{gender} {tone}" for gender in GENDERS for tone in TONES]
    shown = ["", *groups, "by gender and skin_tone", "by gender and skin_tone"]
    shown += [*AGES, "by age", "by age"]
    told = [(score.group, score.setting) for score in scores[:-1]]
    assert told == [(group, f"first {k}") for k in (1, 5) for group in shown]
    by_group = {(score.metric, score.group, score.setting): score for score in scores}
    facts = [asked.fields[name] for name in ("gender", "skin_tone")]
    words = np.array([" ".join(pair) for pair in zip(*facts, strict=True)])
    for k in (1, 5):
        values = by_hand(asked, searched, k)
        parts = {group: values[words == group].tolist() for group in groups}
        for group, part in {"": values, **parts}.items():
            score = by_group["precision_at_k", group, f"first {k}"]
            assert score.value == pytest.approx(np.mean(part))
            assert score.num_images == len(part)
            assert score.low - 1e-9 <= score.value <= score.high + 1e-9
        told = by_group["disparity", "by gender and skin_tone", f"first {k}"]
        assert (told.value, told.low, told.high) == pytest.approx(spread(parts))
        assert told.value > 0
        told = by_group["worst_to_best", "by gender and skin_tone", f"first {k}"]
        assert (told.value, told.low, told.high) == pytest.approx(ratio(parts))
    assert scores[0].metric == "precision_at_k"
    assert (scores[-1].metric, scores[-1].value) == ("coverage", 1)


def test_what_cannot_be_found_is_left_out_and_told():
    asked, searched = queries(), database()
    genders = ["other"] * 8 + list(asked.fields["gender"][8:])
    told = Features(asked.names, asked.taps, {**asked.fields, "gender": genders})
    shown = ["", None, *searched.fields["gender"][2:]]
    half = Features(searched.names, searched.taps, {"gender": shown})
    scores = evaluate(RECIPE, {"queries": told, "database": half})
    assert (scores[-1].metric, scores[-1].value, scores[-1].num_images) == ("coverage", 0.9, 80)
    kept, searched = asked.take(range(8, 80)), searched.take(range(2, 60))
    assert scores[0].value == pytest.approx(by_hand(kept, searched, 1).mean())
    assert scores[0].num_images == 72


def test_unknown_people_are_a_group_that_is_not_compared():
    asked = queries()
    ages = ["unknown"] * 20 + list(asked.fields["age"][20:])
    told = Features(asked.names, asked.taps, {**asked.fields, "age": ages})
    scores = evaluate(RECIPE, {"queries": told, "database": database()})
    unknown = next(score for score in scores if score.group == "unknown")
    compared = next(score for score in scores if score.group == "by age")
    assert (unknown.num_images, compared.num_images) == (20, 60)


def test_a_person_counts_once_however_many_images_they_have():
    values = np.array([1.0, 1.0, 1.0, 0.0, 0.5, 0.7])
    places = {"young": np.arange(4), "old": np.arange(4, 6)}
    people = People(6, {"age": places}, np.array([7, 7, 7, 2, 4, 5]))
    whole, young, old, apart, _ = group_scores(values, people)
    assert young.value == pytest.approx(0.5)
    assert young.num_images == 4
    assert old.value == pytest.approx(0.6)
    assert whole.value == pytest.approx((1 + 0 + 0.5 + 0.7) / 4)
    assert apart.value == pytest.approx(0.1)
    alone = group_scores(values, People(6, {"age": places}))
    assert alone[1].value == pytest.approx(0.75)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=4, max_size=12), st.randoms())
def test_precisions_are_those_of_the_ranked_faces(shown, random):
    weights = list(range(1, len(shown) + 1))
    random.shuffle(weights)
    query = torch.tensor([weights], dtype=torch.float32)
    order = sorted(range(len(shown)), key=lambda place: -weights[place])
    for asked in (0, 1, 9):
        found = precisions(query, torch.eye(len(shown)), [asked], shown, (1, 4))
        for k in (1, 4):
            assert found[k].tolist() == [sum(shown[n] == asked for n in order[:k]) / k]


def test_what_cannot_be_searched_is_refused():
    asked, searched = queries(), database()
    with pytest.raises(DataError, match="database: expected 5 faces or more, got 3"):
        evaluate(RECIPE, {"queries": asked, "database": searched.take(range(3))})
    others = Features(asked.names, asked.taps, {**asked.fields, "gender": ["other"] * 80})
    with pytest.raises(DataError, match="gender: expected queries that are one of female, male"):
        evaluate(RECIPE, {"queries": others, "database": searched})


def test_the_recipe_is_the_published_one():
    recipe = load_benchmarks()["casual-conversations"].recipe_of("attribute_retrieval")
    assert isinstance(recipe, AttributeRetrieval)
    assert (recipe.k, recipe.taps, recipe.attribute) == ((1, 5, 10, 50), ("pool",), "gender")
    assert recipe.group_by == (("gender", "skin_tone"), ("age",))
