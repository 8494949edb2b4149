"""Evaluation images -> what an index keeps of them, one unit of work at a time."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.errors import InspectError
from ingest.evaluation_index.canaries import CanaryDraw
from ingest.evaluation_index.descriptor import Descriptor
from ingest.evaluation_index.sources import EvalSet, read_images
from ingest.evaluation_index.variants import (
    IDENTITY,
    PROFILES,
    TRIMMED,
    VARIANTS,
    variant_lumas,
)
from ingest.fingerprint import PACKED_THUMBNAIL_BYTES, Luma, code_of, pack_thumbnail
from ingest.inspect.decode import configure_pillow, inspect_picture, small_picture
from ingest.inspect.grey import Box, content_box, luma_of
from schemas.command_options import IndexOptions
from schemas.evaluation import Canary, ProtectedImage

logger = logging.getLogger(__name__)

# Codes of images flatter than this match strangers (facts: dedup.md, section 2): exact tier only.
MIN_TEXTURE = 128
# So do those of pictures that are flat in all but a few of their 8x8 blocks of 8x8 luma: a bare
# wall with one dark corner is like another, yet an edge alone makes many coefficients large.
_FLAT_STD, _MIN_BUSY_BLOCKS = 2.0, 8
_BLOCK_MEANS = np.kron(np.eye(8), np.full(8, 1 / 8)).astype(np.float32)
# A code this near to another of its image finds nothing that the other does not.
_SAME_BITS = 4


@dataclass(frozen=True)
class Fingerprints:
    """Rows of `ProtectedImage` and `Canary`, as tables."""

    images: pa.Table
    canaries: pa.Table

    @classmethod
    def joined(cls, parts: "Iterable[Fingerprints]") -> "Fingerprints":
        """All rows of some parts."""
        every = list(parts)
        images = [ProtectedImage.to_table([]), *(part.images for part in every)]
        canaries = [Canary.to_table([]), *(part.canaries for part in every)]
        return cls(pa.concat_tables(images), pa.concat_tables(canaries))


def fingerprint_set(eval_set: EvalSet, options: IndexOptions) -> Fingerprints:
    """What an index keeps of the images of a set, or of a part of one."""
    # As in the decoder processes of a crawl: the same files must be readable on both sides.
    configure_pillow()
    descriptor = Descriptor(options.descriptor) if options.descriptor else None
    images: list[ProtectedImage] = []
    canaries = CanaryDraw(options.canaries, options.seed)
    for name, content in read_images(eval_set):
        image = _protect(eval_set.name, _printable(name), content, options)
        if descriptor is not None and image.pixels_sha256 is not None:
            pixels = small_picture(content, 2 * descriptor.side_px, options.max_pixels)
            vector = descriptor.describe(pixels).astype(np.float16).tobytes()
            image = image.model_copy(update={"descriptor": vector})
        images.append(image)
        if image.pixels_sha256 is not None:
            canaries.offer(image, content)
    return Fingerprints(ProtectedImage.to_table(images), Canary.to_table(canaries.drawn()))


def _printable(name: str) -> str:
    """The name as valid Unicode: bytes of file names that are none become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _protect(set_name: str, name: str, content: bytes, options: IndexOptions) -> ProtectedImage:
    known: dict[str, Any] = {"set": set_name, "name": name, "sha256": sha256(content).digest()}
    try:
        inspection, grey = inspect_picture(content, options.max_pixels)
    except InspectError as error:
        logger.warning("%s/%s: only its digest is indexed: %s", set_name, name, error)
        blank: dict[str, Any] = {"codes": b"", "variants": b"", "num_flat": 0, "descriptor": b""}
        return ProtectedImage(
            **known,
            **blank,
            pixels_sha256=None,
            aspect=1.0,
            box=(),
            thumbnail=bytes(PACKED_THUMBNAIL_BYTES),
        )
    height, width = grey.shape
    box = content_box(grey)
    codes, variants, num_flat = _codes(grey, box, options.profile)
    left, top, right, bottom = box or (0, 0, width, height)
    return ProtectedImage(
        **known,
        pixels_sha256=bytes.fromhex(inspection.pixels_sha256),
        aspect=width / height,
        box=(left / width, top / height, right / width, bottom / height),
        thumbnail=pack_thumbnail(inspection.views[0].thumbnail),
        codes=codes,
        variants=variants,
        num_flat=num_flat,
        descriptor=b"",
    )


def _codes(grey: Luma, box: Box | None, profile: str) -> tuple[bytes, bytes, int]:
    """Codes and numbers of the variants that are textured and new, and how many are flat."""
    codes, variants, num_flat = b"", bytearray(), 0
    for variant, luma in _lumas(grey, box, profile):
        code, texture = code_of(luma)
        if texture < MIN_TEXTURE or _num_busy_blocks(luma) < _MIN_BUSY_BLOCKS:
            num_flat += 1
        elif not variants or _nearest(codes, code) > _SAME_BITS:
            codes += code
            variants.append(VARIANTS.index(variant))
        if variant == IDENTITY and not variants:
            # A flat picture may have textured parts, but a copy of it is flat, too.
            return b"", b"", len(PROFILES[profile])
    return codes, bytes(variants), num_flat


def _lumas(grey: Luma, box: Box | None, profile: str) -> Iterator[tuple[str, Luma]]:
    # The crawl hashes by `luma_of`, so the codes of what it may see as it is are made by it.
    yield IDENTITY, luma_of(grey)
    others = [variant for variant in PROFILES[profile] if variant != IDENTITY]
    yield from zip(others, variant_lumas(grey, others), strict=True)
    if box is not None:
        yield TRIMMED, luma_of(grey, box)


def _num_busy_blocks(luma: Luma) -> int:
    # Means by matrices take a tenth of the time of `std` over a reshaped array.
    pixels = luma.astype(np.float32)
    means = _BLOCK_MEANS @ pixels @ _BLOCK_MEANS.T
    squares = _BLOCK_MEANS @ (pixels * pixels) @ _BLOCK_MEANS.T
    return int(np.count_nonzero(squares - means * means >= _FLAT_STD**2))


def _nearest(codes: bytes, code: bytes) -> int:
    others = np.frombuffer(codes, np.uint64).reshape(-1, 4)
    differing = np.bitwise_count(others ^ np.frombuffer(code, np.uint64)).sum(axis=1)
    return int(differing.min())
