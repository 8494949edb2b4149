"""Each protocol's function, and the facts about an image that it cannot do without."""

from collections.abc import Callable, Mapping
from importlib import import_module

from schemas.benchmarks.recipes import (
    AttributeRetrieval,
    FairnessLabels,
    FineTune,
    HashtagEmbedding,
    HatefulMemes,
    LinearProbe,
    Recipe,
    StyleRetrieval,
)
from schemas.benchmarks.vocabulary import Protocol
from train_entry.evaluation.scores import Features, Score

Evaluate = Callable[[Recipe, Mapping[str, Features]], list[Score]]

_PACKAGE = __name__.rpartition(".")[0]
# Of which all test splits are one set; of the others, each split has figures of its own.
JOINED = frozenset(
    {
        Protocol.COPY_DETECTION,
        Protocol.STYLE_RETRIEVAL,
        Protocol.HASHTAG_EMBEDDING,
        Protocol.ATTRIBUTE_RETRIEVAL,
        Protocol.RETRIEVAL,
    }
)
_LABEL = ("label",)
# Of the rankings, the protocol itself says what it lacks: each set has other facts.
_FACTS: dict[Protocol, tuple[str, ...]] = {
    Protocol.GEOLOCATION: ("latitude", "longitude"),
    Protocol.COPY_DETECTION: (),
    Protocol.RETRIEVAL: (),
    Protocol.HOUSEHOLD_LABELS: ("household", "region", "income", "label"),
}


def evaluate_function(protocol: Protocol) -> Evaluate:
    """`evaluate` of the protocol's file; imported late, for scikit-learn takes its time."""
    function: Evaluate = import_module(f"{_PACKAGE}.{protocol}").evaluate
    return function


def facts_needed(recipe: Recipe, protocol: Protocol, role: str) -> tuple[str, ...]:
    """The fields that the images of a role must have."""
    match recipe:
        case FairnessLabels(group_by=groups) if role == "test":
            return tuple(name for group in groups for name in group)
        case AttributeRetrieval(attribute=attribute, group_by=groups):
            by = [name for group in groups for name in group] if role == "queries" else []
            return tuple(dict.fromkeys((attribute, *by)))
        case StyleRetrieval(style=style):
            return (style,)
        case HashtagEmbedding(concept=concept, language=language):
            return concept, language
        case HatefulMemes(text_dimensions=dimensions) if dimensions:
            return "label", "text"
        case LinearProbe(group_by=by) | FineTune(group_by=by) if role == "test":
            return ("label", *by)
        case _:
            train_label = role == "train" and protocol == Protocol.HOUSEHOLD_LABELS
            return _LABEL if train_label else _FACTS.get(protocol, _LABEL)
