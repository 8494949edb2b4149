"""A stretch of one input that one worker reads, and what each kind of source can do."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from schemas.candidate import Candidate
from schemas.options import PlanOptions

# Bytes of an input that one worker reads at a time, where it can be split.
PIECE_BYTES = 128 << 20
WHOLE = -1
UNCOUNTED = -1


class Piece(NamedTuple):
    """A stretch of an input: of bytes, row groups or shards, whatever its kind counts in.

    end: WHOLE for all that follows. first_row: number of its first row; UNCOUNTED: the rows of all
    pieces of this input before it must be counted first.
    """

    uri: str
    kind: str
    begin: int = 0
    end: int = WHOLE
    first_row: int = 0


@dataclass(frozen=True)
class Source:
    """How one kind of input is split and read; and counted, if that is cheaper than reading it."""

    split: Callable[[str, PlanOptions], Iterable[Piece]]
    read: Callable[[Piece, PlanOptions], Iterator[list[Candidate]]]
    count: Callable[[Piece, PlanOptions], int] | None = None


def stretches(size: int, step: int) -> list[tuple[int, int]]:
    """[begin, end) stretches of about `step` that cover 0 to `size`; one if there is nothing."""
    count = max(1, -(-size // step))
    cuts = [size * number // count for number in range(count + 1)]
    return list(pairwise(cuts))
