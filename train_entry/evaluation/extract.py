"""Features of a list of images, by all ranks, kept on disk and taken up again where they stopped.

B images of a batch. Batches are made of the same images and computed alone on whatever rank, so
that any number of ranks finds the same bits.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from train_entry.errors import DataError
from train_entry.evaluation.batches import ImageBatch, ImageBatches, Images, load_batches
from train_entry.evaluation.encoder import POOL, POOL_NORM, Encoder
from train_entry.evaluation.feature_cache import (
    FeatureCache,
    Part,
    PartRecord,
    RowDigest,
    Rows,
    parts_of,
)
from train_entry.evaluation.meter import Meter
from train_entry.evaluation.scores import Features
from train_entry.evaluation.together import gathered, raise_together
from train_entry.evaluation.transforms import Transform
from train_entry.parallel import Ranks


@dataclass(frozen=True)
class Extraction:
    """How features are extracted; but for `batch`, nothing of it changes a bit of them.

    cache: folder of all features. batch: images of a pass. workers: decoding processes of a rank.
    title: what to call it while it goes on.
    """

    cache: Path
    batch: int = 64
    workers: int = 2
    title: str = "features"


@dataclass(frozen=True)
class Extracted:
    """Features of all images but the bad ones, which are told by name with the reason."""

    features: Features
    bad: Mapping[str, str]


def extract(
    encoder: Encoder,
    images: Images,
    transform: Transform,
    taps: Collection[str],
    options: Extraction,
) -> Extracted:
    """Features of images at those of the taps that the encoder has, mapped into memory.

    `pool_norm` is `pool` again. Images that cannot be decoded are left out. Collective: every rank
    of the encoder calls it and gets all. Raises DataError if there are no images, Unreadable if
    files of some cannot be read; what was computed before is kept.
    """
    if not images.names:
        raise DataError(f"{options.title}: expected images, got none")
    chosen = encoder.chosen(taps)
    cache = FeatureCache(options.cache, cache_key(encoder, images, transform, options.batch))
    parts = parts_of(len(images.names), options.batch)
    ranks = encoder.placement.ranks
    lacking = _lacking(ranks, cache, parts, chosen)
    if lacking:
        _prepare(encoder, cache, transform, images.names, chosen)
        gathered(None, ranks)
        work = _Work(encoder, cache, lacking, chosen, options)
        raise_together(work.run(images, transform), ranks)
    bad = cache.bad(parts)
    if bad and ranks.first:
        cache.leave_out(chosen, bad)
    gathered(None, ranks)
    return Extracted(
        _features(cache, images, taps, chosen, bad),
        {images.names[place]: reason for place, reason in bad.items()},
    )


def cache_key(encoder: Encoder, images: Images, transform: Transform, batch: int) -> str:
    """SHA-256 of all that features depend on, but for the tap; batch and device in last bits."""
    told = [
        encoder.record.sha256,
        encoder.colours,
        encoder.placement.precision,
        encoder.placement.ranks.device.type,
        images.digest,
        transform.digest(),
        batch,
    ]
    return sha256(json.dumps(told).encode()).hexdigest()


class _Work:
    """The parts that are to be computed, of which each rank does every so-many-th."""

    def __init__(
        self,
        encoder: Encoder,
        cache: FeatureCache,
        lacking: Sequence[Part],
        taps: tuple[str, ...],
        options: Extraction,
    ) -> None:
        self._encoder, self._cache, self._taps, self._options = encoder, cache, taps, options
        ranks = encoder.placement.ranks
        shares = [lacking[rank :: ranks.world] for rank in range(ranks.world)]
        self._own = shares[ranks.rank]
        self._num_passes = max(sum(len(part.batches) for part in some) for some in shares)
        self._digests = {tap: RowDigest() for tap in taps}
        self._bad: dict[int, str] = {}

    def run(self, images: Images, transform: Transform) -> str:
        """Compute this rank's parts and write them; why some files cannot be read, or nothing."""
        last_of = {part.batches[-1]: part for part in self._own}
        numbers = [number for part in self._own for number in part.batches]
        num_images = sum(part.end - part.begin for part in self._own)
        device = self._encoder.placement.ranks.device
        batches = load_batches(
            ImageBatches(images, transform, self._options.batch),
            numbers,
            self._options.workers,
            pin_memory=device.type == "cuda",
        )
        # One thread writes while the next batch is computed.
        with self._meter(num_images) as meter, ThreadPoolExecutor(1) as writer:
            pending: Future[None] | None = None
            num_passes, unreadable = 0, ""
            for batch in batches:
                if batch.unreadable:
                    unreadable = batch.unreadable
                    break
                num_passes += 1
                rows = self._rows(batch)
                if pending is not None:
                    pending.result()
                pending = writer.submit(self._write, batch, rows, last_of.get(batch.number))
                meter.advance(len(batch.pixels))
            if pending is not None:
                pending.result()
        if self._encoder.collective:
            # The others cannot compute their last batches without this rank.
            for _ in range(self._num_passes - num_passes):
                _encode_blank(self._encoder, transform, self._taps)
        return unreadable

    def _meter(self, num_images: int) -> Meter:
        ranks = self._encoder.placement.ranks
        return Meter(self._options.title, num_images, ranks.world, ranks.first)

    def _rows(self, batch: ImageBatch) -> dict[str, Rows]:
        found = self._encoder.encode(batch.pixels, self._taps)
        rows = {tap: features.cpu().numpy() for tap, features in found.items()}
        bad = [place - batch.number * self._options.batch for place in batch.bad]
        for values in rows.values():
            values[bad] = 0
        return rows

    def _write(self, batch: ImageBatch, rows: Mapping[str, Rows], last_of: Part | None) -> None:
        for tap, values in rows.items():
            self._cache.write(tap, batch.number * self._options.batch, values)
            self._digests[tap].add(values)
        self._bad |= batch.bad
        if last_of is not None:
            digests = {tap: digest.hexdigest() for tap, digest in self._digests.items()}
            self._cache.finish(last_of, PartRecord(digests, self._bad))
            self._digests, self._bad = {tap: RowDigest() for tap in self._taps}, {}


def _prepare(
    encoder: Encoder,
    cache: FeatureCache,
    transform: Transform,
    names: Sequence[str],
    taps: tuple[str, ...],
) -> None:
    """Make the files, of the shapes that a blank image has. Collective for a sharded encoder."""
    if encoder.placement.ranks.first or encoder.collective:
        shapes = _encode_blank(encoder, transform, taps)
        if encoder.placement.ranks.first:
            cache.prepare(shapes, names)


def _encode_blank(
    encoder: Encoder, transform: Transform, taps: tuple[str, ...]
) -> dict[str, tuple[int, ...]]:
    px = transform.crop_px
    found = encoder.encode(torch.zeros((1, px, px, 3), dtype=torch.uint8), taps)
    return {tap: tuple(rows.shape[1:]) for tap, rows in found.items()}


def _lacking(
    ranks: Ranks, cache: FeatureCache, parts: Sequence[Part], taps: tuple[str, ...]
) -> list[Part]:
    """What is still to be computed, the same on all ranks, each of which looks at its share."""
    own = [part.number for part in cache.lacking(parts[ranks.rank :: ranks.world], taps)]
    return [parts[number] for number in sorted(chain.from_iterable(gathered(own, ranks)))]


def _features(
    cache: FeatureCache,
    images: Images,
    taps: Collection[str],
    chosen: tuple[str, ...],
    bad: Mapping[int, str],
) -> Features:
    opened = {tap: cache.open(tap, bad) for tap in chosen}
    if POOL_NORM in taps and POOL in opened:
        opened[POOL_NORM] = opened[POOL]
    kept = np.setdiff1d(np.arange(len(images.names)), np.array(sorted(bad), np.int64)).tolist()
    fields = {name: [values[place] for place in kept] for name, values in images.fields.items()}
    return Features([images.names[place] for place in kept], opened, fields)
