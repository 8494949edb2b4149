"""Are memes hateful? A linear classifier on features of the image and of its words.

N images, D dimensions of a tap, T of hashed words. The paper gives an area of 0.734 for an image
encoder within a model of image and text that it does not describe, and VISSL has no code for it;
that protocol cannot be recovered. Here, words are TF-IDF weights, hashed to T places, which stand
beside the features of the image. Figures of the image alone are told too.
Source: Kiela et al. 2020, arXiv:2005.04790 (the set, and the area under the ROC curve).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from torch import Tensor

from schemas.benchmarks.recipes import HatefulMemes
from train_entry.errors import DataError
from train_entry.evaluation import linear_probe
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.taps import features_of, usable_taps

TEXT = "text"


def evaluate(recipe: HatefulMemes, splits: Mapping[str, Features]) -> list[Score]:
    """The area under the ROC curve on `test`, of the later of two classes, such as 1 and not 0.

    With `text_dimensions`, that of image and text first, then that of the image alone.
    Raises DataError if there are not two classes, or texts are missing.
    """
    alone = linear_probe.evaluate(recipe, splits)
    if not recipe.text_dimensions:
        return alone
    joined, taps = with_text(recipe, splits)
    both = linear_probe.evaluate(recipe.model_copy(update={"taps": taps}), joined)
    return _of(both, "image and text") + _of(alone, "image alone")


def _of(scores: Sequence[Score], what: str) -> list[Score]:
    return [one.of(setting=f"{what}; {one.setting}" if one.setting else what) for one in scores]


def with_text(
    recipe: HatefulMemes, splits: Mapping[str, Features]
) -> tuple[dict[str, Features], tuple[str, ...]]:
    """The features of each tap with those of the text beside them, and what these taps are called.

    Texts are scaled so that they are as long as images' features are in the mean of `train`.
    """
    texts = text_features(recipe.text_dimensions, {role: _texts(splits[role]) for role in splits})
    found: dict[str, dict[str, Tensor]] = {role: {} for role in splits}
    taps = usable_taps(recipe.taps, splits["train"])
    for tap in taps:
        length = float(features_of(splits["train"], tap).flatten(1).float().norm(dim=1).mean())
        for role, part in splits.items():
            images = features_of(part, tap).flatten(1).float()
            words = torch.from_numpy(texts[role]) * length
            found[role][f"{tap}+{TEXT}"] = torch.cat([images, words], dim=1)
    joined = {role: replace(part, taps=found[role]) for role, part in splits.items()}
    return joined, tuple(f"{tap}+{TEXT}" for tap in taps)


def _texts(part: Features) -> Sequence[str]:
    if TEXT not in part.fields:
        raise DataError(f"expected the field {TEXT}, got {', '.join(part.fields)}")
    return ["" if one is None else str(one) for one in part.fields[TEXT]]


def text_features(
    dimensions: int, texts: Mapping[str, Sequence[str]]
) -> dict[str, NDArray[np.float32]]:
    """TF-IDF weights [N, T] of words, of length 1; how common words are is learned of `train`."""
    words = HashingVectorizer(n_features=dimensions, norm=None, alternate_sign=False)
    counts = {role: words.transform(some) for role, some in texts.items()}
    weights = TfidfTransformer().fit(counts["train"])
    return {
        role: weights.transform(one).toarray().astype(np.float32) for role, one in counts.items()
    }
