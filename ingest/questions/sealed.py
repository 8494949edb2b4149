"""A finished dataset as a question sees it: its seal, its manifest, and where a sample may lie."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ingest.errors import SetupError
from ingest.pack.seal import read_finished, read_manifest_bytes
from schemas.arrow import read_parquet_bytes
from schemas.manifest import MANIFEST_FILE, Commit, DatasetRecord, generation_of

_FILE_COLUMNS = ("plan_file", "shard_file", "ledger_file")
_OUTSIDE = r"^/|(^|/)\.\.(/|$)"


@dataclass(frozen=True)
class Sealed:
    """The records of a finished dataset; `manifest` is that of the seal, as a file and a table."""

    dataset: str
    seal: DatasetRecord
    manifest_content: bytes
    manifest: pa.Table

    def commit(self, shard: int) -> dict[str, object] | None:
        """The manifest's row of a shard; None if it has none."""
        found = self.manifest.filter(pc.equal(self.manifest["shard"], shard))
        return found.slice(0, 1).to_pylist()[0] if found.num_rows else None

    def generation(self, shard: int) -> int:
        """The generation that a shard belongs to."""
        return generation_of(shard, self.seal.retries)


def read_sealed(dataset: str) -> Sealed:
    """The records of a finished dataset; raises SetupError if it is not finished, or unsound."""
    seal = read_finished(dataset)
    try:
        content = read_manifest_bytes(dataset, seal)
        manifest = read_parquet_bytes(content)
        missing = [name for name in Commit.model_fields if name not in manifest.column_names]
    except (OSError, pa.ArrowException) as error:
        raise SetupError(f"{MANIFEST_FILE}: expected a manifest, got {error}") from error
    if missing:
        raise SetupError(f"{MANIFEST_FILE}: expected the columns {', '.join(missing)}, got none")
    for name in _FILE_COLUMNS:
        # A manifest may come from a stranger.
        outside = manifest[name].filter(pc.match_substring_regex(manifest[name], _OUTSIDE))
        if len(outside):
            raise SetupError(
                f"{MANIFEST_FILE}: expected a path inside of the dataset, got {outside[0]}"
            )
    return Sealed(dataset, seal, content, manifest)
