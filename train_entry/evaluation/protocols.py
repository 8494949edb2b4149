"""Each protocol's function, and which of them see all test splits as one."""

from collections.abc import Callable, Mapping
from importlib import import_module

from schemas.benchmarks.recipes import Recipe
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


def evaluate_function(protocol: Protocol) -> Evaluate:
    """`evaluate` of the protocol's file; imported late, for scikit-learn takes its time."""
    function: Evaluate = import_module(f"{_PACKAGE}.{protocol}").evaluate
    return function
