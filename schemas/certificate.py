"""The certificate: against what a dataset was cleaned, what was found, and how well it was looked.

A build plants canaries, copies of evaluation images that it sends through the very same code as any
candidate, and counts how many it finds.
"""

import math
from collections.abc import Sequence

_Z = 1.96


def wilson_interval(found: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share, from 0 to 1 without any trial (Wilson 1927)."""
    if total == 0:
        return 0.0, 1.0
    share, weight = found / total, _Z * _Z / total
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / total + weight / (4 * total)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)
