"""Looks crawled images up in an evaluation index: by digest, then by hash, then by thumbnail."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ingest import storage
from ingest.errors import SetupError
from ingest.evaluation_index.layout import (
    CANARIES,
    MANIFEST,
    TABLE_PREFIX,
    check_files,
    lengths_of,
    map_arrays,
    map_names,
    read_manifest,
)
from ingest.evaluation_index.match import Match, Query, correlation_surplus
from ingest.evaluation_index.tables import Tables
from ingest.evaluation_index.variants import VARIANTS, place_of
from ingest.fingerprint import THUMBNAIL_PX, View, unpack_thumbnail
from schemas.benchmarks.model import MatchRule
from schemas.evaluation import BORDERLINE, EvalIndexRecord
from schemas.manifest import digest
from schemas.options import MatchOptions
from schemas.outcome import Outcome

# A query flatter than this matches strangers (facts: dedup.md, section 6): exact tier only.
MIN_QUERY_TEXTURE = 96
# Beyond this many of 256 bits two pictures have nothing in common; nothing is reported.
FARTHEST_REPORTED = 80
VIEWS = ("plain", "trimmed")
_DIGEST_BYTES = 32
# A picture of one direction (gradient, stripes, an edge) is like all others of it: unless it is
# very near it must agree better. 14 of 1,929 tiles of wallpapers were such and matched flags, with
# correlations of 0.46 to 0.68; of copies at these distances 91 % have 0.7 (benchmarks).
_MIN_ISOTROPY, _SURE_RADIUS, _ONE_DIRECTION_CORRELATION = 0.03, 32, 0.7
# Evaluation images of one query that are verified, nearest first.
_MAX_VERIFIED = 8


class EvaluationIndex:
    """An index whose arrays are memory-mapped, so that all processes of a machine share them."""

    def __init__(self, folder: Path) -> None:
        manifest = read_manifest(folder)
        check_files(folder, manifest)
        arrays = map_arrays(folder, manifest)
        self.manifest = manifest
        self.arrays = arrays
        self._names = map_names(folder)
        self.canaries = pq.read_table(folder / CANARIES, memory_map=True)
        tables = {
            name.removeprefix(TABLE_PREFIX): values
            for name, values in arrays.items()
            if name.startswith(TABLE_PREFIX)
        }
        self._tables = Tables(arrays["codes"], tables)
        self._digests = {
            variant: (_as_items(arrays[name]), arrays[f"{name}_owner"])
            for variant, name in (("bytes", "sha256"), ("pixels", "pixels"))
        }
        # Owners are numbered set by set.
        self._sets = sorted(manifest.sets)
        counts = [manifest.sets[name].num_images for name in self._sets]
        self._set_ends = np.cumsum(counts)
        self.record = EvalIndexRecord(
            uri=str(folder),
            sha256=digest((folder / MANIFEST).read_bytes()),
            fingerprint=manifest.fingerprint,
            sets=manifest.sets,
            calibration=manifest.calibration,
        )
        self._safe_radius = self.record.radius(0)

    @classmethod
    def open(cls, uri: str) -> "EvaluationIndex":
        """The index at a local path or any fsspec URI, every file verified.

        Raises SetupError for a foreign version, or a file that is not as recorded, naming it.
        """
        if "://" not in uri:
            return cls(Path(uri))
        # What is mapped stays readable after the folder is gone.
        with tempfile.TemporaryDirectory(prefix="uncurated-index-") as folder:
            copy_index(uri, Path(folder))
            index = cls(Path(folder))
        index.record = index.record.model_copy(update={"uri": uri})
        return index

    def match(self, queries: Sequence[Query], options: MatchOptions) -> list[Match | None]:
        """What each query is a copy of, else the nearest evaluation image; None without any.

        A copy of several is one of the first whose thumbnail agrees, by distance; ties go to the
        first set and name, then to the first variant. Only what has a thumbnail can be a near copy.
        """
        matches = self._match_digests(queries)
        wanted = [number for number, match in enumerate(matches) if match is None]
        for number, candidates in self._candidates([queries[one] for one in wanted]):
            matches[wanted[number]] = self._decide(queries[wanted[number]], candidates, options)
        return matches

    def name_of(self, owner: int) -> str:
        """`set/name` of an evaluation image."""
        return str(self._names[owner].as_py())

    def codes_of(self) -> NDArray[np.int64]:
        """int64 [E]: how many perceptual codes each image has."""
        return lengths_of(self.arrays["code_ends"])

    def cosine(self, name: str, vector: NDArray[np.float32]) -> float:
        """Cosine of a learned descriptor, a unit vector, and that of the image `set/name`."""
        owner = self._names.index(name).as_py()
        return float(self.arrays["descriptor"][owner].astype(np.float32) @ vector)

    def num_codes_of(self, name: str) -> int:
        """How many perceptual codes the image `set/name` has; 0 if there is no such image."""
        owner = self._names.index(name).as_py()
        return int(self.codes_of()[owner]) if owner >= 0 else 0

    def thumbnail_of(self, name: str) -> bytes | None:
        """The thumbnail of the image `set/name`, 32 x 32 bytes; None if there is no such image."""
        owner = self._names.index(name).as_py()
        return None if owner < 0 else unpack_thumbnail(self.arrays["thumbnail"][owner]).tobytes()

    def _match_digests(self, queries: Sequence[Query]) -> list[Match | None]:
        matches: list[Match | None] = [None] * len(queries)
        for variant, (digests, owners) in self._digests.items():
            if not len(digests):
                continue
            joined = b"".join(
                query.sha256 if variant == "bytes" else query.pixels_sha256 for query in queries
            )
            wanted = np.frombuffer(joined, f"S{_DIGEST_BYTES}")
            places = np.searchsorted(digests, wanted)
            found = digests[np.minimum(places, len(digests) - 1)] == wanted
            for number in np.flatnonzero(found).tolist():
                if matches[number] is None:
                    name = self.name_of(int(owners[places[number]]))
                    matches[number] = Match(
                        name, variant, VIEWS[0], 0, 1.0, Outcome.DUPLICATE_EXACT
                    )
        return matches

    def _candidates(
        self, queries: Sequence[Query]
    ) -> Iterator[tuple[int, list[tuple[int, int, int]]]]:
        """(query, (distance, place, view) of near codes, nearest first) where there are any."""
        asked = [
            (number, place, view)
            for number, query in enumerate(queries)
            for place, view in enumerate(query.views)
            if view.texture >= MIN_QUERY_TEXTURE
        ]
        if not asked:
            return
        codes = _stacked([view.code for _, _, view in asked])
        certain = all(view.certainty for _, _, view in asked)
        certainty = _stacked([view.certainty for _, _, view in asked]) if certain else None
        hits = self._tables.near(codes, certainty, FARTHEST_REPORTED)
        found = zip(hits.query.tolist(), hits.distance.tolist(), hits.place.tolist(), strict=True)
        rows = [(asked[q][0], distance, place, asked[q][1]) for q, distance, place in found]
        for number, group in groupby(rows, key=lambda row: row[0]):
            yield number, sorted(row[1:] for row in group)

    def _decide(
        self, query: Query, candidates: list[tuple[int, int, int]], options: MatchOptions
    ) -> Match:
        """The first candidate that is a copy, else the first of all."""
        first: Match | None = None
        seen: set[tuple[int, int]] = set()
        for distance, place, view in candidates:
            owner = self.owner_of(place)
            # Of all variants of an image the nearest is the best start.
            if (owner, view) in seen:
                continue
            seen.add((owner, view))
            match = self._verify(query.views[view], VIEWS[view], place, distance, options)
            first = first or match
            if match.outcome is not None:
                return match
            if len(seen) >= _MAX_VERIFIED:
                break
        assert first is not None
        return first

    def _verify(
        self, view: View, view_name: str, place: int, distance: int, options: MatchOptions
    ) -> Match:
        owner = self.owner_of(place)
        variant = VARIANTS[self.arrays["variant"][place]]
        name = self.name_of(owner)
        if not view.thumbnail:
            return Match(name, variant, view_name, distance, None, None, place)
        # Only what compares pays for numba: half a second.
        from ingest.evaluation_index.verify import aligned_correlation, isotropy

        query = np.frombuffer(view.thumbnail, np.uint8).reshape(THUMBNAIL_PX, THUMBNAIL_PX)
        original = unpack_thumbnail(self.arrays["thumbnail"][owner])
        correlation = aligned_correlation(query, original, self.start_of(owner, variant))
        radius = options.match_radius or self._safe_radius
        rule, base = self._rule_of(owner), options.min_correlation
        surplus = correlation_surplus(distance, correlation, rule, radius, base)
        if distance > _SURE_RADIUS and isotropy(query) < _MIN_ISOTROPY:
            surplus = min(surplus, correlation - _ONE_DIRECTION_CORRELATION)
        return Match(
            name,
            variant,
            view_name,
            distance,
            correlation,
            Outcome.DUPLICATE_NEAR if surplus >= 0 else None,
            place,
            borderline=-BORDERLINE <= surplus < 0,
        )

    def start_of(self, owner: int, variant: str) -> NDArray[np.float64]:
        """Where a variant lies in its image, as `variants.place_of` gives it."""
        box = tuple(self.arrays["box"][owner].astype(np.float64).tolist())
        return place_of(variant, float(self.arrays["aspect"][owner]), box)

    def owner_of(self, place: int) -> int:
        """The number of the image whose code is at this place."""
        return int(np.searchsorted(self.arrays["code_ends"], place, side="right"))

    def _rule_of(self, owner: int) -> MatchRule:
        number = int(np.searchsorted(self._set_ends, owner, side="right"))
        return self.manifest.sets[self._sets[number]].rule


def copy_index(uri: str, folder: Path) -> None:
    """Copy the files of an index from any fsspec URI; raises SetupError if none is there."""
    _copy(storage.join(uri, MANIFEST), folder / MANIFEST)
    for name in read_manifest(folder).files:
        _copy(storage.join(uri, name), folder / name)


def _as_items(digests: NDArray[Any]) -> NDArray[Any]:
    # numpy compares S items byte by byte, zeros too, so they are in the order of the file.
    return digests.view(f"S{_DIGEST_BYTES}").reshape(-1)


def _stacked(rows: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


def _copy(uri: str, path: Path) -> None:
    try:
        with storage.open_input(uri) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target)
    except FileNotFoundError as error:
        raise SetupError(f"expected a file of an evaluation index, got nothing at {uri}") from error
