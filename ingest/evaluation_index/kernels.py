"""Compiled search: the probes of a query and their look-up in all tables.

Import it where something is searched, not sooner: numba takes half a second to import, and some
seconds to compile on a machine's first search; later ones read its cache.
"""

import numpy as np
from numpy.typing import NDArray

from ingest.evaluation_index.comparison import (
    MAX_FOUND,
    PLACE_BITS,
    Int64s,
    Words,
    keep_nearest,
)
from ingest.evaluation_index.directory import HEAD_BYTES, LINE_BUCKETS, LINE_BYTES
from ingest.evaluation_index.instructions import compiled, count_ones, prefetch
from ingest.evaluation_index.probes import NUM_SURE, NUM_TABLES, NUM_UNCERTAIN, TAG_BITS

_ID_BYTES, _CODE_BYTES = 4, 32
_SURE_STEP = NUM_TABLES // NUM_SURE


# Plain tuples, as numba's cache of an older version that names a class of it cannot be read. Each
# function takes apart at once what it needs: access in a loop would count references, atomically.
#
# Tables, read-only, for N codes and T tables of L lines:
#   codes [N, 4]; lines [T * L, 64]; starts [T * L, 16], the same memory; wide [W, 61];
#   tags [T * N]; ids [T * N]; bits [T, key bits + tag bits]; slots [T, U], the place in the key of
#   the u-th bit of an order, or -1; flips [F, 2], see `probes.flip_steps`; ones [256] of a byte
Tables = tuple[
    Words,
    NDArray[np.uint8],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.uint8],
    NDArray[np.uint32],
    Int64s,
    Int64s,
    Int64s,
    NDArray[np.uint8],
]
# Bits to the farthest hit; hits that are kept; and of the soft probes: bits of a tag that may
# differ, codes in a bucket that is not passed over, codes compared before the rest is given up.
Limits = tuple[int, int, int, int, int]
# A query: keys [T]; tags [T]; uncertain bits of keys [T, NUM_UNCERTAIN], least certain first.
Query = tuple[Int64s, Int64s, Int64s]
# P probes, the sure ones first: table [P]; key [P]; bits of its tag that may differ [P].
Probes = tuple[Int64s, Int64s, Int64s]


@compiled
def _make_keys(query: NDArray[np.uint8], order: Int64s, tables: Tables, asked: Query) -> None:
    """Keys, tags and uncertain bits of a query; order: used bits, least certain first."""
    bits, slots = tables[6], tables[7]
    keys, own_tags, uncertain = asked
    key_bits = bits.shape[1] - TAG_BITS
    for table in range(bits.shape[0]):
        gathered = np.int64(0)
        for slot in range(bits.shape[1]):
            bit = bits[table, slot]
            gathered |= np.int64(query[bit >> 3] >> np.uint8(7 - (bit & 7)) & 1) << slot
        keys[table] = gathered & ((1 << key_bits) - 1)
        own_tags[table] = gathered >> key_bits
        found = 0
        for number in order:
            slot = slots[table, number]
            if slot >= 0:
                uncertain[table, found] = 1 << slot
                found += 1
                if found == NUM_UNCERTAIN:
                    break


@compiled
def _list_probes(
    asked: Query, key_bits: int, flips: Int64s, masks: Int64s, tag_flips: int, probes: Probes
) -> None:
    """All probes; of the soft ones, the likeliest flips of all tables come first."""
    keys, _, uncertain = asked
    table_of, key_of, tag_flips_of = probes
    count = 0
    for table in range(0, len(keys), _SURE_STEP):
        # One bit differs in the tag or in the key.
        for slot in range(-1, key_bits):
            table_of[count], tag_flips_of[count] = table, slot < 0
            key_of[count] = keys[table] ^ (1 << slot if slot >= 0 else 0)
            count += 1
    for number in range(flips.shape[0]):
        earlier, rank = flips[number]
        for table in range(len(keys)):
            mask = masks[earlier, table] ^ uncertain[table, rank] if number else 0
            masks[number, table] = mask
            table_of[count], tag_flips_of[count] = table, tag_flips
            key_of[count] = keys[table] ^ mask
            count += 1


@compiled
def _locate(tables: Tables, num_sure: int, most: int, probes: Probes, bounds: Int64s) -> None:
    """Begin and end [2, P] of all buckets; those of soft probes are empty if they have more."""
    codes, lines, starts, wide, tags = tables[:5]
    table_of, key_of, _ = probes
    begins, ends = bounds[0], bounds[1]
    num_codes, num_lines = codes.shape[0], lines.shape[0] // NUM_TABLES
    line_base, tag_base = lines.ctypes.data, tags.ctypes.data
    for at in range(len(key_of)):
        line = table_of[at] * num_lines + key_of[at] // LINE_BUCKETS
        prefetch(line_base + line * LINE_BYTES)
    for at in range(len(key_of)):
        line = table_of[at] * num_lines + key_of[at] // LINE_BUCKETS
        slot, start = key_of[at] % LINE_BUCKETS, np.int64(starts[line, 0])
        if lines[line, LINE_BYTES - 1] < lines[line, HEAD_BYTES]:
            begin, end = np.int64(wide[start, slot]), np.int64(wide[start, slot + 1])
        else:
            begin = start + np.int64(lines[line, HEAD_BYTES - 1 + slot]) * (slot > 0)
            end = start + np.int64(lines[line, HEAD_BYTES + slot])
        if at >= num_sure and end - begin > most:
            end = begin
        begins[at] = table_of[at] * num_codes + begin
        ends[at] = table_of[at] * num_codes + end
        prefetch(tag_base + begins[at])


@compiled
def _compare(
    query: Words, tables: Tables, entries: Int64s, distance: int, found: Int64s, count: int
) -> int:
    """How many are found once the near ones of these entries were added."""
    codes, ids = tables[0], tables[5]
    id_base, code_base = ids.ctypes.data, codes.ctypes.data
    for entry in entries:
        prefetch(id_base + entry * _ID_BYTES)
    for at in range(len(entries)):
        entries[at] = ids[entries[at]]
        prefetch(code_base + entries[at] * _CODE_BYTES)
    first, second, third, fourth = query
    for place in entries:
        near = count_ones(first ^ codes[place, 0]) + count_ones(second ^ codes[place, 1])
        near += count_ones(third ^ codes[place, 2]) + count_ones(fourth ^ codes[place, 3])
        if near <= distance:
            found[count] = near << PLACE_BITS | place
            count += 1
    return count


@compiled
def _find(
    query: Words,
    tables: Tables,
    limits: Limits,
    wanted: tuple[Int64s, Int64s, Int64s, Int64s, int],
    pending: Int64s,
    found: Int64s,
) -> tuple[int, int]:
    """How many hits are now in `found`, nearest first, and how many codes were compared.

    wanted: table of each probe; own tags; bits that may differ of each; bounds; number of sure.
    """
    tags, ones = tables[4], tables[9]
    table_of, own_tags, tag_flips_of, bounds, num_sure = wanted
    distance, num_hits, _, _, most_soft = limits
    count, num_pending, compared, most = 0, 0, 0, 1 << 62
    for at in range(len(table_of)):
        if at == num_sure:
            most = compared + num_pending + most_soft
        if compared + num_pending > most:
            break
        tag, tag_flips = own_tags[table_of[at]], tag_flips_of[at]
        begin, end = bounds[0, at], bounds[1, at]
        while begin < end:
            stop = min(end, begin + len(pending) - num_pending)
            for entry in range(begin, stop):
                # Without a branch, which would be guessed wrong.
                pending[num_pending] = entry
                num_pending += ones[tags[entry] ^ tag] <= tag_flips
            begin = stop
            if num_pending == len(pending):
                count = _compare(query, tables, pending, distance, found, count)
                compared, num_pending = compared + num_pending, 0
                if count > MAX_FOUND:
                    count = keep_nearest(found, count, num_hits)
                    if count == num_hits:
                        distance = found[count - 1] >> PLACE_BITS
    count = _compare(query, tables, pending[:num_pending], distance, found, count)
    return keep_nearest(found, count, num_hits), compared + num_pending


@compiled
def search(
    queries: Words, orders: Int64s, tables: Tables, limits: Limits, hits: Int64s, counts: Int64s
) -> int:
    """Fill hits [n, num_hits] and counts [n] of queries [n, 4]: how many codes were compared.

    orders: [n, U], the used bits, least certain first.
    """
    bits, flips = tables[6], tables[8]
    _, _, tag_flips, most_in_bucket, _ = limits
    key_bits = bits.shape[1] - TAG_BITS
    num_sure = NUM_SURE * (key_bits + 1)
    num_probes = num_sure + NUM_TABLES * len(flips)
    own = np.empty((2, NUM_TABLES), np.int64)
    asked = own[0], own[1], np.empty((NUM_TABLES, NUM_UNCERTAIN), np.int64)
    columns = np.empty((3, num_probes), np.int64)
    probes = columns[0], columns[1], columns[2]
    masks, bounds = np.empty((len(flips), NUM_TABLES), np.int64), np.empty_like(columns[:2])
    pending, found = np.empty(MAX_FOUND, np.int64), np.empty(2 * MAX_FOUND, np.int64)
    query_bytes, compared = queries.view(np.uint8), 0
    for number in range(len(queries)):
        _make_keys(query_bytes[number], orders[number], tables, asked)
        _list_probes(asked, key_bits, flips, masks, tag_flips, probes)
        _locate(tables, num_sure, most_in_bucket, probes, bounds)
        wanted = columns[0], own[1], columns[2], bounds, num_sure
        count, work = _find(queries[number], tables, limits, wanted, pending, found)
        hits[number, :count] = found[:count]
        counts[number] = count
        compared += work
    return compared
