"""What a sealed dataset claims of its shards, as workers read it: the manifest, once a process."""

from dataclasses import dataclass
from functools import lru_cache

import pyarrow as pa

from ingest.errors import SetupError
from ingest.pack.seal import read_manifest_bytes, read_seal
from schemas.arrow import read_parquet_bytes
from schemas.manifest import MANIFEST_FILE, Commit, digest
from schemas.merkle import Tree, shard_leaf


@dataclass(frozen=True)
class Claims:
    """The manifest of a dataset, by its digest, and the root of all; small, so that it travels."""

    dataset: str
    manifest_sha256: str
    merkle_root: str

    def commit(self, place: int) -> Commit:
        """A row of the manifest, by its place."""
        table, _ = _load(self.dataset, self.manifest_sha256)
        (row,) = Commit.from_table(table.slice(place, 1))
        assert isinstance(row, Commit)
        return row

    def proof(self, place: int) -> tuple[int, int, list[bytes]]:
        """Index, number of leaves and proof of a shard in the dataset's tree."""
        _, tree = _load(self.dataset, self.manifest_sha256)
        return place, len(tree), tree.proof(place)


@lru_cache(maxsize=1)
def _load(dataset: str, manifest_sha256: str) -> tuple[pa.Table, Tree]:
    """The manifest as a table, which is far smaller than its rows, and the dataset's tree."""
    content = read_manifest_bytes(dataset, read_seal(dataset))
    if digest(content) != manifest_sha256:
        raise SetupError(
            f"{MANIFEST_FILE}: expected SHA-256 {manifest_sha256}, got {digest(content)}: it was "
            "changed during the audit"
        )
    table = read_parquet_bytes(content)
    shards, roots = table["shard"].to_pylist(), table["merkle_root"].to_pylist()
    pairs = zip(shards, roots, strict=True)
    return table, Tree([shard_leaf(shard, bytes.fromhex(root)) for shard, root in pairs])
