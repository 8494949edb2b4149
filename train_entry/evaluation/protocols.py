"""Each protocol's function, which of them see all test splits as one, and what they can follow."""

from collections.abc import Callable, Mapping
from importlib import import_module

from schemas.benchmarks.recipes import FineTune, LinearProbe, NearestNeighbors, Recipe, Shift
from schemas.benchmarks.vocabulary import Metric, Protocol
from train_entry.errors import ConfigError
from train_entry.evaluation.scores import Features, Score
from train_entry.evaluation.transforms import Transform

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
# Of images with one right class each, and of a classifier that was made for others.
_OF_CLASSIFIERS = (
    Metric.TOP1,
    Metric.WORST_GROUP,
    Metric.MEAN_PER_CLASS,
    Metric.MACRO_F1,
    Metric.QUADRATIC_KAPPA,
    Metric.ROC_AUC,
)
_OF_SHIFT = (
    Metric.TOP1,
    Metric.TOP1_MULTI_LABEL,
    Metric.MACRO_F1,
    Metric.MEAN_CORRUPTION_ERROR,
)


def evaluate_function(protocol: Protocol) -> Evaluate:
    """`evaluate` of the protocol's file; imported late, for scikit-learn takes its time."""
    function: Evaluate = import_module(f"{_PACKAGE}.{protocol}").evaluate
    return function


def expect_possible(recipe: Recipe) -> None:
    """Raise ConfigError for what a protocol would stumble over when all else is done."""
    Transform.of(recipe)
    Transform.of(getattr(recipe, "probe", recipe))
    match recipe:
        case LinearProbe() | FineTune() | NearestNeighbors():
            possible: tuple[Metric, ...] = _OF_CLASSIFIERS
        case Shift():
            possible = _OF_SHIFT
        case _:
            return
    if recipe.metric not in possible:
        raise ConfigError(f"metric: expected {', '.join(possible)}, got {recipe.metric}")
    if recipe.metric == Metric.WORST_GROUP and not getattr(recipe, "group_by", ()):
        raise ConfigError(f"group_by: expected fields for {recipe.metric}, got none")
