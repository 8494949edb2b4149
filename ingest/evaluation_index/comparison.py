"""Compiled comparison of codes: what is near, what is nearest, and the scan of all codes.

A hit is one number, distance << 32 | place, so that the nearest and first is the smallest.
"""

import numpy as np
from numpy.typing import NDArray

from ingest.evaluation_index.instructions import compiled, count_ones

Int64s = NDArray[np.int64]
Words = NDArray[np.uint64]

PLACE_BITS = 32
# Hits collected before the farther ones are dropped.
MAX_FOUND = 4096


@compiled
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


@compiled
def scan(queries: Words, codes: Words, limit: int, hits: Int64s, counts: Int64s) -> None:
    """Fill hits [n, num_hits] and counts [n] by comparing queries [n, 4] with all codes."""
    found, num_hits = np.empty(MAX_FOUND, np.int64), hits.shape[1]
    for number in range(len(queries)):
        distance, count = limit, 0
        first, second, third, fourth = queries[number]
        for place in range(len(codes)):
            near = count_ones(first ^ codes[place, 0]) + count_ones(second ^ codes[place, 1])
            near += count_ones(third ^ codes[place, 2]) + count_ones(fourth ^ codes[place, 3])
            if near <= distance:
                found[count] = near << PLACE_BITS | place
                count += 1
                if count == MAX_FOUND:
                    count = keep_nearest(found, count, num_hits)
                    distance = found[count - 1] >> PLACE_BITS if count == num_hits else distance
        count = keep_nearest(found, count, num_hits)
        hits[number, :count] = found[:count]
        counts[number] = count
