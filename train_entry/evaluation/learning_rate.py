"""The learning rate of classifiers and of whole networks as epochs go by."""

import math
from typing import Literal, Protocol


class Descent(Protocol):
    """What a recipe says of it; rates are per 256 images."""

    @property
    def epochs(self) -> int: ...
    @property
    def schedule(self) -> Literal["step", "cosine"]: ...
    @property
    def milestones(self) -> tuple[int, ...]: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def final_learning_rate(self) -> float: ...
    @property
    def batch(self) -> int: ...


def learning_rate(recipe: Descent, done: float) -> float:
    """The rate after so many epochs; steps change it between epochs, a cosine with each batch."""
    scale = recipe.batch / 256
    if recipe.schedule == "step":
        return recipe.learning_rate * scale * 0.1 ** sum(done >= one for one in recipe.milestones)
    share = (1 + math.cos(math.pi * done / recipe.epochs)) / 2
    end = recipe.final_learning_rate
    return (end + (recipe.learning_rate - end) * share) * scale
