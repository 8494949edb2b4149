"""scikit-learn's handwritten digits as features, and other small sets."""

from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits

from train_entry.evaluation.scores import Features


def part(features, labels, names=None, **fields):
    """Images with these features, by tap or of `pool` alone, and labels."""
    taps = features if isinstance(features, dict) else {"pool": features}
    taps = {tap: torch.as_tensor(values, dtype=torch.float32) for tap, values in taps.items()}
    names = names or [f"{number:05d}.png" for number in range(len(labels))]
    return Features(names, taps, {"label": list(labels), **fields})


@cache
def digit_arrays():
    """Standardised pixels and classes: 1198 to train on, 599 to test on."""
    pixels, labels = load_digits(return_X_y=True)
    test = np.arange(len(pixels)) % 3 == 0
    mean, spread = pixels[~test].mean(axis=0), pixels[~test].std(axis=0)
    pixels = ((pixels - mean) / np.where(spread > 0, spread, 1)).astype(np.float32)
    return pixels[~test], labels[~test], pixels[test], labels[test]


def digits(**taps):
    """Splits `train` and `test`, of `pool` or of functions of the pixels by tap."""
    train, train_labels, test, test_labels = digit_arrays()
    taps = taps or {"pool": np.asarray}

    def seen(pixels, labels, kind):
        names = [f"{kind}-{number:05d}.png" for number in range(len(labels))]
        return part({tap: of(pixels) for tap, of in taps.items()}, labels.tolist(), names)

    return {
        "train": seen(train, train_labels, "train"),
        "test": seen(test, test_labels, "test"),
    }


def clusters(num, num_classes=4, dimensions=8, spread=0.5, seed=0, start=0):
    """Points around one centre a class, in turn; the centres are always the same."""
    centres = np.random.default_rng(99).normal(size=(num_classes, dimensions))
    labels = np.arange(start, start + num) % num_classes
    noise = np.random.default_rng(seed).normal(0, spread, (num, dimensions))
    names = [f"{number:05d}.png" for number in range(start, start + num)]
    return part(centres[labels] + noise, [f"class {one}" for one in labels], names)
