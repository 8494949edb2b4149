"""Which samples each step reads, on which rank: arithmetic on (root, seed, epoch, position).

An epoch is a permutation of all samples that were sealed. Those with a tombstone are skipped, so
that one more in the middle of a run leaves the order of the rest as it was. Of the others, the
live ones, each step takes the next B, over the end of an epoch too. Rank r of W has the slots from
r * B / W of such a batch. N samples, B of a batch, n of a rank's share, J steps that are planned
at once, because small arrays cost numpy as much as large ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from schemas.options import option
from train_entry.config import DataConfig
from train_entry.dataset import Dataset, Places
from train_entry.errors import ConfigError, DataError
from train_entry.order import BlockLayout, BlockOrder, Integers, Order, SampleOrder, block_layout

_PLANNED_SLOTS = 4096


class ReaderOptions(DataConfig):
    """What decides which samples a rank reads, and in which order."""

    seed: int = option(0, "seed of the order", ge=0)
    rank: int = option(0, "this rank", ge=0, speed=True)
    world: int = option(1, "number of ranks", gt=0, speed=True)


@dataclass(frozen=True)
class ReaderState:
    """Where to go on: the same on every rank, and good for any number of ranks and workers."""

    root: str
    seed: int
    epoch: int
    position: int
    order: str = "samples"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ReaderState":
        """The state of such values; what else they hold is left alone."""
        return cls(**{one.name: values[one.name] for one in fields(cls) if one.name in values})


class Step(NamedTuple):
    """What one rank reads in one step: epoch and place of each slot [n], and the state after it."""

    number: int
    epochs: Integers
    places: Places
    state: ReaderState


class Steps:
    """The steps of one rank over one dataset."""

    def __init__(self, dataset: Dataset, options: ReaderOptions) -> None:
        if options.batch % options.world:
            raise ConfigError(
                f"expected a batch that {options.world} ranks can share equally, "
                f"got {options.batch}"
            )
        if options.rank >= options.world:
            raise ConfigError(f"expected a rank below {options.world}, got {options.rank}")
        self._dataset, self._options = dataset, options
        self.num_live = dataset.num_samples - len(dataset.removed)
        if not self.num_live:
            raise DataError(f"{dataset.store.uri}: expected samples, got none")
        self.share = options.batch // options.world
        self.layout = _layout(dataset, options) if options.order == "blocks" else None
        # A thread that reads ahead and the one that consumes both ask.
        self._epoch = lru_cache(4)(self._open_epoch)

    def begin(self) -> ReaderState:
        """The state before the first step."""
        options, order = self._options, "samples"
        if self.layout:
            order = f"blocks {self.layout.digest()} x {options.window_blocks}"
        return ReaderState(self._dataset.root, options.seed, 0, 0, order)

    def check(self, state: ReaderState) -> ReaderState:
        """The state, if it belongs to this dataset and order; raises DataError or ConfigError."""
        own = self.begin()
        if state.root != own.root:
            raise DataError(
                f"{self._dataset.store.uri}: expected Merkle root {state.root}, got {own.root}"
            )
        for name in ("seed", "order"):
            expected, found = getattr(state, name), getattr(own, name)
            if expected != found:
                raise ConfigError(f"{name} of the samples: expected {expected}, got {found}")
        if not 0 <= state.position < self._dataset.num_samples or state.epoch < 0:
            raise DataError(
                f"expected a position below {self._dataset.num_samples}, got {state.position} "
                f"of epoch {state.epoch}"
            )
        return state

    def walk(self, state: ReaderState, first: int = 0, stride: int = 1) -> Iterator[Step]:
        """Steps `first`, `first + stride`, ... after a state, without end."""
        begin = self._live_number(state)
        num_steps = max(1, _PLANNED_SLOTS // (self._options.batch if self.layout else self.share))
        for numbers in (
            first + stride * np.arange(at, at + num_steps) for at in count(0, num_steps)
        ):
            epochs_Jn, indices_Jn = self._shares(begin, numbers)
            places = self._dataset.locate(indices_Jn.ravel())
            states = self._states(begin + (numbers + 1) * self._options.batch)
            for row, (number, after) in enumerate(zip(numbers.tolist(), states, strict=True)):
                own = slice(row * self.share, (row + 1) * self.share)
                yield Step(number, epochs_Jn[row], places.at(own), after)

    def batch(self, state: ReaderState, number: int) -> tuple[Integers, Integers]:
        """Epochs and indices [B] of a whole batch, the slots of all ranks."""
        epochs_1B, indices_1B = self._batches(self._live_number(state), np.array([number]))
        return epochs_1B[0], indices_1B[0]

    def window_steps(self) -> int:
        """About how many steps it takes to read a window of blocks."""
        if not self.layout:
            return 1
        share = min(1.0, self._options.window_blocks / self.layout.num_blocks)
        return 1 + int(share * self._dataset.num_samples / self._options.batch)

    def _shares(self, begin: int, numbers: Integers) -> tuple[Integers, Integers]:
        """Epochs and indices [J, n] of this rank's slots."""
        rank = self._options.rank
        if self.layout:
            epochs_JB, indices_JB = self._batches(begin, numbers)
            own = slice(rank * self.share, (rank + 1) * self.share)
            return epochs_JB[:, own], indices_JB[:, own]
        slots = np.arange(rank * self.share, (rank + 1) * self.share)
        epochs_Jn, _, indices_Jn = self._look_up(
            begin + numbers[:, None] * self._options.batch + slots
        )
        return epochs_Jn, indices_Jn

    def _batches(self, begin: int, numbers: Integers) -> tuple[Integers, Integers]:
        """Epochs and indices [J, B] of whole batches."""
        batch = self._options.batch
        live_JB = begin + numbers[:, None] * batch + np.arange(batch)
        epochs_JB, ranks_JB, indices_JB = self._look_up(live_JB)
        if self.layout:
            # Blocks in the order of the epoch, so that a rank touches few of them.
            keys_JB = (epochs_JB - epochs_JB.min()) * self.layout.num_blocks + ranks_JB
            sorted_JB = np.argsort(keys_JB, axis=1, kind="stable")
            epochs_JB = np.take_along_axis(epochs_JB, sorted_JB, 1)
            indices_JB = np.take_along_axis(indices_JB, sorted_JB, 1)
        return epochs_JB, indices_JB

    def _look_up(self, live: Integers) -> tuple[Integers, Integers, Integers]:
        """Epoch, rank of the block and index of live samples, counted over all epochs."""
        epochs, within = np.divmod(live, self.num_live)
        ranks, indices = np.empty_like(live), np.empty_like(live)
        for epoch in np.unique(epochs).tolist():
            chosen = epochs == epoch
            order, dead = self._epoch(epoch)
            positions = _live_positions(within[chosen], dead)
            indices[chosen] = order.indices(positions)
            ranks[chosen] = order.ranks(positions) if self.layout else 0
        return epochs, ranks, indices

    def _states(self, live: Integers) -> Iterator[ReaderState]:
        """The states when so many live samples have been read: one position after the last."""
        begin, num_samples = self.begin(), self._dataset.num_samples
        for last in (live - 1).tolist():
            epoch, within = divmod(last, self.num_live)
            position = 1 + int(_live_positions(np.array([within]), self._epoch(epoch).dead)[0])
            epoch, position = (epoch + 1, 0) if position == num_samples else (epoch, position)
            yield ReaderState(begin.root, begin.seed, epoch, position, begin.order)

    def _live_number(self, state: ReaderState) -> int:
        """How many live samples come before a state, over all epochs."""
        dead = self._epoch(state.epoch).dead
        before = state.position - int(np.searchsorted(dead, state.position))
        return state.epoch * self.num_live + before

    def _open_epoch(self, epoch: int) -> "_Epoch":
        dataset, options = self._dataset, self._options
        order: Order
        if self.layout:
            order = BlockOrder(
                dataset.root, options.seed, epoch, self.layout, options.window_blocks
            )
        else:
            order = SampleOrder(dataset.root, options.seed, epoch, dataset.num_samples)
        return _Epoch(order, np.sort(order.positions(dataset.removed)))


class _Epoch(NamedTuple):
    """The order of an epoch and the sorted positions of the removed samples."""

    order: Order
    dead: Integers


def _live_positions(within: Integers, dead: Integers) -> Integers:
    """The positions of live samples by their numbers in the epoch."""
    # The i-th dead position is skipped by all whose number is at least so many.
    return within + np.searchsorted(dead - np.arange(len(dead)), within, side="right")


def _layout(dataset: Dataset, options: ReaderOptions) -> BlockLayout:
    num_kept = np.diff(dataset.first)
    num_bytes = np.array([one.num_bytes for one in dataset.shards], np.int64)
    return block_layout(num_kept, num_bytes, options.block_mib << 20)
