import numpy as np
import pytest

from train_entry.errors import DataError
from train_entry.evaluation.corruptions import ALEXNET_ERRORS, corruption_scores, has_corruptions
from train_entry.evaluation.scores import Features

EXTRA = "speckle_noise"
# As published of ResNet-50 (top-1 accuracies, mean over severities) with its corruption errors.
RESNET_50 = {"brightness": (0.6802, 0.5664), "gaussian_noise": (0.2929, 0.7977)}


def damaged(kinds, num_images=8, severities=(1, 2, 3, 4, 5)):
    rows = [
        (kind, severity, number)
        for kind in kinds
        for severity in severities
        for number in range(num_images)
    ]
    names = [f"{kind}/{severity}/{number}.jpg" for kind, severity, number in rows]
    fields = {
        "corruption": [kind for kind, _, _ in rows],
        "severity": [str(severity) for _, severity, _ in rows],
    }
    return Features(names, {}, fields)


def drawn_hits(part, seed=0):
    return np.random.default_rng(seed).random(len(part)) < 0.6


def test_the_error_is_the_sum_over_severities_divided_by_that_of_alexnet():
    part = damaged([*ALEXNET_ERRORS, EXTRA])
    hits = drawn_hits(part)
    found = corruption_scores(part, hits)
    kinds, severities = np.array(part.fields["corruption"]), np.array(part.fields["severity"])
    errors = []
    for kind, alexnet in ALEXNET_ERRORS.items():
        sums = sum(
            1 - hits[(kinds == kind) & (severities == str(one))].mean() for one in range(1, 6)
        )
        errors.append(sums / (5 * alexnet))
    first = found[0]
    assert (first.metric, first.setting) == ("mean_corruption_error", "15 of 15 corruptions")
    assert first.value == pytest.approx(np.mean(errors))
    assert first.num_images == 15 * 5 * 8
    assert [one.value for one in found[1:16]] == pytest.approx(errors)
    # The extra one has top-1 alone.
    extra = [one for one in found if one.group == EXTRA]
    assert [one.metric for one in extra] == ["top1"]
    assert extra[0].value == pytest.approx(hits[kinds == EXTRA].mean())
    third = next(one for one in found if one.group == "severity 3")
    assert third.value == pytest.approx(hits[severities == "3"].mean())


@pytest.mark.parametrize("kind", RESNET_50)
def test_the_errors_are_the_published_ones_of_another_network(kind):
    accuracy, error = RESNET_50[kind]
    part = damaged([kind], num_images=10_000)
    hits = np.arange(len(part)) % 10_000 < accuracy * 10_000
    assert corruption_scores(part, hits)[0].value == pytest.approx(error, abs=5e-4)


def test_a_mean_of_some_corruptions_says_so():
    part = damaged(["fog", "snow"])
    assert corruption_scores(part, drawn_hits(part))[0].setting == "2 of 15 corruptions"


def test_the_interval_draws_originals_not_their_damaged_versions():
    part = damaged(ALEXNET_ERRORS, num_images=40)
    # An original is classified right in all versions or in none: 40 facts, not 3,000.
    hits = np.array([int(name.split("/")[2].split(".")[0]) % 2 == 0 for name in part.names])
    first = corruption_scores(part, hits)[0]
    scale = np.mean([1 / one for one in ALEXNET_ERRORS.values()])
    deviation = scale * np.sqrt(0.25 / 40)
    assert first.value == pytest.approx(0.5 * scale)
    assert (first.high - first.low) / 2 == pytest.approx(1.96 * deviation, rel=0.2)


def test_extra_corruptions_alone_have_no_mean():
    part = damaged([EXTRA])
    found = corruption_scores(part, drawn_hits(part))
    assert {one.metric for one in found} == {"top1"}


def test_a_missing_severity_is_told():
    part = damaged(["fog"], severities=(1, 2, 3))
    with pytest.raises(DataError, match=r"fog: expected severities 1 to 5, .* got 1, 2, 3"):
        corruption_scores(part, drawn_hits(part))
    unknown = Features(["a"], {}, {"corruption": ["fog"], "severity": ["much"]})
    with pytest.raises(DataError, match="expected whole numbers"):
        corruption_scores(unknown, np.array([True]))


def test_corruptions_are_known_where_both_fields_are():
    assert has_corruptions(damaged(["fog"]).fields)
    assert not has_corruptions({"corruption": ["fog"]})
