"""Which places of a network a protocol looks at, and which of them is reported.

N images, D dimensions.
"""

import math
import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from train_entry.errors import DataError
from train_entry.evaluation.encoder import POOL, POOL_NORM
from train_entry.evaluation.scores import Features, Score

_PARTS = re.compile(r"_(\d+)x(\d+)$")


def usable_taps(taps: Sequence[str], part: Features) -> tuple[str, ...]:
    """Those of a recipe's taps that the features have; `pool` if there is none of them.

    Raises DataError if there is no `pool` either.
    """
    found = tuple(tap for tap in taps if _source(tap) in part.taps or tap in part.taps) or (POOL,)
    if found == (POOL,) and POOL not in part.taps:
        raise DataError(f"expected features of {', '.join(taps)}, got {', '.join(part.taps)}")
    return found


def features_of(part: Features, tap: str) -> Tensor:
    """A tap's features, [N, D] or [N, R, D]; `pool_norm` is `pool` again."""
    return part.taps[tap] if tap in part.taps else part.taps[_source(tap)]


def _source(tap: str) -> str:
    return POOL if tap == POOL_NORM else tap


def parts_of_map(tap: str) -> int:
    """Of how many parts of the map a tap has averages: 2 for `stage3_2x1`, else 1.

    Each channel's parts stand together in a row of features.
    """
    found = _PARTS.search(tap)
    return math.prod(map(int, found.groups())) if found else 1


def scores_of_taps(
    found: Mapping[str, Sequence[Score]], on_val: Mapping[str, float] | None, *, left_out: str = ""
) -> list[Score]:
    """All scores of the best tap, then the first one of each tap, with settings that tell so.

    found: scores of the test set by tap. on_val: each tap's value on images held out for the
    choice; None: the best on the test set is reported, as SEER did, and the setting says so.
    left_out: what to say of taps that are missing.
    """
    best = best_tap({tap: scores[0].value for tap, scores in found.items()}, on_val)
    told = best
    if len(found) > 1:
        where = "on val" if on_val else "on the test set, as published"
        told = f"{best}, best of {len(found)} {where}"
    told += f"; {left_out}" if left_out else ""
    scores = [_in(score, told) for score in found[best]]
    if len(found) > 1:
        scores += [_in(some[0], f"tap {tap}") for tap, some in found.items()]
    return scores


def best_tap(on_test: Mapping[str, float], on_val: Mapping[str, float] | None) -> str:
    """The first of the taps with the greatest value, on val if there are values."""
    values = on_val or on_test
    return max(on_test, key=lambda tap: values[tap])


def _in(score: Score, setting: str) -> Score:
    return score.of(setting=f"{setting}, {score.setting}" if score.setting else setting)
