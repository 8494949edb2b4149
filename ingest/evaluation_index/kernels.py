"""Compiled search: the probes of a query, their look-up in all tables, and the exact scan.

Import it where something is searched, not sooner: numba takes half a second to import, and some
seconds to compile on a machine's first search; later ones read its cache.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from ingest.evaluation_index.directory import HEAD_BYTES, LINE_BUCKETS, LINE_BYTES
from ingest.evaluation_index.probes import NUM_SURE, NUM_TABLES, NUM_UNCERTAIN, TAG_BITS

Int64s = NDArray[np.int64]
Words = NDArray[np.uint64]

# A hit is one number: distance << 32 | place, so that the nearest and first is the smallest.
_PLACE_BITS = 32
_ID_BYTES, _CODE_BYTES = 4, 32
_SURE_STEP = NUM_TABLES // NUM_SURE
# Entries fetched at once, and hits collected before the farther ones are dropped.
_BUFFER = 4096


class Directory(NamedTuple):
    """Read-only arrays of N codes and T tables of L lines, and how these are probed."""

    codes: Words  # [N, 4]
    lines: NDArray[np.uint8]  # [T * L, 64]
    starts: NDArray[np.uint32]  # [T * L, 16], the same memory
    wide: NDArray[np.uint32]  # [W, 61]
    tags: NDArray[np.uint8]  # [T * N]
    ids: NDArray[np.uint32]  # [T * N]
    bits: Int64s  # [T, key bits + tag bits]
    slots: Int64s  # [T, U]: the place in the key of the u-th bit of an order, or -1
    flips: Int64s  # [F, 2], see `probes.flip_steps`
    ones: NDArray[np.uint8]  # [256]: bits of a byte


class Limits(NamedTuple):
    """What bounds the hits and the soft probes of a query."""

    distance: int  # bits to the farthest hit
    tag_flips: int  # bits of a tag that may differ
    bucket: int  # codes in a bucket that is not passed over
    compared: int  # codes compared before the soft probes that are left are given up


class Probes(NamedTuple):
    """What is looked up for one query, P probes with the sure ones first; filled for each anew."""

    keys: Int64s  # [T]: the query's own
    own_tags: Int64s  # [T]
    uncertain: Int64s  # [T, NUM_UNCERTAIN]: single bits of a key, least certain first
    masks: Int64s  # [F, T]: bits that are flipped
    table: Int64s  # [P]
    key: Int64s  # [P]
    tag_flips: Int64s  # [P]: bits of a tag that may differ
    begin: Int64s  # [P]: first entry of the bucket in ids and tags
    end: Int64s  # [P]


@intrinsic
def _prefetch(typing_context: Any, address: Any) -> Any:
    """Start to load the cache line at an address that is needed some hundred loads later."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(types.intp), emit


@njit(cache=True, nogil=True)
def _count_ones(word: np.uint64) -> int:
    # LLVM makes one instruction of this.
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


# Fields are read once into local names: each access counts a reference, atomically.


@njit(cache=True, nogil=True)
def _make_keys(query: NDArray[np.uint8], order: Int64s, tables: Directory, probes: Probes) -> None:
    """Key, tag and uncertain bits of each table; order: used bits, least certain first."""
    bits, slots = tables.bits, tables.slots
    keys, own_tags, uncertain = probes.keys, probes.own_tags, probes.uncertain
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


@njit(cache=True, nogil=True)
def _list_probes(tables: Directory, limits: Limits, probes: Probes) -> tuple[int, int]:
    """How many probes are sure, and all: these have the likeliest flips of all tables first."""
    flips, keys, uncertain, masks = tables.flips, probes.keys, probes.uncertain, probes.masks
    chosen, key_of, tag_flips = probes.table, probes.key, probes.tag_flips
    key_bits, count = tables.bits.shape[1] - TAG_BITS, 0
    for table in range(0, len(keys), _SURE_STEP):
        # One bit differs in tag or key.
        for slot in range(-1, key_bits):
            chosen[count], tag_flips[count] = table, slot < 0
            key_of[count] = keys[table] ^ (1 << slot if slot >= 0 else 0)
            count += 1
    num_sure = count
    for number in range(flips.shape[0]):
        earlier, rank = flips[number]
        for table in range(len(keys)):
            mask = masks[earlier, table] ^ uncertain[table, rank] if number else 0
            masks[number, table] = mask
            chosen[count], tag_flips[count] = table, limits.tag_flips
            key_of[count] = keys[table] ^ mask
            count += 1
    return num_sure, count


@njit(cache=True, nogil=True)
def _locate(
    tables: Directory, limits: Limits, probes: Probes, num_sure: int, num_probes: int
) -> None:
    """Begin and end of the buckets; those of soft probes are empty if they are too large."""
    lines, starts, wide = tables.lines, tables.starts, tables.wide
    chosen, key_of, begins, ends = probes.table, probes.key, probes.begin, probes.end
    num_codes, num_lines = tables.codes.shape[0], lines.shape[0] // len(probes.keys)
    line_base, tag_base = lines.ctypes.data, tables.tags.ctypes.data
    for at in range(num_probes):
        _prefetch(line_base + (chosen[at] * num_lines + key_of[at] // LINE_BUCKETS) * LINE_BYTES)
    for at in range(num_probes):
        line = chosen[at] * num_lines + key_of[at] // LINE_BUCKETS
        slot = key_of[at] % LINE_BUCKETS
        start = np.int64(starts[line, 0])
        if lines[line, LINE_BYTES - 1] < lines[line, HEAD_BYTES]:
            begin, end = np.int64(wide[start, slot]), np.int64(wide[start, slot + 1])
        else:
            begin = start + np.int64(lines[line, HEAD_BYTES - 1 + slot]) * (slot > 0)
            end = start + np.int64(lines[line, HEAD_BYTES + slot])
        if at >= num_sure and end - begin > limits.bucket:
            end = begin
        begins[at] = chosen[at] * num_codes + begin
        ends[at] = chosen[at] * num_codes + end
        _prefetch(tag_base + begins[at])


@njit(cache=True, nogil=True)
def _keep_nearest(found: Int64s, count: int, num_hits: int) -> int:
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
def _add_near(
    query: Words, codes: Words, place: int, distance: int, found: Int64s, count: int
) -> int:
    """How many are found once this place was added, if it is not too far."""
    total = _count_ones(query[0] ^ codes[place, 0]) + _count_ones(query[1] ^ codes[place, 1])
    if total > distance:
        return count
    total += _count_ones(query[2] ^ codes[place, 2]) + _count_ones(query[3] ^ codes[place, 3])
    if total > distance:
        return count
    found[count] = total << _PLACE_BITS | place
    return count + 1


@njit(cache=True, nogil=True)
def _compare(
    query: Words,
    tables: Directory,
    entries: Int64s,
    distance: int,
    found: Int64s,
    count: int,
) -> int:
    """How many are found once the near ones of these entries were added."""
    ids, codes = tables.ids, tables.codes
    id_base, code_base = ids.ctypes.data, codes.ctypes.data
    for entry in entries:
        _prefetch(id_base + entry * _ID_BYTES)
    for at in range(len(entries)):
        entries[at] = ids[entries[at]]
        _prefetch(code_base + entries[at] * _CODE_BYTES)
    for place in entries:
        count = _add_near(query, codes, place, distance, found, count)
    return count


@njit(cache=True, nogil=True)
def _find(
    query: Words,
    tables: Directory,
    limits: Limits,
    probes: Probes,
    num_sure: int,
    num_probes: int,
    entries: Int64s,
    found: Int64s,
    num_hits: int,
) -> tuple[int, int]:
    """How many hits are now in `found`, nearest first, and how many codes were compared."""
    tags, ones = tables.tags, tables.ones
    chosen, begins, ends = probes.table, probes.begin, probes.end
    own_tags, tag_flips = probes.own_tags, probes.tag_flips
    distance, count, pending, compared = limits.distance, 0, 0, 0
    most = np.int64(1) << 62
    for at in range(num_probes):
        if at == num_sure:
            most = compared + pending + limits.compared
        if compared + pending > most:
            break
        tag, most_flips = own_tags[chosen[at]], tag_flips[at]
        begin, end = begins[at], ends[at]
        while begin < end:
            stop = min(end, begin + _BUFFER - pending)
            for entry in range(begin, stop):
                # Without a branch, which would be guessed wrong.
                entries[pending] = entry
                pending += ones[tags[entry] ^ tag] <= most_flips
            begin = stop
            if pending == _BUFFER:
                count = _compare(query, tables, entries, distance, found, count)
                compared, pending = compared + pending, 0
                if count > _BUFFER:
                    count = _keep_nearest(found, count, num_hits)
                    distance = found[count - 1] >> _PLACE_BITS if count == num_hits else distance
    count = _compare(query, tables, entries[:pending], distance, found, count)
    return _keep_nearest(found, count, num_hits), compared + pending


@njit(cache=True, nogil=True)
def search(
    queries: Words,
    orders: Int64s,
    tables: Directory,
    limits: Limits,
    hits: Int64s,
    counts: Int64s,
) -> int:
    """Fill hits [n, most] and counts [n] of queries [n, 4]; return how many codes were compared.

    orders: [n, U], the used bits from the least certain on.
    """
    num_tables, num_flips = len(tables.bits), len(tables.flips)
    most = num_tables * (num_flips + tables.bits.shape[1])
    probes = Probes(
        np.empty(num_tables, np.int64),
        np.empty(num_tables, np.int64),
        np.empty((num_tables, NUM_UNCERTAIN), np.int64),
        np.empty((num_flips, num_tables), np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
    )
    entries, found = np.empty(_BUFFER, np.int64), np.empty(2 * _BUFFER, np.int64)
    query_bytes, compared = queries.view(np.uint8), 0
    for number in range(len(queries)):
        query = queries[number]
        _make_keys(query_bytes[number], orders[number], tables, probes)
        sure, total = _list_probes(tables, limits, probes)
        _locate(tables, limits, probes, sure, total)
        count, work = _find(
            query, tables, limits, probes, sure, total, entries, found, hits.shape[1]
        )
        hits[number, :count] = found[:count]
        counts[number] = count
        compared += work
    return compared


@njit(cache=True, nogil=True)
def scan(queries: Words, codes: Words, limit: int, hits: Int64s, counts: Int64s) -> None:
    """Fill hits [n, most] and counts [n] by comparing queries [n, 4] with all codes."""
    found, num_hits = np.empty(_BUFFER, np.int64), hits.shape[1]
    for number in range(len(queries)):
        query, distance, count = queries[number], limit, 0
        for place in range(len(codes)):
            count = _add_near(query, codes, place, distance, found, count)
            if count == _BUFFER:
                count = _keep_nearest(found, count, num_hits)
                distance = found[count - 1] >> _PLACE_BITS if count == num_hits else distance
        count = _keep_nearest(found, count, num_hits)
        hits[number, :count] = found[:count]
        counts[number] = count
