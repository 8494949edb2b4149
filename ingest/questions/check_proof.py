"""Verify a proof of `uncurated show --proof`: python check_proof.py PROOF IMAGE [ROOT].

Needs Python and nothing else. ROOT is the dataset's Merkle root from a place that you trust: by
itself a proof only says which dataset it is about. Exit code 0: valid; 1: the last line says what
differs. The trees are those of RFC 6962, section 2.1; `proof.py` beside this tells the fields.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path


def expect(name: str, expected: object, found: object) -> None:
    """Raise ValueError that names both unless they are equal."""
    if found != expected:
        raise ValueError(f"{name}: expected {expected}, got {found}")


def climb(leaf: bytes, index: int, width: int, siblings: list[str]) -> bytes:
    """The root of a tree of `width` leaves, from leaf `index` and its siblings upwards."""
    while width > 1:
        if index ^ 1 < width:
            sibling = bytes.fromhex(siblings.pop(0))
            leaf = sha256(b"\x01" + (sibling + leaf if index & 1 else leaf + sibling)).digest()
        index, width = index // 2, (width + 1) // 2
    expect("end of a path", (0, []), (index, siblings))
    return leaf


if __name__ == "__main__":
    sys.tracebacklimit = 0
    proof = json.loads(Path(sys.argv[1]).read_bytes())
    own = json.dumps({**proof, "proof_sha256": ""}, sort_keys=True)
    expect("proof_sha256", sha256(own.encode()).hexdigest(), proof["proof_sha256"])
    image = sha256(Path(sys.argv[2]).read_bytes()).hexdigest()
    expect("SHA-256 of the image", proof["image_sha256"], image)
    leaf = sha256(b"\x00" + bytes.fromhex(proof["id"] + image + proof["json_sha256"])).digest()
    node = climb(leaf, proof["leaf_index"], proof["num_leaves"], proof["leaf_siblings"])
    leaf = sha256(b"\x00" + proof["shard"].to_bytes(8, "big") + node).digest()
    root = climb(leaf, proof["shard_index"], proof["num_shards"], proof["shard_siblings"]).hex()
    expect("Merkle root", {proof["merkle_root"], *sys.argv[3:]}, {root})
    sys.stdout.write(f"valid: image {image} is sample {proof['id']} of dataset {root}\n")
    if len(sys.argv) < 4:
        sys.stdout.write("no root was given: compare this one with that of a place you trust\n")
