"""Writes an evaluation index: digests of all images, perceptual codes of their variants."""

import io
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ingest.errors import InspectError, SetupError
from ingest.evaluation_index.layout import SetRecord, read_manifest, write_index
from ingest.evaluation_index.search import EvaluationIndex
from ingest.evaluation_index.sources import parse_eval_set, read_images
from ingest.fingerprint import perceptual_hash
from ingest.inspect.decode import inspect_image, upright_luma
from schemas.manifest import EvalIndexRecord
from schemas.options import IndexOptions

# Codes of images flatter than this match strangers (facts: dedup.md, section 2): exact tier only.
MIN_TEXTURE = 128
# ... and so do those of pictures that are flat in all but a few of their 8x8 blocks of 8x8 luma.
_FLAT_STD, _MIN_BUSY_BLOCKS = 2.0, 8
_CROPS = {"centre_0.925": 0.925, "centre_0.85": 0.85, "centre_0.7": 0.70}
VARIANTS = ("identity", "mirrored", *_CROPS)


@dataclass
class _Entry:
    """One evaluation image: the digest of its bytes, its codes by variant, and what it is."""

    name: str
    sha256: bytes
    codes: dict[int, bytes] = field(default_factory=dict)
    readable: bool = True


def build_index(
    options: IndexOptions, on_image: Callable[[str], None] = lambda name: None
) -> EvalIndexRecord:
    """The record of a new index of these sets; the same sets in any order give the same bytes.

    Raises SetupError if `output` is there already with another content.
    """
    entries: list[_Entry] = []
    sets: dict[str, SetRecord] = {}
    for set_name, path in sorted(map(parse_eval_set, options.eval_set)):
        if set_name in sets:
            raise SetupError(f"--eval-set: expected each name once, got {set_name!r} twice")
        found = []
        for name, content in read_images(path):
            found.append(_fingerprint(f"{set_name}/{name}", content, options.max_pixels))
            on_image(name)
        sets[set_name] = SetRecord(
            num_images=len(found),
            num_exact_only=sum(one.readable and not one.codes for one in found),
            num_unreadable=sum(not one.readable for one in found),
        )
        entries += found
    _write(sorted(entries, key=lambda one: one.name), sets, Path(options.output))
    return EvaluationIndex.open(options.output).record


def _fingerprint(name: str, content: bytes, max_pixels: int) -> _Entry:
    entry = _Entry(name.replace("\n", " "), sha256(content).digest())
    try:
        identity = inspect_image(content, max_pixels)
    except InspectError:
        entry.readable = False
        return entry
    with Image.open(io.BytesIO(content)) as image:
        for number, variant in enumerate(_variants(image)):
            luma = upright_luma(variant, identity.exif_orientation)
            hashed = perceptual_hash(luma)
            if hashed.texture >= MIN_TEXTURE and _is_busy(luma):
                # The crawl hashes by `inspect_image`, so whole pictures must be hashed by it too.
                entry.codes[number] = hashed.code if number else bytes.fromhex(identity.phash)
    return entry


def _is_busy(luma: NDArray[np.uint8]) -> bool:
    """Whether enough of a picture is not flat: a bare wall with one dark corner is like another."""
    blocks = luma.reshape(8, 8, 8, 8).std(axis=(1, 3))
    return int(np.count_nonzero(blocks >= _FLAT_STD)) >= _MIN_BUSY_BLOCKS


def _variants(image: Image.Image) -> list[Image.Image]:
    """The pictures that a copy may have become, in the order of VARIANTS."""
    width, height = image.size
    crops = [
        image.crop(
            (
                round(width * (1 - side) / 2),
                round(height * (1 - side) / 2),
                round(width * (1 + side) / 2),
                round(height * (1 + side) / 2),
            )
        )
        for side in _CROPS.values()
    ]
    # Cropping loses what says that a palette colour is clear.
    for crop in crops:
        crop.info.update({k: v for k, v in image.info.items() if k == "transparency"})
    return [image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), *crops]


def _write(entries: list[_Entry], sets: dict[str, SetRecord], output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        facts: dict[str, object] = {
            "variants": VARIANTS,
            "sets": {name: record.model_dump() for name, record in sets.items()},
            "num_codes": sum(len(one.codes) for one in entries),
            "versions": {name: version(name) for name in ("numpy", "pillow", "simplejpeg")},
        }
        write_index(staged, _arrays(entries), [one.name for one in entries], facts)
        staged.chmod(0o755)
        if not output.exists():
            staged.rename(output)
        elif read_manifest(output) != read_manifest(staged):
            raise SetupError(
                f"--output: expected a new folder or the same index, got another in {output}"
            )
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _arrays(entries: list[_Entry]) -> dict[str, NDArray[np.generic]]:
    digests = sorted((one.sha256, owner) for owner, one in enumerate(entries))
    coded = [
        (owner, variant, code)
        for owner, one in enumerate(entries)
        for variant, code in sorted(one.codes.items())
    ]
    joined = b"".join(code for _, _, code in coded)
    return {
        "sha256": np.frombuffer(b"".join(one for one, _ in digests), np.uint8).reshape(-1, 32),
        "sha256_owner": np.array([owner for _, owner in digests], np.uint32),
        "codes": np.frombuffer(joined, np.uint64).reshape(-1, 4).T,
        "owner": np.array([owner for owner, _, _ in coded], np.uint32),
        "variant": np.array([variant for _, variant, _ in coded], np.uint8),
    }
