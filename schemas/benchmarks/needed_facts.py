"""The facts about an image that a protocol cannot do without."""

from schemas.benchmarks.facts import LABEL
from schemas.benchmarks.model import Benchmark
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

_LABEL = (LABEL,)
# Of the rankings, the protocol itself says what it lacks: each set has other facts.
_FACTS: dict[Protocol, tuple[str, ...]] = {
    Protocol.GEOLOCATION: ("latitude", "longitude"),
    Protocol.COPY_DETECTION: (),
    Protocol.RETRIEVAL: (),
    Protocol.HOUSEHOLD_LABELS: ("household", "region", "income", LABEL),
}


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
            return LABEL, "text"
        case LinearProbe(group_by=by) | FineTune(group_by=by) if role == "test":
            return (LABEL, *by)
        case _:
            train_label = role == "train" and protocol == Protocol.HOUSEHOLD_LABELS
            return _LABEL if train_label else _FACTS.get(protocol, _LABEL)


def facts_of_split(benchmark: Benchmark, split: str) -> tuple[str, ...]:
    """The fields that all images of a split must have, for all protocols of the benchmark.

    Of a split that is divided: none, for images of no part need not say so.
    """
    found: dict[str, None] = {}
    for protocol in benchmark.protocols:
        recipe = benchmark.recipe_of(protocol)
        for role, parts in benchmark.roles_of(protocol).items():
            if split in parts:
                found |= dict.fromkeys(facts_needed(recipe, protocol, role))
    return tuple(found)
