"""Which splits or parts of a benchmark a protocol reads, and in which role."""

from collections.abc import Sequence

from schemas.benchmarks.entry import expect
from schemas.benchmarks.recipes import (
    AttributeRetrieval,
    CopyDetection,
    FairnessLabels,
    Geolocation,
    HouseholdLabels,
    Recipe,
    Retrieval,
    Shift,
)
from schemas.benchmarks.vocabulary import Protocol

# Protocols that train on a part of the benchmark itself, or search it.
_TRAINED = frozenset(
    {
        Protocol.LINEAR_PROBE,
        Protocol.LOW_SHOT,
        Protocol.FINE_TUNE,
        Protocol.SVM,
        Protocol.NEAREST_NEIGHBORS,
        Protocol.HATEFUL_MEMES,
    }
)
_TRAINING = ("train", "trainval")
_TESTS = ("test", "val")


def with_splits(recipe: Recipe, protocol: Protocol, parts: Sequence[str], where: str) -> Recipe:
    """The recipe with what it leaves open of train, val and test, from the parts there are.

    Trained on is `train`, else `trainval`; tested on is `test`, else `val`, else all that is left.
    `val` chooses taps and costs if it is not the test. Raises ValueError, naming `where` and both
    sides, if a part is not there, or none is left to train or test on.
    """
    train = recipe.train
    if protocol in _TRAINED and train is None:
        train = next((name for name in _TRAINING if name in parts), None)
        expect(train is not None, f"{where}.train", "a split to train on", ", ".join(parts))
    others = [train]
    if isinstance(recipe, CopyDetection):
        others += [recipe.distractors, recipe.whitening]
    test = recipe.test or _test_parts([name for name in parts if name not in others])
    val = recipe.val
    if protocol in _TRAINED and val is None and "val" in parts and "val" not in test:
        val = "val"
    named = [name for name in (train, val, *test) if name is not None]
    if isinstance(recipe, Retrieval):
        named = [recipe.gallery, recipe.queries, *([recipe.whitening] if recipe.whitening else [])]
        test = (recipe.queries,)
    for name in named:
        expect(name in parts, where, f"splits of {', '.join(parts)}", name)
    expect(bool(test), f"{where}.test", "a split to test on", ", ".join(parts))
    return recipe.model_copy(update={"train": train, "val": val, "test": test})


def _test_parts(parts: Sequence[str]) -> tuple[str, ...]:
    return next(((name,) for name in _TESTS if name in parts), tuple(parts))


def roles_of(
    recipe: Recipe, protocol: Protocol, parts: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The parts of each role for a complete recipe; a part of another set is `id:part`."""
    roles: dict[str, tuple[str, ...]] = {"test": recipe.test}
    if protocol in _TRAINED and recipe.train:
        roles = {"train": (recipe.train,), **roles}
        if recipe.val:
            roles["val"] = (recipe.val,)
    match recipe:
        case Shift(classes_of=other):
            train = recipe.train or f"{other}:train"
            roles = {"train": (train,), "reference": (f"{other}:val",), **roles}
        case Geolocation(train_on=other):
            roles = {"train": (f"{other}:train",), **roles}
        case FairnessLabels(classifier=other) | HouseholdLabels(classifier=other):
            roles = {"train": (f"{other}:train",), **roles}
        case AttributeRetrieval(database=other):
            roles = {"database": (f"{other}:all",), "queries": recipe.test}
        case CopyDetection(distractors=distractors, whitening=whitening):
            others = {"distractors": distractors, "whitening": whitening}
            roles |= {role: (name,) for role, name in others.items() if name in parts}
        case Retrieval(gallery=gallery, queries=queries, whitening=whitening):
            roles = {"gallery": (gallery,), "queries": (queries,)}
            if whitening:
                roles["whitening"] = (whitening,)
        case _:
            pass
    return roles
