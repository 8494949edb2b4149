"""Arrow shards: the Arrow IPC file format, uncompressed, one row of `ArrowSample` for each image.

A reader maps the file into memory and takes images out without a copy. Column and batch bounds
are fixed, so the bytes depend on the samples alone (and on Arrow's encoder of metadata).
Source: https://arrow.apache.org/docs/format/Columnar.html, "IPC File Format".
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import accumulate
from typing import IO, TypeVar

import pyarrow as pa

from ingest.pack.sample import Sample, WrittenShard
from schemas.shard import ArrowSample

# A writer holds one batch, and so does who streams. From 4 to 32 MiB cost the same CPU time.
BATCH_BYTES = 16 << 20
BATCH_ROWS = 1000
# Arrow pads each buffer of a batch to so many bytes.
ALIGNMENT = 8

T = TypeVar("T")


def batches(items: Iterable[T], num_bytes: Callable[[T], int]) -> Iterator[list[T]]:
    """The items in runs of at most `BATCH_ROWS` and `BATCH_BYTES`; a larger item is alone."""
    batch, batch_bytes = list[T](), 0
    for item in items:
        size = num_bytes(item)
        if batch and (len(batch) == BATCH_ROWS or batch_bytes + size > BATCH_BYTES):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += size
    if batch:
        yield batch


def write_arrow(samples: Iterable[Sample], file: IO[bytes]) -> WrittenShard:
    """Write a shard of samples in the given order; the same samples give the same bytes."""
    sink, offsets, leaves = _HashingSink(file), list[int](), list[bytes]()
    with pa.ipc.new_file(sink, ArrowSample.arrow_schema()) as writer:
        for batch in batches(samples, lambda sample: len(sample.image) + len(sample.provenance)):
            writer.write_batch(_record_batch(batch))
            offsets += image_offsets([len(sample.image) for sample in batch], sink.num_bytes)
            leaves += [sample.leaf() for sample in batch]
            # Else it would stay until the next one is complete.
            del batch
    return WrittenShard(sink.num_bytes, sink.digest.hexdigest(), offsets, leaves)


def image_offsets(lengths: Sequence[int], end: int) -> Iterator[int]:
    """Where the images of a batch begin, if the batch ends at `end`: they are its last buffer."""
    total = sum(lengths)
    start = end - total - -total % ALIGNMENT
    return accumulate(lengths[:-1], initial=start)


def _record_batch(samples: list[Sample]) -> pa.RecordBatch:
    columns = {
        name: [getattr(sample, name) for sample in samples] for name in ArrowSample.model_fields
    }
    (batch,) = ArrowSample.columns_to_table(columns).to_batches()
    return batch


class _HashingSink:
    """A file for Arrow to write to, which remembers the digest and number of its bytes."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest, self.num_bytes = file, sha256(), 0

    def write(self, content: bytes | pa.Buffer) -> None:
        self._file.write(content)
        self.digest.update(content)
        self.num_bytes += len(content)

    def flush(self) -> None:
        self._file.flush()
