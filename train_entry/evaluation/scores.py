"""What protocols are given and what they give back.

N images, D dimensions. A protocol is a file of this folder with a function
`evaluate(recipe, splits) -> list[Score]`, which knows features and labels but no image and no file.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from train_entry.evaluation.intervals import mean_interval


@dataclass(frozen=True)
class Features:
    """One part of a benchmark: features of its images, and what is known of each.

    taps: by place in the network, [N, D] each, or [N, R, D] for R regions.
    fields: by name, N values each: text, numbers, or tuples of them; `label` is the class.
    """

    names: Sequence[str]
    taps: Mapping[str, Tensor]
    fields: Mapping[str, Sequence[Any]]

    def __len__(self) -> int:
        return len(self.names)

    def take(self, places: Sequence[int]) -> "Features":
        """Some of the images, in this order."""
        return Features(
            [self.names[place] for place in places],
            {tap: values[list(places)] for tap, values in self.taps.items()},
            {name: [values[place] for place in places] for name, values in self.fields.items()},
        )


@dataclass(frozen=True)
class Score:
    """One figure. Shares are 0 to 1; the interval is of 95 %, None where there is none."""

    metric: str
    value: float
    low: float | None
    high: float | None
    num_images: int
    group: str = ""  # of whom, where figures are by group; "" is all
    setting: str = ""  # what was chosen or varied: a tap, a cost, a threshold

    def of(self, group: str = "", setting: str = "") -> "Score":
        """The same, of a group or in a setting."""
        return replace(self, group=group or self.group, setting=setting or self.setting)


def mean_score(metric: str, values: Sequence[float] | np.ndarray[Any, Any]) -> Score:
    """The mean of one value an image, such as whether it was classified right."""
    found = np.asarray(values, np.float64)
    low, high = mean_interval(found)
    return Score(metric, float(found.mean()), low, high, len(found))
