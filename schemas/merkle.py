"""Merkle trees over samples and shards, after RFC 6962, section 2.1 (SHA-256).

A leaf is hashed with the prefix 0x00 and a node with 0x01, so that no node can pass for a leaf. A
sample's leaf binds its id, its image bytes and its JSON; a shard's root binds its samples in order;
the dataset's root binds the shards' roots with their numbers.
"""

from collections.abc import Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()


def sample_leaf(sample_id: str, image_sha256: bytes, json_sha256: bytes) -> bytes:
    """The 32-byte leaf of a sample: its 16-byte id and the digests of its two members."""
    return sha256(b"\x00" + bytes.fromhex(sample_id) + image_sha256 + json_sha256).digest()


def shard_leaf(shard: int, shard_root: bytes) -> bytes:
    """The 32-byte leaf of a shard in the dataset's tree."""
    return sha256(b"\x00" + shard.to_bytes(8, "big") + shard_root).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The 32-byte hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """The tree over some leaves (hashed already): for many proofs, each of few steps."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(level := self._levels[-1]) > 1:
            paired = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
            # An odd last node moves up unchanged: the tree of RFC 6962's split at a power of two.
            self._levels.append(paired + level[len(paired) * 2 :])

    def __len__(self) -> int:
        """The number of its leaves."""
        return len(self._levels[0])

    @property
    def root(self) -> bytes:
        """The 32-byte root; SHA-256 of nothing when there are no leaves."""
        return self._levels[-1][0] if len(self) else EMPTY_ROOT

    def proof(self, index: int) -> list[bytes]:
        """The sibling hashes from leaf `index` up to the root; IndexError if it has none."""
        if not 0 <= index < len(self):
            raise IndexError(f"expected a leaf from 0 to {len(self) - 1}, got {index}")
        places = [(level, index >> depth ^ 1) for depth, level in enumerate(self._levels)]
        return [level[place] for level, place in places if place < len(level)]


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The 32-byte root of leaves (hashed already); SHA-256 of nothing when there are none."""
    return Tree(leaves).root


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The sibling hashes from leaf `index` up to the root; IndexError if there is no such leaf."""
    return Tree(leaves).proof(index)


def root_from_proof(leaf: bytes, index: int, num_leaves: int, proof: Sequence[bytes]) -> bytes:
    """The root that a leaf and its proof lead to; ValueError if the proof has the wrong length."""
    siblings, current, width = list(proof), leaf, num_leaves
    while width > 1:
        if index ^ 1 < width:
            if not siblings:
                raise ValueError(f"proof is too short: {len(proof)} hashes, {num_leaves} leaves")
            sibling = siblings.pop(0)
            current = node(sibling, current) if index & 1 else node(current, sibling)
        index, width = index // 2, (width + 1) // 2
    if siblings:
        raise ValueError(f"proof is too long: {len(proof)} hashes, {num_leaves} leaves")
    return current


def dataset_root(shard_roots: Sequence[tuple[int, bytes]]) -> bytes:
    """The 32-byte root of a dataset from (shard number, shard root), in any order."""
    return merkle_root([shard_leaf(shard, root) for shard, root in sorted(shard_roots)])
