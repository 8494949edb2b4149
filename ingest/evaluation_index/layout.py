"""The versioned format of an evaluation index: one folder of flat arrays, no pickle.

manifest.json       format, fingerprint and library versions, sets, calibration, digests of the rest
names.arrow         large_string [E]: name of each image as `set/name`; its row is its owner number
sha256.npy          uint8 [E, 32], sorted: digests of the bytes of all E images
sha256_owner.npy    uint32 [E]: whose digest it is
pixels.npy          uint8 [P, 32], sorted: digests of the pixels of the P readable images
pixels_owner.npy    uint32 [P]: whose digest it is
aspect.npy          float32 [E]: width by height
box.npy             float32 [E, 4]: what lies inside the border, shares of the sides
thumbnail.npy       uint8 [E, 768]: luma at 32x32, the upper 6 bits of each pixel
num_flat.npy        uint16 [E]: variants that are too flat for a code
codes.npy           uint64 [N, 4]: perceptual codes, sorted by set, name and variant
code_ends.npy       uint32 [E]: where the codes of each image end
variant.npy         uint8 [N]: which variant of the image, an index into `variants`
descriptor.npy      float16 [E, D]: unit vectors of a learned descriptor; D is 0 without one
table_*.npy         look-up tables over the codes (`tables`); none in a small index
canaries.parquet    copies of some of the images, by which a build measures recall

No radius is in it: one index serves every `--match-radius`.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ingest.errors import SetupError
from ingest.evaluation_index.variants import VARIANTS
from schemas.evaluation import Calibration, SetRecord
from schemas.manifest import FINGERPRINT_VERSION, decode, digest, encode

INDEX_FORMAT = "uncurated-evaluation-index-2"
MANIFEST, NAMES, CANARIES = "manifest.json", "names.arrow", "canaries.parquet"
ARRAYS = (
    *("sha256", "sha256_owner", "pixels", "pixels_owner"),
    *("aspect", "box", "thumbnail", "num_flat", "codes", "code_ends", "variant", "descriptor"),
)
TABLE_PREFIX = "table_"
_HASHED_BLOCK_BYTES = 1 << 20
_NAMES_SCHEMA = pa.schema([pa.field("name", pa.large_string(), nullable=False)])

Arrays = dict[str, NDArray[Any]]


class FileRecord(BaseModel):
    """Size and digest of one file of the index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_bytes: int
    sha256: str


class IndexManifest(BaseModel):
    """The content of `manifest.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = INDEX_FORMAT
    fingerprint: str = FINGERPRINT_VERSION
    profiles: tuple[str, ...] = Field(description="profiles that its images were indexed by")
    variants: tuple[str, ...] = VARIANTS
    sets: dict[str, SetRecord]
    calibration: Calibration | None = None
    descriptor_sha256: str = Field(default="", description="the model of descriptor.npy, if any")
    versions: dict[str, str]
    files: dict[str, FileRecord]
    manifest_sha256: str = Field(
        default="", description="SHA-256 of this manifest without this field"
    )

    def sealed(self) -> "IndexManifest":
        """This manifest with the digest of its own content."""
        blank = self.model_copy(update={"manifest_sha256": ""})
        return self.model_copy(update={"manifest_sha256": digest(encode(blank))})


def write_index(
    folder: Path,
    arrays: Arrays,
    names: Sequence[str],
    canaries: pa.Table,
    facts: Mapping[str, object],
) -> None:
    """Write all files of an index into a folder without one, the manifest last.

    arrays: those of ARRAYS and tables; facts: the fields of the manifest that are no defaults.
    """
    table = pa.table([pa.array(names, pa.large_string())], schema=_NAMES_SCHEMA)
    with pa.OSFile(str(folder / NAMES), "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    pq.write_table(canaries, folder / CANARIES, compression="none")
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=False)
    names_of_files = [NAMES, CANARIES, *(f"{name}.npy" for name in arrays)]
    files = {name: _describe(folder / name) for name in sorted(names_of_files)}
    manifest = IndexManifest.model_validate({**facts, "files": files})
    (folder / MANIFEST).write_bytes(encode(manifest.sealed()))


def read_manifest(folder: Path) -> IndexManifest:
    """The manifest of an index; raises SetupError for a foreign or altered one, naming it."""
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SetupError(f"expected an evaluation index with {MANIFEST}, got {folder}") from error
    try:
        # Versions come first: the fields of another format need not be those of this one.
        _check_versions(path, json.loads(content))
        manifest = decode(IndexManifest, content)
    except ValueError as error:
        raise SetupError(f"{path}: expected {INDEX_FORMAT}, got {error}") from error
    if encode(manifest.sealed()) != content:
        raise SetupError(
            f"{path}: expected manifest_sha256 {manifest.sealed().manifest_sha256} and canonical "
            f"JSON, got {manifest.manifest_sha256}: it was altered"
        )
    expected = {NAMES, CANARIES, *(f"{name}.npy" for name in ARRAYS)}
    tables = {name for name in manifest.files if name.startswith(TABLE_PREFIX)}
    if set(manifest.files) - tables != expected:
        found = sorted(set(manifest.files) - tables)
        raise SetupError(f"{path}: expected files {sorted(expected)}, got {found}")
    return manifest


def check_files(folder: Path, manifest: IndexManifest) -> None:
    """Raise SetupError that names the first file whose size or digest is not as recorded."""
    for name, expected in manifest.files.items():
        path = folder / name
        found = _describe(path) if path.is_file() else None
        if found != expected:
            raise SetupError(f"{path}: expected {expected}, got {found or 'no such file'}")


def map_arrays(folder: Path, manifest: IndexManifest) -> Arrays:
    """The arrays of an index by their names, tables included, memory-mapped read-only."""
    names = [name.removesuffix(".npy") for name in manifest.files if name.endswith(".npy")]
    mapped = {
        name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names
    }
    # Plain arrays of the same memory: slicing an np.memmap takes ten times as long.
    return {name: np.asarray(values) for name, values in mapped.items()}


def lengths_of(ends: NDArray[Any]) -> NDArray[np.int64]:
    """int64 [n]: how much each has, of n ends that follow one another."""
    bounds = np.concatenate([np.zeros(1, np.int64), ends.astype(np.int64)])
    lengths: NDArray[np.int64] = bounds[1:] - bounds[:-1]
    return lengths


def map_names(folder: Path) -> pa.Array:
    """The memory-mapped large_string names of an index; row k is the name of owner k."""
    table = pa.ipc.open_file(pa.memory_map(str(folder / NAMES))).read_all()
    # One batch was written, so this joins nothing and copies nothing.
    return table.column("name").combine_chunks()


def _check_versions(path: Path, fields: object) -> None:
    found = fields if isinstance(fields, dict) else {}
    if found.get("format") != INDEX_FORMAT:
        raise SetupError(f"{path}: expected {INDEX_FORMAT}, got format {found.get('format')}")
    if found.get("fingerprint") != FINGERPRINT_VERSION:
        raise SetupError(
            f"{path}: expected fingerprint {FINGERPRINT_VERSION}, got {found.get('fingerprint')}"
        )
    variants = tuple(found.get("variants", ()))
    if variants != VARIANTS:
        raise SetupError(f"{path}: expected variants {VARIANTS}, got {variants}")


def _describe(path: Path) -> FileRecord:
    with path.open("rb") as file:
        content_sha256, num_bytes = sha256(), 0
        while block := file.read(_HASHED_BLOCK_BYTES):
            content_sha256.update(block)
            num_bytes += len(block)
    return FileRecord(num_bytes=num_bytes, sha256=content_sha256.hexdigest())
