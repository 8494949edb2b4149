"""The proof that an image is in a dataset, as JSON that `check_proof.py` verifies without us.

It is made of the manifest and one ledger part: no byte of a shard is read. Format:

| field | meaning |
|---|---|
| `format` | `uncurated-proof-1` |
| `id`, `image_sha256`, `json_sha256` | the sample: its key, the digests of its image and its JSON |
| `leaf_index`, `num_leaves`, `leaf_siblings` | its path in the tree of its shard's samples |
| `shard` | the number of the shard, which its leaf in the dataset's tree holds |
| `shard_index`, `num_shards`, `shard_siblings` | the path of that leaf in the dataset's tree |
| `merkle_root`, `record_sha256` | the dataset: its root, and the digest of its seal |
| `proof_sha256` | SHA-256 of all that as JSON with sorted keys, this field empty: damage shows |
"""

import json
from hashlib import sha256
from typing import Any

from ingest.audit.leaves import LEAF_COLUMNS, kept_rows, leaf_of_row, rows_of
from ingest.errors import SetupError
from ingest.pack.ledger_parts import read_part
from ingest.pack.provenance import provenance_json
from ingest.questions.sealed import Sealed
from schemas.merkle import dataset_root, inclusion_proof, merkle_root, shard_leaf

FORMAT = "uncurated-proof-1"


def make_proof(sealed: Sealed, sample_id: str, shard: int) -> dict[str, Any]:
    """The proof that a kept sample of a shard is in the dataset.

    Raises SetupError if the shard has no such sample, or if ledger, manifest and seal contradict
    each other.
    """
    commit = sealed.commit(shard)
    if commit is None:
        raise SetupError(f"expected shard {shard} in the manifest of {sealed.dataset}, got none")
    sample, leaves = _sample_and_leaves(sealed, sample_id, str(commit["ledger_file"]))
    root = merkle_root(leaves).hex()
    if root != commit["merkle_root"]:
        raise SetupError(
            f"{commit['ledger_file']}: expected the Merkle root {commit['merkle_root']}, got {root}"
        )
    proof = sample | {
        "format": FORMAT,
        "num_leaves": len(leaves),
        "leaf_siblings": _hex(inclusion_proof(leaves, sample["leaf_index"])),
        "shard": shard,
        **_shard_path(sealed, shard),
        "merkle_root": sealed.seal.merkle_root,
        "record_sha256": sealed.seal.record_sha256,
    }
    return {**proof, "proof_sha256": proof_digest(proof)}


def encode_proof(proof: dict[str, Any]) -> bytes:
    """The bytes of a proof file."""
    return (json.dumps(proof, indent=2) + "\n").encode()


def proof_digest(proof: dict[str, Any]) -> str:
    """SHA-256 of a proof with its own digest left empty, hex."""
    return sha256(json.dumps({**proof, "proof_sha256": ""}, sort_keys=True).encode()).hexdigest()


def _sample_and_leaves(
    sealed: Sealed, sample_id: str, ledger_file: str
) -> tuple[dict[str, Any], list[bytes]]:
    """What a proof says of its sample, and the leaves of the shard."""
    ledger = read_part(sealed.dataset, ledger_file, LEAF_COLUMNS)
    sample: dict[str, Any] = {}
    leaves = []
    try:
        for index, row in enumerate(rows_of(kept_rows(ledger))):
            leaves.append(leaf_of_row(row))
            if row["id"] == sample_id:
                sample = {
                    "id": sample_id,
                    "image_sha256": row["sha256"],
                    "json_sha256": sha256(provenance_json(row)).hexdigest(),
                    "leaf_index": index,
                }
    except (KeyError, ValueError) as error:
        raise SetupError(f"{ledger_file}: expected a sound ledger part, got {error}") from error
    if not sample:
        raise SetupError(f"{ledger_file}: expected the kept sample {sample_id}, got none")
    return sample, leaves


def _shard_path(sealed: Sealed, shard: int) -> dict[str, Any]:
    """Where a shard is in the dataset's tree; raises SetupError if its root is not the seal's."""
    columns = (sealed.manifest[name].to_pylist() for name in ("shard", "merkle_root"))
    roots = sorted((number, bytes.fromhex(root)) for number, root in zip(*columns, strict=True))
    found = dataset_root(roots).hex()
    if found != sealed.seal.merkle_root:
        raise SetupError(
            f"{sealed.dataset}: expected the Merkle root {sealed.seal.merkle_root}, got {found}"
        )
    leaves = [shard_leaf(number, root) for number, root in roots]
    index = [number for number, _ in roots].index(shard)
    return {
        "shard_index": index,
        "num_shards": len(leaves),
        "shard_siblings": _hex(inclusion_proof(leaves, index)),
    }


def _hex(digests: list[bytes]) -> list[str]:
    return [one.hex() for one in digests]
