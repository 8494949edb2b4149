"""Compiled comparison of codes: what is near, what is nearest, and the scan of all codes.

A hit is one number, distance << 32 | place, so that the nearest and first is the smallest.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int64s = NDArray[np.int64]
Words = NDArray[np.uint64]

PLACE_BITS = 32
# Hits collected before the farther ones are dropped.
MAX_FOUND = 4096


@njit(cache=True, nogil=True)
def _count_ones(word: np.uint64) -> np.int64:
    # LLVM makes one instruction of this.
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def keep_nearest(found: Int64s, count: int, num_hits: int) -> int:
    """Sort the first `count`, drop what is there twice and what is too far: how many are left."""
    ordered = np.sort(found[:count])
    kept = 0
    for hit in ordered:
        if kept == num_hits:
            break
        if kept == 0 or found[kept - 1] != hit:
            found[kept] = hit
            kept += 1
    return kept


@njit(cache=True, nogil=True)
def add_near(
    query: Words, codes: Words, place: int, distance: int, found: Int64s, count: int
) -> int:
    """How many are found once this place was added, if it is not too far."""
    total = _count_ones(query[0] ^ codes[place, 0]) + _count_ones(query[1] ^ codes[place, 1])
    if total > distance:
        return count
    total += _count_ones(query[2] ^ codes[place, 2]) + _count_ones(query[3] ^ codes[place, 3])
    if total > distance:
        return count
    found[count] = total << PLACE_BITS | place
    return count + 1


@njit(cache=True, nogil=True)
def scan(queries: Words, codes: Words, limit: int, hits: Int64s, counts: Int64s) -> None:
    """Fill hits [n, most] and counts [n] by comparing queries [n, 4] with all codes."""
    found, num_hits = np.empty(MAX_FOUND, np.int64), hits.shape[1]
    for number in range(len(queries)):
        query, distance, count = queries[number], limit, 0
        for place in range(len(codes)):
            count = add_near(query, codes, place, distance, found, count)
            if count == MAX_FOUND:
                count = keep_nearest(found, count, num_hits)
                distance = found[count - 1] >> PLACE_BITS if count == num_hits else distance
        count = keep_nearest(found, count, num_hits)
        hits[number, :count] = found[:count]
        counts[number] = count
