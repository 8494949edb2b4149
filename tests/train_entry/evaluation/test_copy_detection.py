import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from schemas.benchmarks import load_benchmarks
from schemas.benchmarks.recipes import CopyDetection
from train_entry.errors import DataError
from train_entry.evaluation.copy_detection import copy_precisions, evaluate
from train_entry.evaluation.rmac import aggregate, learn_whitening
from train_entry.evaluation.scores import Features

REGIONS, CHANNELS = 14, 12
COPYDAYS = load_benchmarks()["copydays"].recipe_of("copy_detection")
DISC21 = load_benchmarks()["disc21"].recipe_of("copy_detection")
# As one may ask for a smaller set, or a smaller network.
DISC21 = DISC21.model_copy(update={"taps": ("stage3_regions",)})


def images(num, seed=0):
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.normal(size=(num, REGIONS, CHANNELS)).astype(np.float32))


def edited(originals, noise, seed):
    generator = np.random.default_rng(seed)
    changed = originals.numpy() + generator.normal(size=originals.shape) * noise
    return torch.from_numpy(changed.astype(np.float32))


def copydays(num=12, noise=1.5):
    """Originals, two strong edits of each, and two strengths of JPEG quality."""
    originals = images(num)
    blocks = [str(2000 + number) for number in range(num)]
    kinds = [
        ("original", ""),
        ("strong", ""),
        ("strong", ""),
        ("jpegqual", "75"),
        ("jpegqual", "3"),
    ]
    noises = [0, noise, noise, 0.01, 0.3]
    values = [edited(originals, one, seed) for seed, one in enumerate(noises)]
    rows = [(block, *kind) for kind in kinds for block in blocks]
    names = [f"{kind}/{place}.jpg" for place, (_, kind, _) in enumerate(rows)]
    fields = dict(
        zip(("block", "subset", "strength"), map(list, zip(*rows, strict=True)), strict=True)
    )
    return Features(names, {"stage3_regions": torch.cat(values)}, fields)


def others(num=40, seed=9):
    taps = {"stage3_regions": images(num, seed)}
    # Their names may look like those of originals; they match nothing all the same.
    fields = {"block": ["2000"] * num, "subset": ["original"] * num, "strength": [""] * num}
    return Features([f"{place}.jpg" for place in range(num)], taps, fields)


def precision_of_rank(rank):
    return 1.0 if rank == 0 else 0.5 / (rank + 1)


def expected_map(test, distractors, whitening, subset, strength=""):
    """Plain NumPy: the originals' ranks for all copies of a kind."""

    def vectors(part):
        return aggregate(part.taps["stage3_regions"], whitening).double().numpy()

    kinds = list(zip(test.fields["subset"], test.fields["strength"], strict=True))
    whole = vectors(test)
    originals = [place for place, kind in enumerate(kinds) if kind[0] == "original"]
    database = whole[originals]
    if distractors is not None:
        database = np.concatenate([database, vectors(distractors)])
    found = []
    for place, kind in enumerate(kinds):
        if kind == (subset, strength):
            cosines = database @ whole[place]
            block = test.fields["block"][place]
            (own,) = [n for n, one in enumerate(originals) if test.fields["block"][one] == block]
            found.append(precision_of_rank(int((cosines > cosines[own]).sum())))
    return np.mean(found)


def test_each_kind_of_copy_has_a_figure_and_strong_ones_come_first():
    test, distractors, learned_on = copydays(), others(), others(30, seed=4)
    splits = {"test": test, "distractors": distractors, "whitening": learned_on}
    scores = evaluate(COPYDAYS, splits)
    told = "40 distractors, whitened to 12 of 1024 dimensions"
    kinds = ["strong", "jpegqual 3", "jpegqual 75"]
    assert [score.setting for score in scores] == [f"{kind}, {told}" for kind in kinds]
    assert [score.metric for score in scores] == ["map"] * 3
    assert [score.num_images for score in scores] == [24, 12, 12]
    whitening = learn_whitening(learned_on.taps["stage3_regions"], 1024)
    for score, kind in zip(scores, kinds, strict=True):
        wanted = expected_map(test, distractors, whitening, *kind.split())
        assert score.value == pytest.approx(wanted)
        assert score.low <= score.value <= score.high
    assert scores[0].value < 1
    assert scores[2].value == 1


def test_distractors_and_whitening_may_be_missing_and_the_figure_says_so():
    test = copydays()
    first = evaluate(COPYDAYS, {"test": test})[0]
    assert first.setting == "strong, no distractors, not whitened"
    assert first.value == pytest.approx(expected_map(test, None, None, "strong"))
    harder = evaluate(COPYDAYS, {"test": test, "distractors": others(400)})[0]
    assert harder.value == pytest.approx(expected_map(test, others(400), None, "strong"))
    assert harder.value < first.value


def test_an_encoder_without_regions_is_compared_by_its_pooled_features():
    test = copydays()
    pool = test.taps["stage3_regions"][:, 0].clone()
    found = evaluate(COPYDAYS, {"test": Features(test.names, {"pool": pool}, test.fields)})[0]
    regions = {"stage3_regions": pool.unsqueeze(1)}
    same = evaluate(COPYDAYS, {"test": Features(test.names, regions, test.fields)})[0]
    assert found == same


def test_copies_of_one_original_are_one_draw_of_the_interval():
    test = copydays(num=40)
    doubled = evaluate(COPYDAYS, {"test": test})[0]
    single = test.take([place for place in range(len(test)) if not 40 <= place < 80])
    alone = evaluate(COPYDAYS, {"test": single})[0]
    assert (alone.num_images, doubled.num_images) == (40, 80)
    # As many again that were independent would make it narrower by the root of two.
    assert doubled.high - doubled.low > 0.72 * (alone.high - alone.low)


def test_a_copy_whose_original_could_not_be_read_is_no_query():
    test = copydays()
    kept = [place for place in range(len(test)) if place != 3]
    found = evaluate(COPYDAYS, {"test": test.take(kept)})
    assert [score.num_images for score in found] == [22, 11, 11]


def test_copydays_without_copies_or_originals_is_refused():
    test = copydays()
    with pytest.raises(DataError, match="subset strong, got 12 originals and copies of none"):
        evaluate(COPYDAYS, {"test": test.take(range(12))})
    with pytest.raises(DataError, match="got 0 originals"):
        evaluate(COPYDAYS, {"test": test.take(range(12, 36))})
    untold = Features(test.names, test.taps, {"block": test.fields["block"]})
    with pytest.raises(DataError, match="expected a field subset, got block"):
        evaluate(COPYDAYS, {"test": untold})


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.randoms())
def test_precisions_are_those_of_ranks_where_several_images_are_wanted(blocks, random):
    database = torch.eye(16)[: len(blocks)]
    weights = list(range(1, 17))
    random.shuffle(weights)
    query = torch.tensor([weights], dtype=torch.float32)
    wanted = random.choice(blocks)
    order = sorted(range(len(blocks)), key=lambda place: -weights[place])
    area, found, before = 0.0, 0, 1.0
    for rank, place in enumerate(order):
        hit = blocks[place] == wanted
        found += hit
        precision = found / (rank + 1)
        area += hit * (precision + before) / 2 / blocks.count(wanted)
        before = precision
    assert copy_precisions(query, database, blocks, [wanted]) == [pytest.approx(area)]


def disc21(num=60, num_copies=25, num_others=15):
    """References, copies of some of them, and queries of none."""
    references = images(num, seed=1)
    copies = edited(references[:num_copies], 1.5, seed=2)
    values = torch.cat([copies, images(num_others, seed=3), references])
    names = [f"queries/Q{n:05}.jpg" for n in range(num_copies + num_others)]
    names += [f"references/R{n:06}.jpg" for n in range(num)]
    originals = [f"R{n:06}" for n in range(num_copies)]
    fields = {
        "part": ["queries"] * (num_copies + num_others) + ["references"] * num,
        "reference": originals + [""] * (num_others - 1) + [None] * (num + 1),
    }
    return Features(names, {"stage3_regions": values}, fields)


def cosines_of(test):
    vectors = aggregate(test.taps["stage3_regions"]).double().numpy()
    return vectors[:40] @ vectors[40:].T


def test_all_answers_of_disc21_stand_in_one_ranking():
    test = disc21()
    pairs, first = evaluate(DISC21, {"test": test})
    cosines = cosines_of(test)
    hits = np.zeros_like(cosines, dtype=bool)
    hits[np.arange(25), np.arange(25)] = True
    best = np.argsort(-cosines)[:, :10]
    rows = np.arange(40)[:, None]
    kept_hits, kept_cosines = hits[rows, best].ravel(), cosines[rows, best].ravel()
    found = average_precision_score(kept_hits, kept_cosines) * kept_hits.sum() / 25
    assert (pairs.metric, pairs.num_images) == ("micro_ap", 40)
    assert pairs.value == pytest.approx(found)
    assert pairs.low < pairs.value < pairs.high
    assert (first.metric, first.num_images) == ("recall_at_1", 25)
    assert first.value == (cosines[:25].argmax(axis=1) == np.arange(25)).mean()
    assert pairs.setting == "not whitened"


def test_a_reference_that_could_not_be_read_is_not_found():
    test = disc21()
    without = test.take([place for place in range(len(test)) if place != 40])
    pairs, first = evaluate(DISC21, {"test": without})
    cosines = cosines_of(test)
    cosines[:, 0] = -1
    assert first.num_images == 25
    assert first.value == (cosines[:25].argmax(axis=1) == np.arange(25)).mean()
    assert pairs.value <= 24 / 25


def test_disc21_without_references_or_truth_is_refused():
    test = disc21()
    with pytest.raises(DataError, match="expected parts queries and references, got queries"):
        evaluate(DISC21, {"test": test.take(range(40))})
    with pytest.raises(DataError, match="expected the name of the original of some queries"):
        evaluate(DISC21, {"test": test.take(range(30, 100))})


def test_the_recipe_has_the_published_numbers_but_sees_the_middle_of_an_image():
    assert isinstance(COPYDAYS, CopyDetection)
    assert (COPYDAYS.taps, COPYDAYS.levels, COPYDAYS.dimensions) == (("stage3_regions",), 3, 1024)
    assert (COPYDAYS.resize_px, COPYDAYS.crop_px) == (256, 224)
    assert (COPYDAYS.metric, DISC21.metric) == ("map", "micro_ap")
