from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.merkle import (
    EMPTY_ROOT,
    Tree,
    dataset_root,
    inclusion_proof,
    merkle_root,
    root_from_proof,
    sample_leaf,
)

leaves_lists = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70)


def rfc_6962_root(leaves):
    """The definition of RFC 6962, section 2.1, word by word, on hashed leaves."""
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\x01" + rfc_6962_root(leaves[:k]) + rfc_6962_root(leaves[k:])).digest()


@given(leaves_lists)
def test_root_is_that_of_rfc_6962(leaves):
    assert merkle_root(leaves) == rfc_6962_root(leaves)


def test_root_of_nothing_is_the_digest_of_nothing():
    assert merkle_root([]) == EMPTY_ROOT == sha256(b"").digest()


@given(leaves_lists, st.data())
def test_every_leaf_has_a_proof_that_leads_to_the_root(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof(leaves, index)
    assert root_from_proof(leaves[index], index, len(leaves), proof) == merkle_root(leaves)


@given(leaves_lists, st.data())
def test_a_proof_fails_for_another_leaf(leaves, data):
    index = data.draw(st.integers(0, len(leaves) - 1))
    forged = sha256(leaves[index]).digest()
    proof = inclusion_proof(leaves, index)
    assert root_from_proof(forged, index, len(leaves), proof) != merkle_root(leaves)


def test_a_proof_of_the_wrong_length_is_refused():
    leaves = [bytes([i]) * 32 for i in range(5)]
    proof = inclusion_proof(leaves, 2)
    with pytest.raises(ValueError, match="too short"):
        root_from_proof(leaves[2], 2, 5, proof[:-1])
    with pytest.raises(ValueError, match="too long"):
        root_from_proof(leaves[2], 2, 5, [*proof, bytes(32)])
    with pytest.raises(IndexError, match="from 0 to 4, got 5"):
        inclusion_proof(leaves, 5)


def test_leaf_binds_id_image_and_json():
    base = sample_leaf("00" * 16, bytes(32), bytes(32))
    assert base != sample_leaf("01" + "00" * 15, bytes(32), bytes(32))
    assert base != sample_leaf("00" * 16, bytes(31) + b"\x01", bytes(32))
    assert base != sample_leaf("00" * 16, bytes(32), bytes(31) + b"\x01")


def test_dataset_root_does_not_depend_on_the_order_of_shards_but_on_their_numbers():
    roots = [(0, b"a" * 32), (1, b"b" * 32)]
    assert dataset_root(roots) == dataset_root(roots[::-1])
    assert dataset_root(roots) != dataset_root([(0, b"b" * 32), (1, b"a" * 32)])


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=70), st.data())
def test_a_tree_gives_the_proofs_of_all_its_leaves(leaves, data):
    tree = Tree(leaves)
    index = data.draw(st.integers(0, len(leaves) - 1))
    assert len(tree) == len(leaves)
    assert tree.proof(index) == inclusion_proof(leaves, index)
    assert root_from_proof(leaves[index], index, len(leaves), tree.proof(index)) == tree.root
    with pytest.raises(IndexError, match="expected a leaf from 0 to"):
        tree.proof(len(leaves))
