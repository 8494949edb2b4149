"""RegNetY by its five numbers, and the members of the family that SEER was trained with.

Source: Radosavovic et al. 2020, arXiv:2003.13678, section 3; the numbers: VISSL's configurations.
"""

import math
from dataclasses import dataclass

from schemas.options import Options, option


class RegNetConfig(Options):
    """The five numbers of a RegNetY; everything else follows."""

    w_0: int = option(..., "width that the linear rule begins with, channels", gt=0)
    w_a: float = option(..., "slope of the linear rule, channels a block", gt=0)
    w_m: float = option(..., "factor between the widths of stages", gt=1)
    depth: int = option(..., "blocks in all", gt=0)
    group_width: int = option(..., "channels in a group of the 3 x 3 convolutions", gt=0)
    se_ratio: float = option(0.25, "squeeze and excitation: share of a block's input width", gt=0)
    stem_width: int = option(32, "channels of the stem", gt=0)

    def stages(self) -> tuple["Stage", ...]:
        """Width, depth and group width of each stage, in order.

        The linear rule is rounded to powers of w_m and to multiples of 8, then each width to a
        multiple of its group width.
        """
        widths = [self._raw_width(block) for block in range(self.depth)]
        stages = []
        for raw in sorted(set(widths)):
            group = min(self.group_width, raw)
            stages.append(Stage(_nearest_multiple(raw, group), widths.count(raw), group))
        return tuple(stages)

    def _raw_width(self, block: int) -> int:
        linear = self.w_0 + self.w_a * block
        power = round(math.log(linear / self.w_0) / math.log(self.w_m))
        return round(self.w_0 * self.w_m**power / 8) * 8


@dataclass(frozen=True)
class Stage:
    """Blocks of one width; the first of them halves the resolution."""

    width: int
    depth: int
    group_width: int


FAMILY = {
    name: RegNetConfig(w_0=w_0, w_a=w_a, w_m=w_m, depth=depth, group_width=group_width)
    for name, w_0, w_a, w_m, depth, group_width in (
        ("rg_8gf", 192, 76.82, 2.19, 17, 56),
        ("rg_16gf", 200, 106.23, 2.48, 18, 112),
        ("rg_32gf", 232, 115.89, 2.53, 20, 232),
        ("rg_64gf", 352, 147.48, 2.40, 20, 328),
        ("rg_128gf", 456, 160.83, 2.52, 27, 264),
        ("rg_256gf", 640, 230.83, 2.53, 27, 373),
        ("rg_10b", 1744, 620.83, 2.52, 27, 1010),
    )
}


def _nearest_multiple(value: int, divisor: int) -> int:
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    # Never lose more than a tenth.
    return rounded + divisor if rounded < 0.9 * value else rounded
