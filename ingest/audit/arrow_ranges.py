"""Chosen samples of an Arrow shard by range requests: its footer, heads of batches, the images.

A batch ends with its images, so what lies before them, all other columns, is one small range. Arrow
gets it with a body whose images are memory that nobody has touched.
"""

import mmap
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ingest import storage
from ingest.audit.arrow_check import (
    MAGIC,
    RECORD_BATCHES,
    SLACK_BYTES,
    Block,
    check_arrow_sample,
    footer_blocks,
    images,
)
from schemas.shard import ArrowSample

_TAIL_BYTES = 1 << 16
_LENGTH_BYTES = 4

# Place in its shard, ledger row.
Chosen = tuple[int, dict[str, Any]]
# Place, row, leaf, image, what is wrong.
Found = tuple[int, dict[str, Any], bytes, pa.Buffer, list[str]]


@dataclass(frozen=True)
class ArrowRanges:
    """One Arrow shard; offsets: where its images begin, by the ledger, in order."""

    uri: str
    num_bytes: int
    offsets: Sequence[int]

    def read(self, chosen: Sequence[Chosen]) -> Iterator[Callable[[], Found]]:
        """For each of some samples in order, a call that reads it; several may run at a time.

        Raises what `arrow_check.BROKEN` names where the file is no such shard.
        """
        left = list(chosen)
        for block in self._blocks():
            first, stop = self._places(block)
            own = [one for one in left if first <= one[0] < stop]
            if own:
                left = [one for one in left if not first <= one[0] < stop]
                yield from self._in_batch(block, first, own)
        if left:
            ids = ", ".join(row["id"] for _, row in left[:5])
            raise pa.ArrowInvalid(f"expected samples in the batches of the footer, {ids} are not")

    def _blocks(self) -> list[Block]:
        """Where the batches are, by the footer."""
        tail_bytes = min(self.num_bytes, _TAIL_BYTES)
        tail = storage.read_range(self.uri, self.num_bytes - tail_bytes, tail_bytes)
        end = len(MAGIC) + _LENGTH_BYTES
        if tail[-len(MAGIC) :] != MAGIC or len(tail) < end:
            raise pa.ArrowInvalid(f"last bytes: expected {MAGIC!r}, got {tail[-len(MAGIC) :]!r}")
        (length,) = struct.unpack("<i", tail[-end : -len(MAGIC)])
        if not 0 < length <= min(self.num_bytes - end, SLACK_BYTES):
            raise pa.ArrowInvalid(f"length of the footer: got {length}")
        footer = storage.read_range(self.uri, self.num_bytes - end - length, length)
        blocks = footer_blocks(footer, RECORD_BATCHES)
        for begin, metadata, body in blocks:
            if min(begin, metadata, body) < 0 or begin + metadata + body > self.num_bytes:
                raise pa.ArrowInvalid(f"batch at {begin}: expected it inside of the file")
        return blocks

    def _places(self, block: Block) -> tuple[int, int]:
        """The samples whose images the ledger has in a batch: the first, and before which."""
        begin, metadata, body = block
        return (
            bisect_left(self.offsets, begin + metadata),
            bisect_right(self.offsets, begin + metadata + body - 1),
        )

    def _in_batch(
        self, block: Block, first: int, chosen: Sequence[Chosen]
    ) -> Iterator[Callable[[], Found]]:
        batch, body_begin = self._head(block, self.offsets[first])
        texts = batch["provenance"].cast(pa.binary())
        values = batch.drop_columns(["image", "provenance"])
        spans = [(body_begin + image.address, image.size) for image in images(batch)]
        for place, row in chosen:
            at = place - first
            if at >= len(spans):
                raise pa.ArrowInvalid(f"expected sample {row['id']} as row {at} of a batch")
            found = values.slice(at, 1).to_pylist()[0]
            yield _Reading(self.uri, place, row, found, texts[at].as_py(), spans[at])

    def _head(self, block: Block, images_begin: int) -> tuple[pa.RecordBatch, int]:
        """A batch without the bytes of its images; and address 0 as an offset in the file."""
        begin, metadata, body = block
        head_bytes = images_begin - begin
        if not metadata <= head_bytes <= SLACK_BYTES:
            raise pa.ArrowInvalid(f"batch at {begin}: expected images behind it, at {images_begin}")
        head = storage.read_range(self.uri, begin, head_bytes)
        sparse = mmap.mmap(-1, metadata + body)
        sparse[: len(head)] = head
        whole = pa.py_buffer(sparse)
        message = pa.ipc.read_message(pa.BufferReader(whole))
        batch = pa.ipc.read_record_batch(message, ArrowSample.arrow_schema())
        batch.validate(full=True)
        return batch, begin - whole.address


@dataclass(frozen=True)
class _Reading:
    """A sample that is known but for its image."""

    uri: str
    place: int
    row: dict[str, Any]
    found: dict[str, Any]
    text: bytes
    span: tuple[int, int]

    def __call__(self) -> Found:
        offset, length = self.span
        image = pa.py_buffer(storage.read_range(self.uri, offset, length))
        leaf, wrong = check_arrow_sample(self.row, self.found, image, self.text, offset)
        return self.place, self.row, leaf, image, wrong
