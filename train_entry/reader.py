"""Batches of samples in a reproducible order; and the same as a dataset of torch.

The order depends on (Merkle root, seed, epoch) alone, so any number of ranks and workers reads the
same batches, and may take over from any other number after any step.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydantic import ValidationError
from torch.utils.data import IterableDataset, get_worker_info

from train_entry.config import LoaderConfig
from train_entry.dataset import Dataset, Places
from train_entry.errors import ConfigError, DataError
from train_entry.remote import open_source
from train_entry.source import Contents
from train_entry.steps import ReaderOptions, ReaderState, Step, Steps

__all__ = [
    "BadSample",
    "Batch",
    "Problem",
    "Reader",
    "ReaderOptions",
    "ReaderState",
    "Sample",
    "StreamDataset",
]

# Before so many samples have been read, a share of bad ones says little.
_ENOUGH_SAMPLES = 1000
_LOADER = LoaderConfig()


class BadSample(Exception):
    """A transform cannot use this sample: another one takes its slot."""


class Sample(NamedTuple):
    """One sample as stored: its id (32 hex digits), index in the dataset, epoch and bytes."""

    id: str
    index: int  # type: ignore[assignment]  # a tuple's method, which nobody misses here
    epoch: int
    content: bytes


class Problem(NamedTuple):
    """What could not be read: a sample, or a whole shard if the id is empty."""

    shard_file: str
    sample_id: str
    message: str


@dataclass(frozen=True)
class Batch:
    """A rank's share of one step; `state` is where the next step begins.

    reads: (shard, offset, length) of each sample. problems: what was replaced by other samples.
    """

    data: Any
    ids: list[str]
    state: ReaderState
    problems: tuple[Problem, ...]
    reads: tuple[tuple[int, int, int], ...]

    def pin_memory(self) -> "Batch":
        """The batch in memory that a GPU reads while the CPU goes on; torch's loader calls it."""
        pin = getattr(self.data, "pin_memory", None)
        return replace(self, data=pin()) if pin else self


class Reader:
    """Reads the share of one rank: bytes, then `transform` for each sample, then `collate`.

    A sample for which `transform` raises BadSample, ValueError or OSError is replaced. Without
    `transform` samples stay as they are; without `collate` they stay a list.
    """

    def __init__(
        self,
        dataset: Dataset,
        options: ReaderOptions,
        loader: LoaderConfig,
        transform: Callable[[Sample], Any] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
    ) -> None:
        self.steps = Steps(dataset, options)
        self._dataset, self._options, self._max_bad = dataset, options, loader.max_bad
        self._transform, self._collate = transform, collate
        self._source = open_source(dataset, self.steps, options, loader)
        self._told: set[int] = set()
        self._num_read = self._num_bad = 0

    def batches(self, state: ReaderState, first: int = 0, stride: int = 1) -> Iterator[Batch]:
        """Batches `first`, `first + stride`, ... after a state, without end; raises DataError."""
        steps = self.steps.walk(self.steps.check(state), first, stride)
        for step, contents in self._source.stream(steps):
            yield self._batch(state, step, contents)

    def _batch(self, begin: ReaderState, step: Step, contents: Contents) -> Batch:
        samples = _samples(step.epochs, step.places, contents.content)
        reads = _reads(step.places)
        failures = contents.failures
        if self._transform is None:
            data: list[Any] = samples
        else:
            failures = dict(failures)
            data = [self._apply(slot, sample, failures) for slot, sample in enumerate(samples)]
        problems = self._problems(step, samples, failures)
        if failures:
            others = _Others(self, begin, step)
            for slot in failures:
                samples[slot], data[slot], reads[slot] = others.take(slot)
        self._count(len(samples), len(failures), problems)
        collated = self._collate(data) if self._collate else data
        ids = [sample.id for sample in samples]
        return Batch(collated, ids, step.state, problems, tuple(reads))

    def _apply(self, slot: int, sample: Sample, failures: dict[int, str]) -> Any:
        """What becomes of a sample; None, and a word on it in `failures`, if it is bad."""
        assert self._transform is not None
        if slot in failures:
            return None
        try:
            return self._transform(sample)
        except (BadSample, ValueError, OSError) as error:
            failures[slot] = f"{type(error).__name__}: {error}"
            return None

    def read_one(self, epoch: int, places: Places) -> tuple[Sample, Any, tuple[int, int, int]]:
        """One sample, transformed, and where it lies; raises BadSample."""
        contents = self._source.read(places)
        failures = dict(contents.failures)
        (sample,) = _samples([epoch], places, contents.content)
        data = self._apply(0, sample, failures) if self._transform else sample
        if failures:
            raise BadSample(failures[0])
        return sample, data, _reads(places)[0]

    def locate_batch(self, begin: ReaderState, step: int) -> tuple[list[int], Places]:
        """Epochs and places of all slots of a step, on all ranks."""
        epochs, indices = self.steps.batch(begin, step)
        return epochs.tolist(), self._dataset.locate(indices)

    def _problems(
        self, step: Step, samples: list[Sample], failures: Mapping[int, str]
    ) -> tuple[Problem, ...]:
        """What to tell of failures: of a bad shard once, of all else each."""
        problems, bad = [], self._dataset.bad_shards
        for slot, message in failures.items():
            shard = int(step.places.shard[slot])
            file = self._dataset.shards[shard].file
            if shard not in bad:
                problems.append(Problem(file, samples[slot].id, message))
            elif shard not in self._told:
                self._told.add(shard)
                problems.append(Problem(file, "", bad[shard]))
        return tuple(problems)

    def _count(self, num_read: int, num_bad: int, problems: tuple[Problem, ...]) -> None:
        self._num_read += num_read
        self._num_bad += num_bad
        too_many = self._num_bad > self._max_bad * self._num_read
        if too_many and self._num_read >= _ENOUGH_SAMPLES:
            raise DataError(
                f"{self._dataset.store.uri}: expected at most {self._max_bad:.2%} unreadable "
                f"samples, got {self._num_bad} of {self._num_read}; the last: {problems[-1:]}"
            )


class _Others:
    """Samples for the slots that failed: the next ones of the whole batch, whatever the rank."""

    def __init__(self, reader: Reader, begin: ReaderState, step: Step) -> None:
        self._reader, self._number = reader, step.number
        self._epochs, self._places = reader.locate_batch(begin, step.number)
        self._first = reader._options.rank * reader.steps.share

    def take(self, slot: int) -> tuple[Sample, Any, tuple[int, int, int]]:
        """The sample that takes this slot of the rank; raises DataError if all are bad."""
        size, last = len(self._epochs), ""
        for step in range(1, size):
            other = (self._first + slot + step) % size
            places = self._places.at(slice(other, other + 1))
            try:
                return self._reader.read_one(self._epochs[other], places)
            except BadSample as error:
                last = str(error)
        raise DataError(
            f"step {self._number}: expected readable samples, got none of {size}; the last: {last}"
        )


class StreamDataset(IterableDataset[Batch]):
    """A rank's batches for any loop: `DataLoader(dataset, batch_size=None, num_workers=...)`.

    Each worker takes every so-manieth step, so the loader gives the steps in order. `options` are
    the fields of ReaderOptions: at least `batch`, the samples of a step over all ranks.

    Where workers make the batches, only who uses them knows which was the last: save
    `batch.state.to_dict()` of that one, or use `Loader`, which does so.
    Raises ConfigError and DataError.
    """

    def __init__(
        self,
        uri: str,
        *,
        transform: Callable[[Sample], Any] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        loader: LoaderConfig = _LOADER,
        **options: Any,
    ) -> None:
        try:
            self.options = ReaderOptions(dataset=uri, **options)
        except ValidationError as error:
            raise ConfigError(f"StreamDataset: {error}") from error
        self.dataset = Dataset.open(uri, loader.cache, self.options.root)
        self.loader, self._functions = loader, (transform, collate)
        self.state = Steps(self.dataset, self.options).begin()

    def __iter__(self) -> Iterator[Batch]:
        reader = Reader(self.dataset, self.options, self.loader, *self._functions)
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        for batch in reader.batches(self.state, first, stride):
            if worker is None:
                self.state = batch.state
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where to go on: after the last batch that this process itself has made."""
        return self.state.to_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on there; raises DataError if it was with another Merkle root."""
        steps = Steps(self.dataset, self.options)
        self.state = steps.check(ReaderState.from_dict(state))


def _samples(epochs: Any, places: Places, contents: list[bytes]) -> list[Sample]:
    digits = places.id.tobytes().hex()
    ids = [digits[at : at + 32] for at in range(0, len(digits), 32)]
    epochs = epochs if isinstance(epochs, list) else epochs.tolist()
    return list(map(Sample, ids, places.sample.tolist(), epochs, contents))


def _reads(places: Places) -> list[tuple[int, int, int]]:
    columns = (places.shard.tolist(), places.offset.tolist(), places.length.tolist())
    return list(zip(*columns, strict=True))
