"""Compiled building of one look-up table: places sorted by key, and a directory of 64-byte lines.

A line holds the start of its first bucket in 4 bytes, then for each of its 60 buckets one byte:
where the bucket ends, counted from that start. One look-up touches one cache line, and a bucket
costs 1.07 bytes. A line of more than 255 codes holds instead the number of a row of `wide`: 61
bounds of 4 bytes. There are less than N / 255 of these a table, so they add at most 1 byte a code.
"""

import numpy as np
from numpy.typing import NDArray

from ingest.evaluation_index.instructions import compiled

LINE_BYTES, LINE_BUCKETS = 64, 60
HEAD_BYTES = LINE_BYTES - LINE_BUCKETS
_MAX_BYTE = 255


@compiled
def gather_bits(
    codes: NDArray[np.uint8], spread: NDArray[np.uint64], used: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """Chosen bits of each code [N, 32] as one number: `spread` [32, 256] moves those of a byte."""
    gathered = np.empty(codes.shape[0], np.uint64)
    for place in range(codes.shape[0]):
        bits = np.uint64(0)
        for number in used:
            bits |= spread[number, codes[place, number]]
        gathered[place] = bits
    return gathered


@compiled
def sort_places(
    gathered: NDArray[np.uint64],
    key_mask: np.uint64,
    tag_shift: np.uint64,
    bounds: NDArray[np.uint32],
    ids: NDArray[np.uint32],
    tags: NDArray[np.uint8],
) -> None:
    """Fill ids and tags [N] by key, then place; bounds, zeros before: bucket k ends at k + 1."""
    for bits in gathered:
        bounds[np.int64(bits & key_mask) + 2] += np.uint32(1)
    for key in range(2, len(bounds)):
        bounds[key] += bounds[key - 1]
    for place in range(len(gathered)):
        bits = gathered[place]
        bucket = np.int64(bits & key_mask) + 1
        at = bounds[bucket]
        ids[at], tags[at] = place, bits >> tag_shift
        bounds[bucket] = at + np.uint32(1)


@compiled
def _size(bounds: NDArray[np.uint32], first: int) -> int:
    """Codes in the line that begins with this bucket."""
    return int(bounds[first + LINE_BUCKETS]) - int(bounds[first])


@compiled
def count_wide(bounds: NDArray[np.uint32]) -> int:
    """How many lines have more codes than a byte can count."""
    count = 0
    for first in range(0, len(bounds) - LINE_BUCKETS, LINE_BUCKETS):
        count += _size(bounds, first) > _MAX_BYTE
    return count


@compiled
def fill_lines(
    bounds: NDArray[np.uint32],
    lines: NDArray[np.uint8],
    starts: NDArray[np.uint32],
    wide: NDArray[np.uint32],
    first_wide: int,
) -> None:
    """Fill lines [L, 64], of which starts [L, 16] is the same memory, and rows of wide [., 61]."""
    num_wide = 0
    for line in range(lines.shape[0]):
        first = line * LINE_BUCKETS
        begin = bounds[first]
        if _size(bounds, first) > _MAX_BYTE:
            wide[num_wide] = bounds[first : first + LINE_BUCKETS + 1]
            starts[line, 0] = first_wide + num_wide
            # Ends of a line that is not wide ascend.
            lines[line, HEAD_BYTES] = _MAX_BYTE
            num_wide += 1
        else:
            starts[line, 0] = begin
            for slot in range(LINE_BUCKETS):
                lines[line, HEAD_BYTES + slot] = bounds[first + slot + 1] - begin
