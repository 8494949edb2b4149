"""The versioned format of an evaluation index: one folder of flat arrays, no pickle.

manifest.json       format, fingerprint and library versions, sets, digests of all other files
names.txt           name of each image as `set/name`, one a line, sorted; its line is its owner
sha256.npy          uint8 [E, 32], sorted: digests of the bytes of all E images
sha256_owner.npy    uint32 [E]: whose digest it is
codes.npy           uint64 [4, N], word by word: perceptual codes, sorted by owner and variant
owner.npy           uint32 [N]: whose code it is
variant.npy         uint8 [N]: which variant of the image, an index into `variants`
"""

from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ingest.errors import SetupError
from schemas.manifest import FINGERPRINT_VERSION, decode, encode

INDEX_FORMAT = "uncurated-evaluation-index-1"
MANIFEST = "manifest.json"
NAMES = "names.txt"
ARRAYS = ("sha256", "sha256_owner", "codes", "owner", "variant")


class SetRecord(BaseModel):
    """What one evaluation set brought into the index."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_images: int = Field(description="files, all of them found by their digest")
    num_exact_only: int = Field(description="images too flat for a perceptual code")
    num_unreadable: int = Field(description="files that are no readable images")


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
    variants: tuple[str, ...]
    sets: dict[str, SetRecord]
    num_codes: int
    versions: dict[str, str]
    files: dict[str, FileRecord]


def write_index(
    folder: Path, arrays: dict[str, NDArray[np.generic]], names: list[str], facts: dict[str, object]
) -> None:
    """Write all files of an index into an empty folder, the manifest last."""
    (folder / NAMES).write_bytes("".join(f"{name}\n" for name in names).encode())
    for name in ARRAYS:
        np.save(folder / f"{name}.npy", np.ascontiguousarray(arrays[name]), allow_pickle=False)
    files = {path.name: _describe(path) for path in sorted(folder.iterdir())}
    manifest = IndexManifest.model_validate({**facts, "files": files})
    (folder / MANIFEST).write_bytes(encode(manifest))


def read_manifest(folder: Path) -> IndexManifest:
    """The manifest of an index; raises SetupError for a foreign format or fingerprint."""
    try:
        content = (folder / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SetupError(f"expected an evaluation index with {MANIFEST}, got {folder}") from error
    try:
        manifest = decode(IndexManifest, content)
    except ValueError as error:
        raise SetupError(f"{folder / MANIFEST}: expected {INDEX_FORMAT}, got {error}") from error
    for name, expected, found in (
        ("format", INDEX_FORMAT, manifest.format),
        ("fingerprint", FINGERPRINT_VERSION, manifest.fingerprint),
    ):
        if expected != found:
            raise SetupError(f"{folder / MANIFEST}: expected {name} {expected}, got {found}")
    return manifest


def check_files(folder: Path, manifest: IndexManifest) -> None:
    """Raise SetupError that names the first file whose size or digest is not as recorded."""
    for name, expected in manifest.files.items():
        path = folder / name
        found = _describe(path) if path.is_file() else None
        if found != expected:
            raise SetupError(f"{path}: expected {expected}, got {found or 'no such file'}")


def _describe(path: Path) -> FileRecord:
    with path.open("rb") as file:
        digest, num_bytes = sha256(), 0
        while block := file.read(1 << 20):
            digest.update(block)
            num_bytes += len(block)
    return FileRecord(num_bytes=num_bytes, sha256=digest.hexdigest())
