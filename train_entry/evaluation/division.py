"""Train, val and test of images that lie undivided on disk, as the registry divides them.

Who is in which part depends on the names and classes of the images alone, not on how they are
stored or listed, and for each class on nothing of the other classes.
"""

from collections.abc import Hashable, Mapping, Sequence
from hashlib import blake2b
from math import floor
from typing import Any

from schemas.benchmarks.field_rules import Division
from train_entry.errors import DataError

_PARTS = ("train", "val", "test")


def divide(division: Division, names: Sequence[str], values: Sequence[Any]) -> dict[str, list[int]]:
    """The places of each part's images, rising; parts are disjoint.

    values: of each image, the part that its column tells, or its class, by which counts and shares
    are taken. Raises DataError if a part would be empty, or a class has too few images.
    """
    if division.by == "column":
        found = _by_column(division, values)
    else:
        found = _by_amount(division, names, values)
    empty = [part for part, places in found.items() if not places]
    if empty:
        told = ", ".join(f"{part} {len(places):,}" for part, places in found.items())
        raise DataError(f"expected images in part {' and '.join(empty)}, got {told}")
    return {part: sorted(places) for part, places in found.items()}


def amounts(division: Division, num_images: int, of: str) -> dict[str, int]:
    """How many of so many images go to each part; raises DataError if there are too few.

    Shares are rounded by the largest remainder, so that a whole is divided without loss; what no
    part gets is the remainder that is not used. of: whose images these are, for messages.
    """
    wanted = {part: getattr(division, part) for part in _PARTS if getattr(division, part)}
    if division.by == "count":
        counts = {part: int(amount) for part, amount in wanted.items()}
        if sum(counts.values()) > num_images:
            told = " + ".join(f"{count} for {part}" for part, count in counts.items())
            raise DataError(f"expected {told} images of {of}, got {num_images}")
    else:
        unused = "" if division.rest is None else division.rest
        shares = {**wanted, unused: max(0.0, 1.0 - sum(wanted.values()))}
        counts = _largest_remainder(shares, num_images)
        counts.pop("", None)
    if division.rest is not None:
        others = sum(count for part, count in counts.items() if part != division.rest)
        counts[division.rest] = num_images - others
    return counts


def _by_column(division: Division, values: Sequence[Any]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {part: [] for part in division.parts}
    for place, value in enumerate(values):
        if value in found:
            found[value].append(place)
    return found


def _by_amount(
    division: Division, names: Sequence[str], values: Sequence[Any]
) -> dict[str, list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for place, value in enumerate(values):
        groups.setdefault(value if division.per_class else None, []).append(place)
    found: dict[str, list[int]] = {part: [] for part in division.parts}
    for value, places in groups.items():
        of = f"class {value!r}" if division.per_class else "all"
        counts = amounts(division, len(places), of)
        ordered, begin = _in_order(division, names, places), 0
        for part in division.parts:
            found[part] += ordered[begin : begin + counts[part]]
            begin += counts[part]
    return found


def _in_order(division: Division, names: Sequence[str], places: Sequence[int]) -> list[int]:
    """The places by name, or in a random order that the seed and each name decide."""
    if division.order == "name":
        return sorted(places, key=lambda place: names[place])
    key = division.seed.to_bytes(8, "little", signed=True)

    def drawn(place: int) -> tuple[bytes, str]:
        return blake2b(names[place].encode(), key=key, digest_size=16).digest(), names[place]

    return sorted(places, key=drawn)


def _largest_remainder(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers in these shares that add up to the total (Hamilton's method)."""
    # Else 0.1 + 0.2 of 10 could be less than 3.
    exact = {name: round(share * total, 9) for name, share in shares.items()}
    counts = {name: floor(amount) for name, amount in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts
