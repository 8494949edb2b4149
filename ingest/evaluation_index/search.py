"""Looks crawled images up in an evaluation index: by digest, then by Hamming distance.

The search compares with every code, exactly: good for some hundred thousand codes.
"""

import tempfile
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest import storage
from ingest.evaluation_index.layout import ARRAYS, MANIFEST, NAMES, check_files, read_manifest
from schemas.manifest import EvalIndexRecord, digest
from schemas.outcome import Outcome

# A query flatter than this matches strangers (facts: dedup.md, section 6): exact tier only.
MIN_QUERY_TEXTURE = 96
# Beyond this many of 256 bits two pictures have nothing in common; nothing is reported.
FARTHEST_REPORTED = 64
_BLOCK_DISTANCES = 1 << 20


@dataclass(frozen=True)
class Match:
    """The nearest evaluation image; `outcome` is set if the crawled one is a copy of it."""

    name: str
    variant: str
    distance: int
    outcome: Outcome | None


class EvaluationIndex:
    """An index whose arrays are memory-mapped, so that all processes of a machine share them."""

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        check_files(folder, manifest)
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        self._codes: NDArray[np.uint64] = arrays["codes"]
        self._owner, self._variant = arrays["owner"], arrays["variant"]
        self._sha256 = arrays["sha256"].view("V32").ravel()
        self._sha256_owner = arrays["sha256_owner"]
        self._names = (folder / NAMES).read_text().split("\n")
        self._variants = manifest.variants
        self.record = EvalIndexRecord(
            uri=str(folder),
            sha256=digest((folder / MANIFEST).read_bytes()),
            fingerprint=manifest.fingerprint,
            sets={name: record.num_images for name, record in manifest.sets.items()},
        )

    @classmethod
    def open(cls, uri: str) -> "EvaluationIndex":
        """The index at a local path or any fsspec URI, every file verified.

        Raises SetupError for a foreign version, or a file that is not as recorded.
        """
        if "://" not in uri:
            return cls(Path(uri))
        # The arrays stay mapped after the folder is gone.
        with tempfile.TemporaryDirectory(prefix="uncurated-index-") as folder:
            for name in storage.list_files(uri):
                (Path(folder) / name).write_bytes(storage.read_bytes(storage.join(uri, name)))
            index = cls(Path(folder))
        index.record = index.record.model_copy(update={"uri": uri})
        return index

    def match(
        self,
        sha256s: Sequence[str],
        codes: NDArray[np.uint8],
        textures: NDArray[np.uint16],
        radius: int,
    ) -> list[Match | None]:
        """The nearest evaluation image of each of n images, None if there is none within 64 bits.

        codes: uint8 [n, 32]; textures: [n]; radius: the largest distance that makes a copy, bits.
        Ties go to the first name, then to the first variant.
        """
        matches = [self._match_exact(bytes.fromhex(one)) for one in sha256s]
        wanted = [
            number
            for number, found in enumerate(matches)
            if found is None and textures[number] >= MIN_QUERY_TEXTURE
        ]
        if wanted and self._codes.shape[1]:
            queries = np.ascontiguousarray(codes[wanted]).view(np.uint64)
            for number, (place, distance) in zip(wanted, self._nearest(queries), strict=True):
                matches[number] = self._match_near(place, distance, radius)
        return matches

    def _match_exact(self, content_sha256: bytes) -> Match | None:
        place = bisect_left(self._sha256, content_sha256, key=lambda one: one.tobytes())
        if place == len(self._sha256) or self._sha256[place].tobytes() != content_sha256:
            return None
        name = self._names[self._sha256_owner[place]]
        return Match(name, "bytes", 0, Outcome.DUPLICATE_EXACT)

    def _match_near(self, place: int, distance: int, radius: int) -> Match | None:
        if distance > max(FARTHEST_REPORTED, radius):
            return None
        name, variant = self._names[self._owner[place]], self._variants[self._variant[place]]
        outcome = Outcome.DUPLICATE_NEAR if distance <= radius else None
        return Match(name, variant, distance, outcome)

    def _nearest(self, queries: NDArray[np.uint64]) -> list[tuple[int, int]]:
        """(place, distance) of the nearest code of each query: uint64 [n, 4]."""
        found: list[tuple[int, int]] = []
        step = max(1, _BLOCK_DISTANCES // self._codes.shape[1])
        for begin in range(0, len(queries), step):
            block = queries[begin : begin + step]
            distances = np.zeros((len(block), self._codes.shape[1]), np.uint16)
            for word in range(4):
                distances += np.bitwise_count(block[:, word, None] ^ self._codes[word])
            places = distances.argmin(axis=1)
            nearest = distances[np.arange(len(block)), places]
            found += zip(places.tolist(), nearest.tolist(), strict=True)
        return found
