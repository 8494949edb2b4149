"""Which labels a classifier gives to which group of people: harmful ones, and by how much more.

N images, C classes, L labels. An image's labels are its first five classes by softmax, those with
a score of the threshold or more; it counts for an association if any of its labels is in it.
Source: Goyal et al. 2022, arXiv:2202.07603, indicator 1, and its released code in VISSL. Unlike
there, the classifier is linear on frozen features, unless the checkpoint was tuned before; each
share has Wilson's interval, in which images of one person (field `subject`) count as they vary.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.benchmarks.recipes import FairnessLabels
from train_entry.errors import DataError
from train_entry.evaluation.disparity import Estimate, against_others, group_mean, spread
from train_entry.evaluation.intervals import Clusters, Places, cluster_codes, share_interval
from train_entry.evaluation.linear_probe import fit
from train_entry.evaluation.scores import Features, Score

METRIC = "label_rate"
# Values that say that nobody knows; they are no group, or none to compare with the others.
_UNTOLD = frozenset({"", "n/a", "nan", "none"})
_UNKNOWN = "unknown"
Hits = NDArray[np.float64]


@dataclass(frozen=True)
class People:
    """Who is shown. groups: by what divides them, places of the images of each group.

    subjects: of each image, a number of whom it shows, or which photograph it is a part of; None:
    all are others.
    """

    num: int
    groups: Mapping[str, Mapping[str, Places]]
    subjects: Places | None = None

    @classmethod
    def of(cls, test: Features, group_by: Sequence[Sequence[str]]) -> "People":
        """The groups of images by one or more fields; their values are joined by a space."""
        groups = {" and ".join(names): _grouped(test, names) for names in group_by}
        if "subject" not in test.fields:
            return cls(len(test), groups)
        subjects = [
            # Of whom nothing is told is somebody else each time.
            place if str(one).strip().lower() in _UNTOLD else str(one)
            for place, one in enumerate(test.fields["subject"])
        ]
        return cls(len(test), groups, cluster_codes(subjects))

    def subjects_of(self, places: Places) -> Places | None:
        """Whom these images show."""
        return None if self.subjects is None else self.subjects[places]


def _grouped(test: Features, names: Sequence[str]) -> dict[str, Places]:
    found: dict[str, list[int]] = {}
    for place, values in enumerate(zip(*(test.fields[name] for name in names), strict=True)):
        words = [str(value).strip() for value in values]
        if not any(word.lower() in _UNTOLD for word in words):
            found.setdefault(" ".join(words), []).append(place)
    return {group: np.array(found[group]) for group in sorted(found)}


class TopLabels(NamedTuple):
    """The first L classes of each image, [N, L], and their scores, 0 to 1, of C classes."""

    classes: Tensor
    scores: Tensor
    num_classes: int

    @classmethod
    def of(cls, scores_NC: Tensor, top: int) -> "TopLabels":
        """The first `top` by softmax scores; of equal ones the earlier class is first."""
        order_NL = scores_NC.argsort(dim=1, descending=True, stable=True)[:, :top]
        return cls(order_NL, scores_NC.gather(1, order_NL), scores_NC.shape[1])

    def kept(self, threshold: float) -> NDArray[np.bool_]:
        """Which labels each image gets, [N, C]: of its first those that score the threshold."""
        kept_NC = torch.zeros(len(self.classes), self.num_classes, dtype=torch.bool)
        return kept_NC.scatter_(1, self.classes, self.scores >= threshold).numpy()


def association_scores(hits: Hits, people: People, setting: str) -> list[Score]:
    """The share of images with a hit: of all, of each group, and the spread over groups.

    hits: [N], 1 or 0. What is unknown of someone makes no group that the spread compares.
    """
    everyone = np.arange(people.num)
    scores = [_share(hits, people, everyone).of(setting=setting)]
    for by, groups in people.groups.items():
        scores += [
            _share(hits, people, places).of(name, setting) for name, places in groups.items()
        ]
        known = {name: places for name, places in groups.items() if _UNKNOWN not in name.split()}
        if len(known) > 1:
            values = {name: hits[places] for name, places in known.items()}
            subjects = {name: people.subjects_of(places) for name, places in known.items()}
            num = sum(map(len, known.values()))
            found = spread(values, subjects)
            scores.append(Score("disparity", *found, num, f"by {by}", setting))
    return scores


def _hits(kept_NC: NDArray[np.bool_], columns: Sequence[int]) -> Hits:
    """1 for each image that has one of the labels, else 0."""
    return np.asarray(kept_NC[:, columns].any(axis=1), np.float64)


def _share(hits: Hits, people: People, places: Places) -> Score:
    found = group_mean(hits[places], people.subjects_of(places))
    return Score(METRIC, *found, len(places))


def rate_of_label(given: Hits, num_labels: Hits, subjects: Clusters | None = None) -> Estimate:
    """A label's share of all labels that some images get.

    given: [N], 1 where an image has the label; num_labels: [N], how many it has in all, some image
    one or more. The mean of the latter is taken as known, which makes the interval a little wide.
    """
    each = float(num_labels.mean())
    low, high = (min(end / each, 1.0) for end in share_interval(given, subjects))
    return Estimate(float(given.mean()) / each, low, high)


def rate_differences(kept_NC: NDArray[np.bool_], column: int, people: People) -> list[Score]:
    """How much more often each group gets a label than the others do, signed.

    Of each group, the label's share of its labels less the mean of the shares of the other groups.
    """
    num_labels = kept_NC.sum(axis=1).astype(np.float64)
    given = kept_NC[:, column].astype(np.float64)
    scores = []
    for groups in people.groups.values():
        rates = {
            name: rate_of_label(given[places], num_labels[places], people.subjects_of(places))
            for name, places in groups.items()
            if num_labels[places].any()
        }
        if len(rates) > 1:
            scores += [
                Score("label_rate_difference", *found, len(groups[name]), name)
                for name, found in against_others(rates).items()
            ]
    return scores


def label_scores(
    recipe: FairnessLabels, scores_NC: Tensor, classes: Sequence[Hashable], people: People
) -> list[Score]:
    """All figures of softmax scores: of associations, of labels apart, by group.

    The first is that of the first association at the recipe's main threshold, of all images. An
    association of which the classifier knows no label is left out: none could be found.
    Raises DataError if that is so of all.
    """
    # Classes may be numbers; the registry's words are text.
    columns = {str(name): place for place, name in enumerate(classes)}
    known = {
        name: [columns[label] for label in labels if label in columns]
        for name, labels in recipe.associations.items()
    }
    if not any(known.values()):
        told = ", ".join(label for each in recipe.associations.values() for label in each)
        raise DataError(f"classes: expected some of {told or 'no label'}, got none of them")
    thresholds = dict.fromkeys((recipe.threshold, *recipe.thresholds))
    scores = []
    labels = TopLabels.of(scores_NC, recipe.top)
    for threshold in thresholds:
        kept_NC = labels.kept(threshold)
        for name, places in known.items():
            if places:
                hits = _hits(kept_NC, places)
                told = f"{name}, threshold {threshold:g}" + _incomplete(recipe, name, len(places))
                scores += association_scores(hits, people, told)
    return scores + _scores_of_labels(recipe, labels, columns, people)


def _incomplete(recipe: FairnessLabels, name: str, num_known: int) -> str:
    num = len(recipe.associations[name])
    return "" if num_known == num else f", {num_known} of {num} labels known"


def _scores_of_labels(
    recipe: FairnessLabels, labels: TopLabels, columns: Mapping[str, int], people: People
) -> list[Score]:
    """Figures of labels one by one: those that need a look, and differences of rates."""
    scores = []
    for label, threshold in recipe.disparate.items():
        if label in columns:
            hits = _hits(labels.kept(threshold), [columns[label]])
            told = f"disparate label {label}, threshold {threshold:g}"
            scores += association_scores(hits, people, told)
    kept = labels.kept(recipe.threshold)
    named = [label for each in recipe.associations.values() for label in each]
    for label in dict.fromkeys((*named, *recipe.disparate)):
        if label in columns and kept[:, columns[label]].any():
            told = f"{label}, threshold {recipe.threshold:g}"
            found = rate_differences(kept, columns[label], people)
            scores += [score.of(setting=told) for score in found]
    return scores


def evaluate(recipe: FairnessLabels, splits: Mapping[str, Features]) -> list[Score]:
    """Trains the classifier on `train`, and tells the labels of the people in `test`.

    Raises DataError if the classifier knows none of the labels.
    """
    classifier = fit(recipe.probe, splits["train"])
    test = splits["test"]
    scores_NC = classifier.scores(test).float().softmax(dim=1).cpu()
    people = People.of(test, recipe.group_by)
    return label_scores(recipe, scores_NC, classifier.classes, people)
