"""Looks crawled images up in an evaluation index: by digest, then by Hamming distance.

The search compares with every code, exactly, at about 2 ns a code: good for some hundred thousand.
"""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest import storage
from ingest.errors import SetupError
from ingest.evaluation_index.layout import (
    FILES,
    MANIFEST,
    check_files,
    map_arrays,
    map_names,
    read_manifest,
)
from ingest.fingerprint import HASH_BITS
from schemas.manifest import EvalIndexRecord, digest
from schemas.outcome import Outcome

# A query flatter than this matches strangers (facts: dedup.md, section 6): exact tier only.
MIN_QUERY_TEXTURE = 96
# Beyond this many of 256 bits two pictures have nothing in common; nothing is reported.
FARTHEST_REPORTED = 64
_CODE_BYTES, _DIGEST_BYTES = HASH_BITS // 8, 32
# Pairs compared at once, and codes of these: 1.4 MB of scratch, and each word's codes stay cached.
_BLOCK_PAIRS, _BLOCK_CODES = 1 << 17, 1 << 14
_THREE_WORDS_BITS = 192
# A hit is one number, so that the smallest is the nearest and ties go to the first code.
_PLACE_BITS = 40
_NO_HIT = np.int64(2**63 - 1)


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
        arrays = map_arrays(folder)
        self._codes: NDArray[np.uint64] = arrays["codes"].T
        self._owner, self._variant = arrays["owner"], arrays["variant"]
        # numpy compares S items byte by byte, zeros too, so they are in the order of the file.
        self._sha256 = arrays["sha256"].view(f"S{_DIGEST_BYTES}").reshape(-1)
        self._sha256_owner = arrays["sha256_owner"]
        self._names = map_names(folder)
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

        Raises SetupError for a foreign version, or a file that is not as recorded, naming it.
        """
        if "://" not in uri:
            return cls(Path(uri))
        # What is mapped stays readable after the folder is gone.
        with tempfile.TemporaryDirectory(prefix="uncurated-index-") as folder:
            for name in (MANIFEST, *FILES):
                _copy(storage.join(uri, name), Path(folder) / name)
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

        sha256s: n times 64 hex digits; codes: uint8 [n, 32]; textures: [n], 0 to 256; radius: the
        largest distance that makes a copy, 0 to 64 bits. Ties go to the first set and name, then
        to the first variant. Raises ValueError for other shapes or radii.
        """
        _check_queries(len(sha256s), codes, textures, radius)
        matches = self._match_exact(sha256s)
        wanted = [
            number
            for number in np.flatnonzero(textures >= MIN_QUERY_TEXTURE).tolist()
            if matches[number] is None
        ]
        nearest = self._nearest(codes[wanted].view(np.uint64), FARTHEST_REPORTED)
        for number, hit in zip(wanted, nearest, strict=True):
            if hit is not None:
                matches[number] = self._match_near(*hit, radius)
        return matches

    def _match_exact(self, sha256s: Sequence[str]) -> list[Match | None]:
        matches: list[Match | None] = [None] * len(sha256s)
        queries = np.frombuffer(bytes.fromhex("".join(sha256s)), f"S{_DIGEST_BYTES}")
        if not len(self._sha256):
            return matches
        places = np.searchsorted(self._sha256, queries)
        found = self._sha256[np.minimum(places, len(self._sha256) - 1)] == queries
        for number in np.flatnonzero(found).tolist():
            name = self._names[int(self._sha256_owner[places[number]])].as_py()
            matches[number] = Match(name, "bytes", 0, Outcome.DUPLICATE_EXACT)
        return matches

    def _match_near(self, place: int, distance: int, radius: int) -> Match:
        name = self._names[int(self._owner[place])].as_py()
        outcome = Outcome.DUPLICATE_NEAR if distance <= radius else None
        return Match(name, self._variants[self._variant[place]], distance, outcome)

    def _nearest(
        self, queries: NDArray[np.uint64], limit: int = HASH_BITS
    ) -> list[tuple[int, int] | None]:
        """(place, distance) of the nearest code in `limit` bits of each query, uint64 [n, 4]."""
        hits = np.full(len(queries), _NO_HIT)
        total = self._codes.shape[1]
        num_codes = min(_BLOCK_CODES, max(1, total))
        num_queries = min(_BLOCK_PAIRS // num_codes, max(1, len(queries)))
        scratch = _Scratch(num_queries * num_codes, limit)
        for begin in range(0, total, num_codes):
            codes = self._codes[:, begin : begin + num_codes]
            for first in range(0, len(queries), num_queries):
                block = queries[first : first + num_queries]
                _keep_nearest(hits[first : first + num_queries], block, codes, begin, scratch)
        mask = (1 << _PLACE_BITS) - 1
        return [
            None if hit == _NO_HIT else (hit & mask, hit >> _PLACE_BITS) for hit in hits.tolist()
        ]


class _Scratch:
    """Limit and memory of a search, used for each block: fresh pages cost more than the sums."""

    def __init__(self, num_pairs: int, limit: int) -> None:
        self.limit = limit
        self.bits = np.empty(num_pairs, np.uint64)
        self.count = np.empty(num_pairs, np.uint8)
        self.sum = np.empty(num_pairs, np.uint8)


def _keep_nearest(
    hits: NDArray[np.int64],
    queries: NDArray[np.uint64],
    codes: NDArray[np.uint64],
    begin: int,
    scratch: _Scratch,
) -> None:
    """Lower `hits` of queries [n, 4] where codes [4, m], whose first is at `begin`, are nearer.

    Three words of four rule out nearly all strangers: they differ in 96 bits there, within 7.
    """
    shape = (len(queries), codes.shape[1])
    num_pairs = shape[0] * shape[1]
    bits = scratch.bits[:num_pairs].reshape(shape)
    total, count = scratch.sum[:num_pairs].reshape(shape), scratch.count[:num_pairs].reshape(shape)
    np.bitwise_count(np.bitwise_xor(queries[:, 0, None], codes[0], out=bits), out=total)
    for word in (1, 2):
        np.bitwise_xor(queries[:, word, None], codes[word], out=bits)
        total += np.bitwise_count(bits, out=count)
    bound = min(scratch.limit, _THREE_WORDS_BITS)
    near = np.flatnonzero(np.less_equal(total, bound, out=count.view(np.bool_)))
    if not near.size:
        return
    rows, columns = np.divmod(near, shape[1])
    last = np.bitwise_count(queries[rows, 3] ^ codes[3, columns])
    distances = total.ravel()[near].astype(np.int64) + last
    found = distances <= scratch.limit
    keys = distances[found] << _PLACE_BITS | (columns[found] + begin)
    np.minimum.at(hits, rows[found], keys)


def _check_queries(
    num_queries: int, codes: NDArray[np.uint8], textures: NDArray[np.uint16], radius: int
) -> None:
    if codes.shape != (num_queries, _CODE_BYTES) or textures.shape != (num_queries,):
        raise ValueError(
            f"expected {num_queries} codes of {_CODE_BYTES} bytes and as many textures, "
            f"got shapes {codes.shape} and {textures.shape}"
        )
    if not 0 <= radius <= FARTHEST_REPORTED:
        raise ValueError(f"expected a radius of 0 to {FARTHEST_REPORTED} bits, got {radius}")


def _copy(uri: str, path: Path) -> None:
    try:
        with storage.open_input(uri) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
    except FileNotFoundError as error:
        raise SetupError(f"expected a file of an evaluation index, got nothing at {uri}") from error
