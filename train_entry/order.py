"""The order of an epoch: a keyed permutation of all samples that needs no table of samples.

It is a pure function of (Merkle root, seed, epoch), in both directions: which sample stands at a
position, and at which position a sample stands. Everything is vectorised over int64 arrays [N].

A balanced-as-can-be Feistel network permutes the numbers of b bits; what it maps beyond the size
is mapped again until it falls inside. Sources: Luby and Rackoff 1988, "How to construct
pseudorandom permutations"; Black and Rogaway 2002, "Ciphers with arbitrary finite domains", the
cycle-walking cipher.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
_Words = NDArray[np.uint64]

_ROUNDS = 6
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(31))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Order(Protocol):
    """The order of one epoch."""

    size: int

    def indices(self, positions: Integers) -> Integers:
        """The samples at these positions."""

    def positions(self, indices: Integers) -> Integers:
        """The positions of these samples."""

    def ranks(self, positions: Integers) -> Integers:
        """Where the blocks of these positions stand in the epoch; 0 if there are no blocks."""


def order_key(root: str, seed: int, epoch: int, purpose: str) -> bytes:
    """The 32 bytes that an order is drawn from."""
    return sha256(f"{purpose} {root} {seed} {epoch}".encode()).digest()


class Permutation:
    """A permutation of 0 to size - 1; another key gives another one."""

    def __init__(self, key: bytes, size: int) -> None:
        self.size = size
        self._domain = _domain(_round_keys(key), np.asarray([size], np.int64))

    def forward(self, positions: Integers) -> Integers:
        """What the positions are mapped to."""
        return _walk(positions, self._domain, range(_ROUNDS))

    def inverse(self, images: Integers) -> Integers:
        """The positions that are mapped to these."""
        return _walk(images, self._domain, reversed(range(_ROUNDS)))


class Permutations:
    """A family of permutations, one for each of `sizes`, all from one key."""

    def __init__(self, key: bytes, sizes: Integers) -> None:
        self._keys, self._sizes = _round_keys(key), sizes

    def forward(self, positions: Integers, members: Integers) -> Integers:
        """What the positions are mapped to, each by its own member of the family."""
        return _walk(positions, self._domains(members), range(_ROUNDS))

    def inverse(self, images: Integers, members: Integers) -> Integers:
        """The positions that are mapped to these."""
        return _walk(images, self._domains(members), reversed(range(_ROUNDS)))

    def _domains(self, members: Integers) -> "_Domain":
        own = members.astype(np.uint64) * _GOLDEN
        return _domain(_hash(self._keys + own, np.uint64(0)), self._sizes[members])


class SampleOrder:
    """Every sample anywhere."""

    def __init__(self, root: str, seed: int, epoch: int, num_samples: int) -> None:
        self.size = num_samples
        self._permutation = Permutation(order_key(root, seed, epoch, "samples"), num_samples)

    def indices(self, positions: Integers) -> Integers:
        return self._permutation.forward(positions)

    def positions(self, indices: Integers) -> Integers:
        return self._permutation.inverse(indices)

    def ranks(self, positions: Integers) -> Integers:
        return np.zeros_like(positions)


class BlockLayout(NamedTuple):
    """Blocks are runs of samples of one shard; block i is samples first[i] to first[i + 1] - 1."""

    first: Integers
    shard: Integers

    @property
    def num_blocks(self) -> int:
        """How many blocks there are."""
        return len(self.shard)

    def blocks(self, indices: Integers) -> Integers:
        """The blocks that these samples are in."""
        return np.searchsorted(self.first, indices, side="right") - 1

    def digest(self) -> str:
        """12 hex digits that stand for this layout."""
        return sha256(self.first.astype("<i8").tobytes()).hexdigest()[:12]


def block_layout(num_kept: Integers, num_bytes: Integers, block_bytes: int) -> BlockLayout:
    """Blocks of about `block_bytes`, from the samples and the size of each shard alone.

    A shard is split into equal numbers of samples, for only its ledger knows their sizes.
    """
    num_blocks = np.minimum(num_kept, np.maximum(1, -(-num_bytes // block_bytes)))
    shard = np.repeat(np.arange(len(num_kept)), num_blocks)
    before = np.concatenate([[0], np.cumsum(num_blocks)[:-1]]) if len(num_kept) else num_blocks
    place = np.arange(len(shard)) - before[shard]
    start = (np.cumsum(num_kept) - num_kept)[shard]
    first = start + num_kept[shard] * place // num_blocks[shard]
    return BlockLayout(np.append(first, num_kept.sum()).astype(np.int64), shard)


class BlockOrder:
    """Blocks anywhere, and the samples of each window of blocks anywhere within the window.

    The table that this takes has a row for each block, not for each sample.
    """

    def __init__(
        self, root: str, seed: int, epoch: int, layout: BlockLayout, window_blocks: int
    ) -> None:
        self.size = int(layout.first[-1])
        self._layout, num_blocks = layout, layout.num_blocks
        self._blocks = Permutation(order_key(root, seed, epoch, "blocks"), num_blocks)
        self._order = self._blocks.forward(np.arange(num_blocks))
        sizes = np.diff(layout.first)[self._order]
        self._begin = np.concatenate([[0], np.cumsum(sizes)])
        # Windows of equal length: a short last one would be mixed less.
        num_windows = max(1, round(num_blocks / window_blocks))
        bounds = np.arange(num_windows + 1) * num_blocks // num_windows
        self._window_begin = self._begin[bounds]
        key = order_key(root, seed, epoch, "windows")
        self._mixed = Permutations(key, np.diff(self._window_begin))

    def indices(self, positions: Integers) -> Integers:
        place, rank = self._places(positions)
        found: Integers = self._layout.first[self._order[rank]] + place - self._begin[rank]
        return found

    def positions(self, indices: Integers) -> Integers:
        block = self._layout.blocks(indices)
        rank = self._blocks.inverse(block)
        place = self._begin[rank] + indices - self._layout.first[block]
        window = self.windows(place)
        begin = self._window_begin[window]
        return begin + self._mixed.inverse(place - begin, window)

    def ranks(self, positions: Integers) -> Integers:
        return self._places(positions)[1]

    def windows(self, positions: Integers) -> Integers:
        """The windows that these positions are in."""
        return np.searchsorted(self._window_begin, positions, side="right") - 1

    def _places(self, positions: Integers) -> tuple[Integers, Integers]:
        """Places in the concatenation of the permuted blocks, and the ranks of their blocks."""
        window = self.windows(positions)
        begin = self._window_begin[window]
        place = begin + self._mixed.forward(positions - begin, window)
        return place, np.searchsorted(self._begin, place, side="right") - 1


class _Domain(NamedTuple):
    """Round keys [R, N or 1]; sizes and the bits of both halves [N or 1]."""

    keys: _Words
    sizes: _Words
    left_bits: _Words
    right_bits: _Words

    def at(self, chosen: Integers) -> "_Domain":
        """The domains of some of the values."""
        if len(self.sizes) == 1:
            return self
        return _Domain(self.keys[:, chosen], *(one[chosen] for one in self[1:]))


def _domain(keys: _Words, sizes: Integers) -> _Domain:
    # frexp's exponent is the bit length; sizes are far below 2**53, where it is exact.
    bits = np.frexp(np.maximum(sizes - 1, 0).astype(np.float64))[1].astype(np.uint64)
    left_bits = bits >> np.uint64(1)
    return _Domain(keys, sizes.astype(np.uint64), left_bits, bits - left_bits)


def _round_keys(key: bytes) -> _Words:
    words = np.frombuffer(sha256(key).digest() + sha256(b"more" + key).digest(), "<u8")
    return words[:_ROUNDS].astype(np.uint64)[:, None]


def _walk(values: Integers, domain: _Domain, rounds: Iterable[int]) -> Integers:
    order = tuple(rounds)
    words = _rounds(values.astype(np.uint64), domain, order)
    (outside,) = np.nonzero(words >= domain.sizes)
    while len(outside):
        own = domain.at(outside)
        again = _rounds(words[outside], own, order)
        words[outside] = again
        outside = outside[again >= own.sizes]
    return words.astype(np.int64)


def _rounds(words: _Words, domain: _Domain, order: Iterable[int]) -> _Words:
    one = np.uint64(1)
    left_mask = (one << domain.left_bits) - one
    right_mask = (one << domain.right_bits) - one
    left, right = words >> domain.right_bits, words & right_mask
    # Each round changes one half by the other, so it is its own inverse.
    for number in order:
        if number % 2:
            right = right ^ (_hash(left, domain.keys[number]) & right_mask)
        else:
            left = left ^ (_hash(right, domain.keys[number]) & left_mask)
    return (left << domain.right_bits) | right


def _hash(words: _Words, key: _Words | np.uint64) -> _Words:
    """Mixed words; the finaliser of SplitMix64 (Steele, Lea and Flood 2014), shortened."""
    mixed = (words + key) * _MULTIPLIERS[0]
    mixed ^= mixed >> _SHIFTS[0]
    mixed *= _MULTIPLIERS[1]
    mixed ^= mixed >> _SHIFTS[1]
    return mixed
