"""A linear probe on few labelled images, drawn again and again.

Which images are drawn depends on their names, the seed and the number of the draw alone, not on the
order of files. VISSL's 1 % and 10 % of ImageNet-1k are fixed lists; these are other images.
Sources: Zhai et al. 2019, arXiv:1910.04867 (1000 images, balanced); SEER's released configurations.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import stdtrit  # type: ignore[import-untyped]  # it has no types

from schemas.benchmarks.recipes import LowShot
from train_entry.evaluation.class_statistics import Places
from train_entry.evaluation.classification import KAPPA
from train_entry.evaluation.linear_probe import diverged_taps, scores_by_tap, train_heads
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.taps import scores_of_taps
from train_entry.evaluation.training_images import TrainingImages, drawn_number


def evaluate(recipe: LowShot, splits: Mapping[str, Features]) -> list[Score]:
    """The figures of the best tap on `test`, then each tap's, of each share or of `num_train`.

    Each is the mean over the draws. Its interval is of both test images and draws; of one draw, of
    test images alone. Raises as `linear_probe.evaluate`.
    """
    images = TrainingImages.of(splits["train"])
    scores = []
    for share in recipe.shares or (None,):
        drawn = [draw(images, recipe, share, number) for number in range(recipe.samples)]
        some = _of_draws(recipe, splits, [images.take(one) for one in drawn])
        size = f"{len(drawn[0])} training images"
        told = size if share is None else f"{share:.3g} of each class, {size}"
        if recipe.samples > 1:
            told += f", {recipe.samples} draws"
        scores += [
            one.of(setting=f"{told}; {one.setting}" if one.setting else told) for one in some
        ]
    return scores


def draw(images: TrainingImages, recipe: LowShot, share: float | None, number: int) -> Places:
    """The images of a draw, which also stand in an order that depends on names alone.

    As many of each class as there are, until there are `num_train`: one more of some classes, if it
    does not come out even. Of a share: that of each class, rounded, and one at least.
    """
    numbers = [drawn_number(name, "low shot", recipe.seed, number) for name in images.names]
    order = sorted(range(len(images)), key=lambda image: numbers[image])
    sizes = np.bincount(images.labels, minlength=len(images.classes))
    seen: defaultdict[int, int] = defaultdict(int)
    ranked = []
    for image in order:
        label = int(images.labels[image])
        wanted = sizes[label] if share is None else max(1, round(share * int(sizes[label])))
        if seen[label] < wanted:
            ranked.append((seen[label], image))
        seen[label] += 1
    # The sort keeps the random order of the images of one rank.
    ranked.sort(key=lambda one: one[0])
    kept = ranked if share is not None else ranked[: recipe.num_train]
    return np.array([image for _, image in kept], np.int64)


def _of_draws(
    recipe: LowShot, splits: Mapping[str, Features], draws: Sequence[TrainingImages]
) -> list[Score]:
    by_tap: dict[str, list[list[Score]]] = {}
    on_val: dict[str, list[float]] = {}
    missing = ""
    for images in draws:
        classifiers = train_heads(recipe, splits["train"], images)
        missing = missing or diverged_taps(recipe, splits, classifiers)
        found, values = scores_by_tap(recipe, classifiers, splits)
        for tap, scores in found.items():
            by_tap.setdefault(tap, []).append(scores)
        for tap, value in (values or {}).items():
            on_val.setdefault(tap, []).append(value)
    # A tap counts if it could be trained on in all draws.
    whole = {tap: mean_of_draws(one) for tap, one in by_tap.items() if len(one) == len(draws)}
    means = {tap: float(np.mean(on_val[tap])) for tap in whole if tap in on_val}
    return scores_of_taps(whole, means or None, left_out=missing)


def mean_of_draws(draws: Sequence[Sequence[Score]]) -> list[Score]:
    """The mean of each figure over draws that were tested on the same images.

    Each half of the interval joins the mean half that is due to test images, and Student's of the
    mean of the draws; they are independent, so their squares add up.
    """
    found = {_key(one): [one] for one in draws[0]}
    for others in draws[1:]:
        for one in others:
            if _key(one) in found:
                found[_key(one)].append(one)
    return [_joined(some) for some in found.values()]


def _key(score: Score) -> tuple[str, str]:
    # The setting may tell which group was worst in a draw.
    return score.metric, score.group


def _joined(scores: Sequence[Score]) -> Score:
    first, num = scores[0], len(scores)
    if num == 1:
        return first
    values = np.array([one.value for one in scores])
    value = float(values.mean())
    lows = np.array([one.value if one.low is None else one.low for one in scores])
    highs = np.array([one.value if one.high is None else one.high for one in scores])
    spread = float(stdtrit(num - 1, 0.975)) * float(values.std(ddof=1)) / num**0.5
    low = value - np.hypot((values - lows).mean(), spread)
    high = value + np.hypot((highs - values).mean(), spread)
    least = -1.0 if first.metric == KAPPA else 0.0
    setting = first.setting if all(one.setting == first.setting for one in scores) else ""
    return Score(
        first.metric,
        value,
        max(float(low), least),
        min(float(high), 1.0),
        first.num_images,
        first.group,
        setting,
    )
