"""Writes an evaluation index: digests of all images, perceptual codes of their variants."""

import logging
import shutil
import tempfile
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.errors import InspectError, SetupError
from ingest.evaluation_index.layout import (
    MANIFEST,
    Arrays,
    SetRecord,
    check_files,
    read_manifest,
    write_index,
)
from ingest.evaluation_index.search import EvaluationIndex
from ingest.evaluation_index.sources import parse_eval_set, read_images
from ingest.evaluation_index.variants import MIN_TEXTURE, VARIANTS, variant_hashes
from ingest.fingerprint import HASH_BITS, PerceptualHash
from ingest.inspect.decode import configure_pillow
from schemas.manifest import EvalIndexRecord, digest
from schemas.options import IndexOptions

logger = logging.getLogger(__name__)

_DIGEST_BYTES = 32
_VERSIONED = ("numpy", "pillow", "pyarrow", "simplejpeg")


@dataclass
class _Found:
    """What was read so far, about 300 bytes an image; `code_*` have an item for each code."""

    names: list[str] = field(default_factory=list)
    sha256s: bytearray = field(default_factory=bytearray)
    codes: bytearray = field(default_factory=bytearray)
    code_owners: "array[int]" = field(default_factory=lambda: array("Q"))
    code_variants: bytearray = field(default_factory=bytearray)
    code_textures: "array[int]" = field(default_factory=lambda: array("H"))


def build_index(
    options: IndexOptions, on_image: Callable[[str], None] | None = None
) -> EvalIndexRecord:
    """The record of a new index of these sets; the same sets in any order give the same bytes.

    on_image: called with `set/name` of each image. An index of the same content is left as it is.
    Raises SetupError if a set cannot be read, or if something else is at `output`.
    """
    # As in the decoder processes of a crawl: the same files must be readable on both sides.
    configure_pillow()
    paths = _eval_sets(options)
    output = _local_folder(options.output)
    found, sets = _Found(), {}
    for set_name, path in sorted(paths.items()):
        counts = dict.fromkeys(SetRecord.model_fields, 0)
        for file_name, content in read_images(path):
            name = _printable(f"{set_name}/{file_name}")
            hashes = _hashes(name, content, options.max_pixels)
            _add(found, name, content, hashes)
            _count(counts, hashes)
            if on_image is not None:
                on_image(name)
        sets[set_name] = SetRecord.model_validate(counts)
        logger.info("%s: %s", set_name, sets[set_name])
    _write(found, sets, output)
    return EvaluationIndex.open(options.output).record


def _eval_sets(options: IndexOptions) -> dict[str, str]:
    paths: dict[str, str] = {}
    for set_name, path in map(parse_eval_set, options.eval_set):
        if set_name in paths:
            raise SetupError(f"--eval-set: expected each name once, got {set_name!r} twice")
        paths[set_name] = path
    return paths


def _local_folder(output: str) -> Path:
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


def _printable(name: str) -> str:
    """The name as valid Unicode: bytes of file names that are none become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _hashes(name: str, content: bytes, max_pixels: int) -> tuple[PerceptualHash, ...]:
    try:
        return variant_hashes(content, max_pixels)
    except InspectError as error:
        logger.warning("%s: only its digest is indexed: %s", name, error)
        return ()


def _add(found: _Found, name: str, content: bytes, hashes: tuple[PerceptualHash, ...]) -> None:
    owner = len(found.names)
    found.names.append(name)
    found.sha256s += sha256(content).digest()
    for variant, hashed in enumerate(hashes):
        if hashed.texture >= MIN_TEXTURE:
            found.codes += hashed.code
            found.code_owners.append(owner)
            found.code_variants.append(variant)
            found.code_textures.append(hashed.texture)


def _count(counts: dict[str, int], hashes: tuple[PerceptualHash, ...]) -> None:
    num_codes = sum(hashed.texture >= MIN_TEXTURE for hashed in hashes)
    counts["num_images"] += 1
    counts["num_codes"] += num_codes
    counts["num_unreadable"] += not hashes
    counts["num_exact_only"] += bool(hashes) and not num_codes
    counts["num_flat_variants"] += len(hashes) - num_codes
    counts["num_undecoded_variants"] += len(VARIANTS) - len(hashes) if hashes else 0


def _write(found: _Found, sets: dict[str, SetRecord], output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        names, arrays = _sorted_arrays(found)
        facts: dict[str, object] = {
            "variants": VARIANTS,
            "sets": {name: record.model_dump() for name, record in sets.items()},
            "versions": {name: version(name) for name in _VERSIONED},
        }
        write_index(staged, arrays, names, facts)
        staged.chmod(0o755)
        try:
            staged.rename(output)
        except OSError:
            if not output.exists():
                raise
            _check_same(staged, output)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _check_same(staged: Path, output: Path) -> None:
    present = read_manifest(output)
    ours, theirs = (digest((folder / MANIFEST).read_bytes()) for folder in (staged, output))
    if ours != theirs:
        raise SetupError(
            f"--output: expected a new folder or the same index, got another in {output}: "
            f"{theirs} of {sorted(present.sets)}, not {ours}"
        )
    check_files(output, present)


def _sorted_arrays(found: _Found) -> tuple[list[str], Arrays]:
    """Names and arrays in an order that depends on the content alone."""
    digests = np.frombuffer(found.sha256s, f"S{_DIGEST_BYTES}")
    # "a/x" sorts after "a-b/x" as a string, but set "a" comes before "a-b".
    order = sorted(
        range(len(found.names)),
        key=lambda one: (*found.names[one].partition("/"), digests[one].tobytes()),
    )
    owner_of = np.empty(len(order), np.uint32)
    owner_of[order] = np.arange(len(order), dtype=np.uint32)
    by_digest = np.lexsort((owner_of, digests))
    owners = owner_of[np.array(found.code_owners, np.intp)]
    by_owner = np.lexsort((np.frombuffer(found.code_variants, np.uint8), owners))
    arrays: Arrays = {
        "sha256": digests[by_digest].view(np.uint8).reshape(-1, _DIGEST_BYTES),
        "sha256_owner": owner_of[by_digest],
        "codes": np.asfortranarray(_words(found.codes)[by_owner]),
        "owner": owners[by_owner],
        "variant": np.frombuffer(found.code_variants, np.uint8)[by_owner],
        "texture": np.array(found.code_textures, np.uint16)[by_owner],
    }
    return [found.names[one] for one in order], arrays


def _words(codes: bytearray) -> NDArray[Any]:
    return np.frombuffer(codes, np.uint64).reshape(-1, HASH_BITS // 64)
