import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import silhouette_samples

from schemas.benchmarks.recipes import HashtagEmbedding
from train_entry.errors import DataError
from train_entry.evaluation import hashtag_embedding
from train_entry.evaluation.hashtag_embedding import cell_values, evaluate, make_cells
from train_entry.evaluation.scores import Features

RECIPE = HashtagEmbedding()
LANGUAGES = ("en", "es", "ja")


def hashtags(num_concepts=6, per_cell=5, pull=0.8, seed=0):
    """Images of concepts under words of three languages, each with a look of its own."""
    generator = np.random.default_rng(seed)
    looks = {language: generator.normal(size=12) for language in LANGUAGES}
    rows, concepts, languages = [], [], []
    for number in range(num_concepts):
        own = generator.normal(size=12)
        for language in LANGUAGES:
            noise = generator.normal(size=(per_cell, 12))
            rows.append(pull * own + 0.5 * looks[language] + noise)
            concepts += [f"concept {number}"] * per_cell
            languages += [language] * per_cell
    pool = torch.from_numpy(np.concatenate(rows).astype(np.float32))
    names = [str(place) for place in range(len(concepts))]
    return Features(names, {"pool": pool}, {"concept": concepts, "language": languages})


def cells_by_hand(test):
    """Unit means by (concept, language), one image after another."""
    sums = {}
    fields = zip(test.fields["concept"], test.fields["language"], strict=True)
    for pair, row in zip(fields, test.taps["pool"].double().numpy(), strict=True):
        sums.setdefault(pair, []).append(row / np.linalg.norm(row))
    means = {pair: np.mean(rows, axis=0) for pair, rows in sums.items()}
    return {pair: mean / np.linalg.norm(mean) for pair, mean in sorted(means.items())}


def values_by_hand(cells):
    """By cell: whether the nearest of another language is right, the gap, and chance."""
    found = {}
    for (concept, language), mean in cells.items():
        others = {pair: row @ mean for pair, row in cells.items() if pair[1] != language}
        same = [cosine for pair, cosine in others.items() if pair[0] == concept]
        different = [cosine for pair, cosine in others.items() if pair[0] != concept]
        if same and different:
            right = max(others, key=others.get)[0] == concept
            gap = np.mean(same) - np.mean(different)
            found[concept, language] = (right, gap, len(same) / len(others))
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 7), st.integers(1, 4), st.integers(1, 9), st.randoms())
def test_cells_are_means_of_images_whatever_their_order(num_concepts, per_cell, at_once, random):
    test = hashtags(num_concepts, per_cell)
    order = list(range(len(test)))
    random.shuffle(order)
    test = test.take(order)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(hashtag_embedding, "_IMAGES_AT_ONCE", at_once)
        cells = make_cells(test.taps["pool"], test.fields["concept"], test.fields["language"])
    wanted = cells_by_hand(test)
    assert list(zip(cells.concepts, cells.languages, strict=True)) == list(wanted)
    np.testing.assert_allclose(cells.means, list(wanted.values()), atol=1e-7)
    assert cells.num_images.tolist() == [per_cell] * len(wanted)


def test_figures_are_those_of_all_cells_and_of_each_language():
    test = hashtags()
    scores = evaluate(RECIPE, {"test": test})
    by_hand = values_by_hand(cells_by_hand(test))
    means = np.array(list(cells_by_hand(test).values()))
    concepts = [concept for concept, _ in by_hand]
    silhouettes = silhouette_samples(means, concepts, metric="cosine")
    table = np.column_stack([np.array(list(by_hand.values()), np.float64), silhouettes])
    columns = {"recall_at_1": 0, "cosine_gap": 1, "silhouette": 3, "chance": 2}
    told = [(score.metric, score.group) for score in scores]
    assert told == [(metric, group) for metric in columns for group in ("", *LANGUAGES)]
    for score in scores:
        kept = [score.group in ("", language) for _, language in by_hand]
        assert score.value == pytest.approx(table[kept, columns[score.metric]].mean())
        assert score.num_images == (90 if score.group == "" else 30)
        assert score.setting == f"{18 if score.group == '' else 6} cells of 6 concepts"
        if score.metric == "chance":
            assert (score.low, score.high) == (None, None)
        else:
            assert score.low - 1e-9 <= score.value <= score.high + 1e-9


def test_concepts_that_lie_together_are_found_and_others_are_not():
    near = evaluate(RECIPE, {"test": hashtags(20, pull=3.0)})
    apart = evaluate(RECIPE, {"test": hashtags(20, pull=0.0)})
    assert near[0].value > 0.95
    assert near[4].value > 0.5 > near[8].value - 0.5
    chance = next(score for score in apart if score.metric == "chance")
    assert apart[0].low <= chance.value * 2
    assert abs(apart[4].value) < 0.1


def test_intervals_are_over_concepts():
    scores = evaluate(RECIPE, {"test": hashtags(8, pull=0.9)})
    whole, english = scores[4], scores[5]
    # Cells of one concept are alike: three languages are not three times as much evidence.
    assert whole.high - whole.low > 0.6 * (english.high - english.low)


def test_a_concept_of_one_language_looks_for_nothing_but_may_be_found():
    test = hashtags()
    fields = zip(test.fields["concept"], test.fields["language"], strict=True)
    kept = [
        place
        for place, (concept, language) in enumerate(fields)
        if concept != "concept 0" or language == "en"
    ]
    smaller = test.take(kept)
    cells = make_cells(smaller.taps["pool"], smaller.fields["concept"], smaller.fields["language"])
    places, found = cell_values(cells)
    wanted = values_by_hand(cells_by_hand(smaller))
    assert list(zip(cells.concepts[places], cells.languages[places], strict=True)) == list(wanted)
    assert found["recall_at_1"].tolist() == [right for right, _, _ in wanted.values()]
    np.testing.assert_allclose(found["cosine_gap"], [gap for _, gap, _ in wanted.values()])


@pytest.mark.parametrize(("concepts", "languages"), [("aab", "xyx"), ("ab", "xy"), ("aa", "xy")])
def test_fewer_than_two_concepts_with_two_languages_are_refused(concepts, languages):
    fields = {"concept": list(concepts), "language": list(languages)}
    test = Features(list(concepts), {"pool": torch.eye(len(concepts))}, fields)
    with pytest.raises(DataError, match="expected two concepts or more, each in two languages"):
        evaluate(RECIPE, {"test": test})
