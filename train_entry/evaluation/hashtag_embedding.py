"""Do images of one concept lie together, whatever the language of the hashtag they were found by?

N images, D dimensions, G cells: one for each concept and language, the mean of its images' features
of length 1. A cell looks among the cells of all other languages. Intervals are over concepts, of
which a set has few; cells of one concept are alike, and drawing images anew within cells would tell
only how well each mean is known.
Source: this protocol is the registry's own; Goyal et al. 2022, arXiv:2202.08360, shows hashtags of
several languages in pictures alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import silhouette_samples
from torch import Tensor
from torch.nn.functional import normalize

from schemas.benchmarks.recipes import HashtagEmbedding
from schemas.benchmarks.vocabulary import Metric
from train_entry.errors import DataError
from train_entry.evaluation.ranking import mean_of_queries
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.taps import features_of, usable_taps

_IMAGES_AT_ONCE = 1024
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Cells:
    """Means of length 1, [G, D], in the order of concepts, then languages; num_images: [G]."""

    concepts: NDArray[np.str_]
    languages: NDArray[np.str_]
    means: Values
    num_images: NDArray[np.int64]


def make_cells(features_ND: Tensor, concepts: Sequence[Any], languages: Sequence[Any]) -> Cells:
    """The cells that have images."""
    pairs = [(str(one), str(other)) for one, other in zip(concepts, languages, strict=True)]
    names = sorted(set(pairs))
    numbers = {name: number for number, name in enumerate(names)}
    of_image = np.array([numbers[pair] for pair in pairs], np.int64)
    means = np.zeros((len(names), features_ND.shape[1]))
    for begin in range(0, len(pairs), _IMAGES_AT_ONCE):
        images = slice(begin, begin + _IMAGES_AT_ONCE)
        unit_ND = normalize(features_ND[images].double(), dim=1).numpy()
        np.add.at(means, of_image[images], unit_ND)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    means /= np.where(lengths > 0, lengths, 1)
    known = np.array(names, np.str_).reshape(len(names), 2)
    counts = np.bincount(of_image, minlength=len(names))
    return Cells(known[:, 0], known[:, 1], means, counts)


def cell_values(cells: Cells) -> tuple[NDArray[np.int64], dict[str, Values]]:
    """Which cells have their concept in another language, and what is found for each of them.

    recall_at_1: whether the nearest cell of another language is of its concept; of equal ones, the
    first counts. chance: how often a random cell would be. cosine_gap: the mean cosine to cells
    of its concept less that to other concepts, in other languages. silhouette: -1 to 1, of
    concepts as clusters. Raises DataError if there are not two such concepts.
    """
    abroad = cells.languages[:, None] != cells.languages
    same = abroad & (cells.concepts[:, None] == cells.concepts)
    others = abroad & ~same
    places = np.flatnonzero(same.any(axis=1) & others.any(axis=1))
    concepts = cells.concepts[places]
    if len(np.unique(concepts)) < 2:
        raise DataError(
            "test: expected two concepts or more, each in two languages or more, got "
            f"{len(cells.concepts)} pairs of a concept and a language"
        )
    cosines = cells.means @ cells.means.T
    nearest = np.where(abroad, cosines, -np.inf)[places].argmax(axis=1)

    def mean(which: NDArray[np.bool_]) -> Values:
        kept = which[places]
        found: Values = np.where(kept, cosines[places], 0).sum(axis=1) / kept.sum(axis=1)
        return found

    return places, {
        str(Metric.RECALL_AT_1): (cells.concepts[nearest] == concepts).astype(np.float64),
        "cosine_gap": mean(same) - mean(others),
        "silhouette": silhouette_samples(cells.means[places], concepts, metric="cosine"),
        "chance": same[places].sum(axis=1) / abroad[places].sum(axis=1),
    }


def evaluate(recipe: HashtagEmbedding, splits: Mapping[str, Features]) -> list[Score]:
    """Figures of `test`: of all cells, then of those of each language.

    Raises DataError if there are not two concepts that have two languages each.
    """
    test = splits["test"]
    features = features_of(test, usable_taps(recipe.taps, test)[0])
    fields = test.fields
    cells = make_cells(features, fields[recipe.concept], fields[recipe.language])
    places, found = cell_values(cells)
    languages = cells.languages[places]
    scores = []
    for metric, values in found.items():
        for language in ("", *sorted(set(languages.tolist()))):
            chosen = np.flatnonzero((languages == language) | (language == ""))
            cell_places = places[chosen]
            concepts = cells.concepts[cell_places].tolist()
            score = mean_of_queries(metric, values[chosen].tolist(), concepts)
            num = int(cells.num_images[cell_places].sum())
            known = metric == "chance"  # it follows from which cells there are
            low, high = (None, None) if known else (score.low, score.high)
            told = f"{len(chosen)} cells of {len(set(concepts))} concepts"
            scores.append(Score(metric, score.value, low, high, num, language, told))
    return scores
