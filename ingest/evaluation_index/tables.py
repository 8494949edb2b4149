"""Look-up tables that find the near ones of 80 million perceptual codes in 0.1 ms.

Multi-probe hashing (Lv et al. 2007, "Multi-probe LSH"): each table sorts all codes by a key of some
of their bits; a query looks up its own key and those with its least certain bits flipped. A picture
knows these: they are coefficients near the median, and edits turn them first. Beside each place
stand some further bits, its tag, so that most strangers are dismissed without fetching their code.

Up to SCAN_CODES there are no tables, but an exact scan of all codes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ingest.evaluation_index import probes
from ingest.evaluation_index.probes import GUARANTEED_RADIUS
from ingest.fingerprint import HASH_BITS

if TYPE_CHECKING:
    from ingest.evaluation_index import kernels

__all__ = ["GUARANTEED_RADIUS", "MAX_HITS", "SCAN_CODES", "Hits", "Tables", "build_tables"]

# A scan takes 1.35 ns a code, tables 30 us; up to 54 us nothing is missed for it.
SCAN_CODES = 40_000
# The nearest hits that are reported of a query; farther ones are left out.
MAX_HITS = 64
# Soft probes, which nothing is promised of: flips a table, bits of a tag that may differ, codes in
# a bucket before it is passed over, and codes compared before the rest is left.
_FLIPS, _TAG_FLIPS, _SOFT_BUCKET, _SOFT_CODES = 64, 3, 256, 1024
_WORDS, _CODE_BYTES = HASH_BITS // 64, HASH_BITS // 8
_PLACE_BITS = 32
_ARRAYS = {"lines", "wide", "ids", "tags"}


@dataclass(frozen=True)
class Hits:
    """Pairs of a query and a stored code, sorted by query, distance and place, none twice.

    query: int32 [h]; place: int64 [h], which code; distance: uint8 [h], bits that differ.
    """

    query: NDArray[np.int32]
    place: NDArray[np.int64]
    distance: NDArray[np.uint8]


def build_tables(
    codes: NDArray[np.uint64], scan_codes: int = SCAN_CODES
) -> dict[str, NDArray[Any]]:
    """Flat arrays of the tables of codes uint64 [N, 4]; none at all for up to `scan_codes` codes.

    lines: uint8 [T, L, 64] and wide: uint32 [W, 61], see `directory`; ids: uint32 [T, N], places
    by key; tags: uint8 [T, N], bits of these codes. The same codes give the same bytes. Some 71
    bytes a code; 16 more while it runs, about 1 us of CPU a code. Raises ValueError for others.
    """
    codes = _checked_codes(codes)
    if len(codes) <= scan_codes:
        return {}
    from ingest.evaluation_index import directory

    code_bytes, key_bits = codes.view(np.uint8), _key_bits(len(codes))
    num_lines = -(-(1 << key_bits) // directory.LINE_BUCKETS)
    lines = np.zeros((probes.NUM_TABLES, num_lines, directory.LINE_BYTES), np.uint8)
    ids = np.empty((probes.NUM_TABLES, len(codes)), np.uint32)
    tags = np.empty((probes.NUM_TABLES, len(codes)), np.uint8)
    wide: list[NDArray[np.uint32]] = [np.empty((0, directory.LINE_BUCKETS + 1), np.uint32)]
    for table, bits in enumerate(probes.table_bits(key_bits)):
        bounds = np.zeros(num_lines * directory.LINE_BUCKETS + 2, np.uint32)
        gathered = directory.gather_bits(code_bytes, *_spread(bits))
        mask, shift = np.uint64((1 << key_bits) - 1), np.uint64(key_bits)
        directory.sort_places(gathered, mask, shift, bounds, ids[table], tags[table])
        rows = np.empty((directory.count_wide(bounds[:-1]), directory.LINE_BUCKETS + 1), np.uint32)
        starts, first_wide = lines[table].view(np.uint32), sum(map(len, wide))
        directory.fill_lines(bounds[:-1], lines[table], starts, rows, first_wide)
        wide.append(rows)
    return {"lines": lines, "wide": np.concatenate(wide), "ids": ids, "tags": tags}


class Tables:
    """Codes and their tables, ready for search; both are used where they lie and never changed."""

    def __init__(self, codes: NDArray[np.uint64], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Tables of codes uint64 [N, 4] with the arrays that `build_tables` made of them.

        Raises ValueError if the shapes do not belong together.
        """
        self._codes = _checked_codes(codes)
        self._arrays = {name: _frozen(values) for name, values in arrays.items()}
        if self._arrays:
            _check_arrays(len(self._codes), self._arrays)

    def near(
        self,
        queries: NDArray[np.uint8] | NDArray[np.uint64],
        certainty: NDArray[np.uint8] | None,
        limit: int,
    ) -> Hits:
        """The codes within `limit` bits of each query: all of those within GUARANTEED_RADIUS.

        queries: uint8 [n, 32] or uint64 [n, 4]; certainty: uint8 [n, 256], of each bit, 0 is the
        least; without it, low frequencies count as certain. limit: 0 to 255 bits. Codes that are
        farther than GUARANTEED_RADIUS may be missed, near-copies seldom. Of more than MAX_HITS
        found, the nearest and then first are given. Raises ValueError for other shapes or limits.
        """
        words = _checked_queries(queries, certainty, limit)
        hits = np.empty((len(words), MAX_HITS), np.int64)
        counts = np.zeros(len(words), np.int64)
        if self._arrays:
            self._look_up(words, certainty, limit, hits, counts)
        else:
            from ingest.evaluation_index import comparison

            comparison.scan(words, self._codes, limit, hits, counts)
        found = hits[np.arange(MAX_HITS) < counts[:, None]]
        return Hits(
            query=np.repeat(np.arange(len(words), dtype=np.int32), counts),
            place=found & (1 << _PLACE_BITS) - 1,
            distance=(found >> _PLACE_BITS).astype(np.uint8),
        )

    def _look_up(
        self,
        words: NDArray[np.uint64],
        certainty: NDArray[np.uint8] | None,
        limit: int,
        hits: NDArray[np.int64],
        counts: NDArray[np.int64],
    ) -> None:
        from ingest.evaluation_index import kernels

        directory, used = self._directory
        if certainty is None:
            certainty = np.broadcast_to(probes.position_certainty(), (len(words), HASH_BITS))
        limits = limit, MAX_HITS, _TAG_FLIPS, _SOFT_BUCKET, _SOFT_CODES
        orders = np.argsort(certainty[:, used], axis=1, kind="stable")
        kernels.search(words, orders, directory, limits, hits, counts)

    @cached_property
    def _directory(self) -> tuple["kernels.Tables", NDArray[np.int64]]:
        """What the kernel reads, and the bits of codes that are in any key."""
        key_bits = _key_bits(len(self._codes))
        bits = probes.table_bits(key_bits)
        used = np.unique(bits[:, :key_bits])
        slots = np.full((len(bits), len(used)), -1)
        for table, key in enumerate(bits[:, :key_bits]):
            slots[table, np.searchsorted(used, key)] = np.arange(key_bits)
        lines = self._arrays["lines"].reshape(-1, self._arrays["lines"].shape[2])
        directory = (
            self._codes,
            lines,
            lines.view(np.uint32),
            self._arrays["wide"],
            self._arrays["tags"].reshape(-1),
            self._arrays["ids"].reshape(-1),
            bits,
            slots,
            probes.flip_steps(_FLIPS),
            np.bitwise_count(np.arange(256, dtype=np.uint8)),
        )
        return directory, used


def _key_bits(num_codes: int) -> int:
    """About one bucket for each code; at least as many bits as are ever flipped."""
    return max(probes.NUM_UNCERTAIN, round(math.log2(num_codes)))


def _spread(bits: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """uint64 [32, 256]: bit k of a number for bit bits[k] of a code, by byte; and bytes used."""
    values = np.arange(256)
    spread = np.zeros((_CODE_BYTES, 256), np.uint64)
    for slot, bit in enumerate(bits):
        spread[bit >> 3] |= (values >> (7 - (bit & 7)) & 1).astype(np.uint64) << np.uint64(slot)
    return spread, np.unique(bits >> 3)


def _frozen(values: NDArray[Any]) -> NDArray[Any]:
    """The same memory, read-only whatever it was: each kind of array would be compiled for."""
    view = np.asarray(values).view()
    view.flags.writeable = False
    return view


def _checked_codes(codes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    if codes.dtype != np.uint64 or codes.shape[1:] != (_WORDS,) or not codes.flags.c_contiguous:
        raise ValueError(
            f"expected codes uint64 [N, {_WORDS}], row by row, got {codes.dtype} {codes.shape} "
            f"with strides {codes.strides}"
        )
    if len(codes) >> _PLACE_BITS:
        raise ValueError(f"expected less than 2**{_PLACE_BITS} codes, got {len(codes)}")
    return _frozen(codes)


def _check_arrays(num_codes: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    from ingest.evaluation_index import directory

    num_lines = -(-(1 << _key_bits(num_codes)) // directory.LINE_BUCKETS)
    if set(arrays) != _ARRAYS:
        raise ValueError(f"expected arrays {sorted(_ARRAYS)}, got {sorted(arrays)}")
    expected = {
        "lines": (np.uint8, (probes.NUM_TABLES, num_lines, directory.LINE_BYTES)),
        "ids": (np.uint32, (probes.NUM_TABLES, num_codes)),
        "tags": (np.uint8, (probes.NUM_TABLES, num_codes)),
    }
    for name, (dtype, shape) in expected.items():
        found = arrays[name]
        if found.dtype != dtype or found.shape != shape or not found.flags.c_contiguous:
            raise ValueError(
                f"{name}: expected {np.dtype(dtype)} {shape} for {num_codes} codes, "
                f"got {found.dtype} {found.shape}"
            )


def _checked_queries(
    queries: NDArray[np.uint8] | NDArray[np.uint64],
    certainty: NDArray[np.uint8] | None,
    limit: int,
) -> NDArray[np.uint64]:
    """The queries as read-only uint64 [n, 4]."""
    kinds = {np.dtype(np.uint8): (_CODE_BYTES,), np.dtype(np.uint64): (_WORDS,)}
    if kinds.get(queries.dtype) != queries.shape[1:]:
        raise ValueError(
            f"expected queries uint8 [n, {_CODE_BYTES}] or uint64 [n, {_WORDS}], "
            f"got {queries.dtype} {queries.shape}"
        )
    if certainty is not None and (
        certainty.dtype != np.uint8 or certainty.shape != (len(queries), HASH_BITS)
    ):
        raise ValueError(
            f"expected certainty uint8 [{len(queries)}, {HASH_BITS}], "
            f"got {certainty.dtype} {certainty.shape}"
        )
    if not 0 <= limit < HASH_BITS:
        raise ValueError(f"expected a limit of 0 to {HASH_BITS - 1} bits, got {limit}")
    return np.frombuffer(queries.tobytes(), np.uint64).reshape(-1, _WORDS)
