"""Writes an evaluation index out of the fingerprints of its images."""

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.errors import SetupError
from ingest.evaluation_index.canaries import lowest_ranks
from ingest.evaluation_index.fingerprints import Fingerprints
from ingest.evaluation_index.layout import (
    MANIFEST,
    TABLE_PREFIX,
    Arrays,
    check_files,
    lengths_of,
    read_manifest,
    write_index,
)
from ingest.evaluation_index.tables import build_tables
from ingest.fingerprint import HASH_BITS, PACKED_THUMBNAIL_BYTES
from schemas.benchmarks.model import MatchRule
from schemas.evaluation import Calibration, SetRecord
from schemas.manifest import digest

logger = logging.getLogger(__name__)

_CODE_BYTES = HASH_BITS // 8
_VERSIONED = ("numpy", "pillow", "pyarrow", "simplejpeg", "imagecodecs")


class IndexContent:
    """All that goes into an index: the same images in any order give the same bytes."""

    def __init__(
        self,
        found: Fingerprints,
        *,
        num_canaries: int,
        profiles: Sequence[str],
        rules: Mapping[str, MatchRule],
        descriptor_sha256: str = "",
    ) -> None:
        keys = [(name, "ascending") for name in ("set", "name", "sha256")]
        images = found.images.sort_by(keys).combine_chunks()
        self.sets = images["set"].to_pylist()
        self.names = [
            f"{set_name}/{name}"
            for set_name, name in zip(self.sets, images["name"].to_pylist(), strict=True)
        ]
        self._check_names()
        self.canaries = lowest_ranks(found.canaries, num_canaries)
        self.profiles = tuple(sorted(set(profiles)))
        self.rules = dict(rules)
        self.descriptor_sha256 = descriptor_sha256
        self.unreadable = np.asarray(images["pixels_sha256"].is_null())
        self.arrays = _arrays(images)
        exact_only = {name for name, rule in self.rules.items() if not rule.perceptual}
        unwanted = np.isin(np.array(self.sets, dtype=object), list(exact_only))
        self.demote(np.flatnonzero(np.repeat(unwanted, self._codes_of())).tolist())
        self.calibration: Calibration | None = None

    def demote(self, places: Sequence[int]) -> None:
        """Drop these codes: their images are found by their other codes and digests only."""
        kept = np.ones(len(self.arrays["codes"]), bool)
        kept[list(places)] = False
        for name in ("codes", "variant"):
            self.arrays[name] = np.ascontiguousarray(self.arrays[name][kept])
        ends = self.arrays["code_ends"]
        gone = np.concatenate([[0], np.cumsum(~kept)])
        self.arrays["code_ends"] = (ends - gone[ends]).astype(np.uint32)

    def write(self, folder: Path) -> None:
        """Write the index into an empty folder."""
        facts: dict[str, object] = {
            "profiles": self.profiles,
            "sets": {name: record.model_dump() for name, record in self._records().items()},
            "calibration": self.calibration.model_dump() if self.calibration else None,
            "descriptor_sha256": self.descriptor_sha256,
            "versions": {name: version(name) for name in _VERSIONED},
        }
        tables = build_tables(self.arrays["codes"])
        arrays = self.arrays | {f"{TABLE_PREFIX}{name}": one for name, one in tables.items()}
        write_index(folder, arrays, self.names, self.canaries, facts)

    def _codes_of(self) -> NDArray[np.int64]:
        return lengths_of(self.arrays["code_ends"])

    def _check_names(self) -> None:
        for before, name in zip(self.names, self.names[1:], strict=False):
            if before == name:
                raise SetupError(f"expected each evaluation image once, got {name} twice")

    def _records(self) -> dict[str, SetRecord]:
        sets, set_of = np.unique(np.array(self.sets, dtype=object), return_inverse=True)
        codes_of = self._codes_of()
        canaries_of = self.canaries["set"].to_pylist()
        records = {}
        for number, name in enumerate(sets.tolist()):
            mine = set_of == number
            records[name] = SetRecord(
                num_images=int(mine.sum()),
                num_codes=int(codes_of[mine].sum()),
                num_exact_only=int((mine & (codes_of == 0) & ~self.unreadable).sum()),
                num_flat_variants=int(self.arrays["num_flat"][mine].sum()),
                num_unreadable=int((mine & self.unreadable).sum()),
                num_canaries=canaries_of.count(name),
                rule=self.rules.get(name, MatchRule()),
            )
        return records


def publish_index(content: IndexContent, output: Path) -> None:
    """Write an index where none is; one of the same content is left as it is.

    Raises SetupError if another index is there.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        content.write(staged)
        staged.chmod(0o755)
        try:
            staged.rename(output)
        except OSError:
            if not output.exists():
                raise
            _check_same(staged, output)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def output_folder(output: str) -> Path:
    """The folder to write; checked before the work, not after it."""
    if "://" in output:
        raise SetupError(f"--output: expected a local folder, got {output}")
    folder = Path(output)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        try:
            read_manifest(folder)
        except SetupError as error:
            raise SetupError(f"--output: expected a new folder or an index: {error}") from error
    return folder


def _check_same(staged: Path, output: Path) -> None:
    present = read_manifest(output)
    ours, theirs = (digest((folder / MANIFEST).read_bytes()) for folder in (staged, output))
    if ours != theirs:
        raise SetupError(
            f"--output: expected a new folder or the same index, got another in {output}: "
            f"{theirs} of {sorted(present.sets)}, not {ours}"
        )
    check_files(output, present)


def _arrays(images: pa.Table) -> Arrays:
    """The arrays of an index, but for its tables; images are in the order of their owners."""
    num_images = images.num_rows
    owners = np.arange(num_images, dtype=np.uint32)
    readable = np.flatnonzero(~np.asarray(images["pixels_sha256"].is_null()))
    sha256, sha256_owner = _sorted_digests(_joined(images["sha256"], 32), owners)
    pixels = _joined(images["pixels_sha256"].drop_null(), 32)
    pixels, pixels_owner = _sorted_digests(pixels, owners[readable])
    variants = _joined(images["variants"], 1).reshape(-1)
    counts = [len(one) for one in images["variants"].to_pylist()]
    boxes = [box or (0.0, 0.0, 1.0, 1.0) for box in images["box"].to_pylist()]
    codes = _joined(images["codes"], _CODE_BYTES)
    return {
        "sha256": sha256,
        "sha256_owner": sha256_owner,
        "pixels": pixels,
        "pixels_owner": pixels_owner,
        "aspect": np.array(images["aspect"], np.float32),
        "box": np.array(boxes, np.float32).reshape(-1, 4),
        "thumbnail": _joined(images["thumbnail"], PACKED_THUMBNAIL_BYTES),
        "num_flat": np.array(images["num_flat"], np.uint16),
        "codes": np.ascontiguousarray(codes).view(np.uint64).reshape(-1, HASH_BITS // 64),
        "code_ends": np.cumsum(counts, dtype=np.uint32),
        "variant": variants,
        "descriptor": _descriptors(images),
    }


def _descriptors(images: pa.Table) -> NDArray[np.float16]:
    """float16 [E, D]; an unreadable image has zeros, which no vector is near."""
    vectors = images["descriptor"].to_pylist()
    width = max(map(len, vectors), default=0)
    joined = b"".join(vector or bytes(width) for vector in vectors)
    return np.frombuffer(joined, np.float16).reshape(len(vectors), width // 2)


def _joined(column: pa.ChunkedArray, width: int) -> NDArray[np.uint8]:
    """uint8 [n, width] of binary values, end to end."""
    joined = b"".join(column.to_pylist())
    return np.frombuffer(joined, np.uint8).reshape(-1, width)


def _sorted_digests(
    digests: NDArray[np.uint8], owners: NDArray[np.uint32]
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    items = np.ascontiguousarray(digests).view("S32").reshape(-1)
    order = np.lexsort((owners, items))
    return digests[order], owners[order]
