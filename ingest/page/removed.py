"""Which removed pictures a page shows, chosen in one pass over a ledger of any length."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from itertools import accumulate

from ingest.audit.copies import NearImage
from schemas.certificate import set_of
from schemas.evaluation import FARTHEST, least_correlation
from schemas.outcome import Outcome

# At about 17 kB a pair this is half of what a page may weigh; the ledger has all.
PAIRS_OF_A_PAGE = 300
EXACT_OF_A_SET = 100
SHIFTS = tuple(round(-0.35 + 0.05 * step, 2) for step in range(16))


class CutCounts:
    """How many images would be removed at other cuts than those in force: `radius`, `base`."""

    def __init__(self, radius: int, base: float) -> None:
        self._radius, self._base = radius, base
        self._at_distance = [0] * (FARTHEST + 1)
        self.by_shift = [0] * len(SHIFTS)

    def add(self, distance: int, correlation: float) -> None:
        """Count one image by distance and correlation to the evaluation image nearest to it."""
        if distance > FARTHEST:
            return
        self._at_distance[distance] += correlation >= least_correlation(distance, self._base)
        if distance <= self._radius:
            for place, shift in enumerate(SHIFTS):
                least = least_correlation(distance, self._base + shift)
                self.by_shift[place] += correlation >= least

    @property
    def by_radius(self) -> list[int]:
        """The number at each largest distance, 0 to 80 bits."""
        return list(accumulate(self._at_distance))


@dataclass
class RemovedOfSet:
    """The copies of one evaluation set: how many, and those to show, the least sure first."""

    num_near: int = 0
    num_exact: int = 0
    near: list[NearImage] = field(default_factory=list)
    exact: list[NearImage] = field(default_factory=list)


@dataclass(frozen=True)
class Removed:
    """What a page tells of all that came near an evaluation image."""

    sets: Mapping[str, RemovedOfSet]
    cuts: CutCounts


def choose_removed(images: Iterable[NearImage], radius: int, base: float) -> Removed:
    """Count all images, and keep those to be shown; never more than a few for each set.

    radius: largest distance in force, in bits. base: least correlation in force, at distance 0.
    """
    cuts = CutCounts(radius, base)
    sets: dict[str, RemovedOfSet] = {}
    heaps: dict[str, list[tuple[float, int, NearImage]]] = {}
    for number, one in enumerate(images):
        if one.correlation is not None and one.outcome is not Outcome.DUPLICATE_EXACT:
            cuts.add(one.distance, one.correlation)
        if not one.is_copy:
            continue
        name = set_of(one.name)
        found = sets.setdefault(name, RemovedOfSet())
        if one.outcome is Outcome.DUPLICATE_EXACT:
            found.num_exact += 1
            if len(found.exact) < EXACT_OF_A_SET:
                found.exact.append(one)
        else:
            found.num_near += 1
            heap = heaps.setdefault(name, [])
            # The surest is on top of the heap, and leaves a full one for one that is less sure.
            put = heappush if len(heap) < PAIRS_OF_A_PAGE else heappushpop
            put(heap, (-_surplus(one), -number, one))
    places = allot({name: len(heap) for name, heap in heaps.items()}, PAIRS_OF_A_PAGE)
    for name, heap in heaps.items():
        sets[name].near = [one for _, _, one in sorted(heap, reverse=True)][: places[name]]
    return Removed(dict(sorted(sets.items())), cuts)


def _surplus(one: NearImage) -> float:
    """By how much the evidence is more than needed, up to a constant."""
    correlation = 1.0 if one.correlation is None else one.correlation
    return correlation - least_correlation(one.distance, 0.0)


def allot(wanted: Mapping[str, int], total: int) -> dict[str, int]:
    """How many places of `total` each gets: all it wants, or as many as any other that lacks."""
    given: dict[str, int] = {}
    left = total
    for rank, (name, count) in enumerate(sorted(wanted.items(), key=lambda item: item[1])):
        given[name] = min(count, left // (len(wanted) - rank))
        left -= given[name]
    return given
