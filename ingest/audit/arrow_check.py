"""An Arrow shard against its ledger and commit, in one pass that holds one batch in memory.

The file is read as a stream of messages, so that what lies between them is noticed, and its footer,
by which most readers find the batches, must name just these. Arrow's own metadata is compared by
what it says, not by its bytes: another version of Arrow may encode it otherwise.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import IO, Any

import pyarrow as pa

from ingest.audit.finding import Finding
from ingest.audit.sample_check import (
    HashedFile,
    Look,
    check_json,
    check_totals,
    check_whole,
    expect,
    leaf_of,
    no_look,
)
from ingest.pack.arrow import ALIGNMENT, BATCH_BYTES, batches
from schemas.image_formats import EXTENSIONS
from schemas.manifest import Commit, digest
from schemas.shard import ArrowSample

MAGIC = b"ARROW1"
START = MAGIC + bytes(2)
# Before the metadata of a message: a marker and its length.
_PREFIX_BYTES = 8
_OFFSET_BYTES = 8
# What a batch may hold beside images: JSON of a sample that is alone in its batch, URLs, ids.
SLACK_BYTES = 64 << 20
# Place of a field in a footer: https://github.com/apache/arrow/blob/main/format/File.fbs
DICTIONARIES, RECORD_BATCHES = 2, 3
_BLOCK = struct.Struct("<qi4xq")
BROKEN = (
    *(pa.ArrowException, OSError, EOFError, MemoryError, struct.error),
    # Of a column that is named by no UTF-8.
    UnicodeDecodeError,
)

Block = tuple[int, int, int]


def check_arrow(
    commit: Commit, file: IO[bytes], kept: list[dict[str, Any]] | None, look: Look = no_look
) -> list[Finding]:
    """The file's digest and size, and each sample that the ledger (if readable) says is kept.

    look: gets each sample as found.
    """
    longest = max((row["length_bytes"] or 0 for row in kept or ()), default=0)
    stream = HashedFile(file, BATCH_BYTES + SLACK_BYTES + longest)
    findings: list[Finding] = []
    if kept is not None:
        check = _ArrowCheck(stream, kept, look)
        try:
            check.run()
        except BROKEN as error:
            check.wrong.append(f"byte {stream.position}: expected an Arrow file, got {error}")
        findings += [Finding(commit.shard_file, what) for what in check.wrong]
        findings += check_totals(commit, kept, check.leaves)
    return findings + check_whole(commit, stream)


class _ArrowCheck:
    """What is found on the way through one shard."""

    def __init__(self, stream: HashedFile, kept: list[dict[str, Any]], look: Look) -> None:
        self._stream, self._kept, self._look = stream, kept, look
        self._source = pa.PythonFile(stream, mode="r")
        self._blocks: list[Block] = []
        self._num_rows: list[int] = []
        self._sizes: list[int] = []
        self.wrong: list[str] = []
        self.leaves: list[bytes] = []

    def run(self) -> None:
        """Read the file to its end; raises what `BROKEN` names where it is no Arrow file."""
        expect(self.wrong, "first bytes", START, self._stream.read(len(START)))
        schema = pa.ipc.read_schema(pa.ipc.read_message(self._source))
        self._expect_schema("schema", schema)
        while (message := self._next_message()) is not None:
            batch = pa.ipc.read_record_batch(message, ArrowSample.arrow_schema())
            batch.validate(full=True)
            self._check_batch(batch, message.body)
        expect(self.wrong, "samples", len(self._kept), len(self._sizes))
        bounded = [len(batch) for batch in batches(self._sizes, int)]
        self._expect_each("rows of batch", bounded, self._num_rows)
        self._check_footer()

    def _next_message(self) -> Any:
        """The next message; None at the end of them."""
        start = self._stream.position
        try:
            message = pa.ipc.read_message(self._source)
        except EOFError:
            expect(self.wrong, "end of the batches", _PREFIX_BYTES, self._stream.position - start)
            return None
        metadata = _PREFIX_BYTES + message.metadata.size
        body = self._stream.position - start - metadata
        self._blocks.append((start, metadata, body))
        return message

    def _expect_schema(self, name: str, found: pa.Schema) -> None:
        expected = ArrowSample.arrow_schema()
        if not found.equals(expected, check_metadata=True):
            raise pa.ArrowInvalid(f"{name}: expected {expected}, got {found}")

    def _expect_each(self, name: str, expected: Sequence[object], found: Sequence[object]) -> None:
        for number, (one, other) in enumerate(zip_longest(expected, found)):
            expect(self.wrong, f"{name} {number}", one, other)

    def _check_batch(self, batch: pa.RecordBatch, body: pa.Buffer) -> None:
        number, first = len(self._num_rows), len(self._sizes)
        rows = self._kept[first : first + batch.num_rows]
        expect(self.wrong, f"batch {number}: padding", 0, _num_hidden(batch, body))
        for name in batch.schema.names:
            expect(self.wrong, f"batch {number}: nulls of {name}", 0, batch[name].null_count)
        self._num_rows.append(batch.num_rows)
        texts = batch["provenance"].cast(pa.binary()).to_pylist()
        values = batch.drop_columns(["image", "provenance"]).to_pylist()
        body_start = self._stream.position - body.size
        for place, (found, image, text) in enumerate(
            zip(values, images(batch), texts, strict=True)
        ):
            self._sizes.append(image.size + len(text))
            if place < len(rows):
                row, offset = rows[place], body_start + image.address - body.address
                leaf, wrong = check_arrow_sample(row, found, image, text, offset)
                self.leaves.append(leaf)
                self.wrong += [f"sample {row['id']}: {what}" for what in wrong]
                self._look(first + place, row, image, leaf)

    def _check_footer(self) -> None:
        tail = self._stream.read(BATCH_BYTES)
        reader = pa.ipc.open_file(pa.BufferReader(START + tail))
        self._expect_schema("schema of the footer", reader.schema)
        (length,) = struct.unpack("<i", tail[-len(MAGIC) - 4 : -len(MAGIC)])
        expect(self.wrong, "length of the footer", len(tail) - len(MAGIC) - 4, length)
        self._expect_each("place of batch", self._blocks, footer_blocks(tail, RECORD_BATCHES))
        expect(self.wrong, "dictionaries of the footer", [], footer_blocks(tail, DICTIONARIES))


def check_arrow_sample(
    row: dict[str, Any], found: dict[str, Any], image: pa.Buffer, text: bytes, offset: int
) -> tuple[bytes, list[str]]:
    """The Merkle leaf of a sample, and what is wrong with it.

    found: its columns but `image` and `provenance`, which are `image` and `text`. offset: where the
    image begins in the file.
    """
    wrong: list[str] = []
    extension = EXTENSIONS.get(row["format"] or "", "?")
    for name, value in found.items():
        expect(wrong, name, extension if name == "extension" else row[name], value)
    expect(wrong, "offset", row["offset_bytes"], offset)
    expect(wrong, "length", row["length_bytes"], image.size)
    expect(wrong, "sha256 of the image", row["sha256"], digest(image))
    wrong += check_json(text, row)
    return leaf_of(row, image, text, wrong), wrong


def footer_blocks(footer: bytes, field: int) -> list[Block]:
    """Offset, metadata bytes and body bytes of the messages that a footer lists in a field.

    Source: https://flatbuffers.dev/internals, "Tables" and "Vectors".
    """

    def number(form: str, at: int) -> int:
        return int(struct.unpack_from(form, footer, at)[0])

    table = number("<I", 0)
    vtable = table - number("<i", table)
    place = 4 + 2 * field
    offset = number("<H", vtable + place) if place < number("<H", vtable) else 0
    if not offset:
        return []
    vector = table + offset + number("<I", table + offset)
    first = vector + 4
    return [
        (begin, metadata, body)
        for place in range(number("<I", vector))
        for begin, metadata, body in [_BLOCK.unpack_from(footer, first + place * _BLOCK.size)]
    ]


def images(batch: pa.RecordBatch) -> Iterator[pa.Buffer]:
    """The images of a batch, where they lie: a scalar of Arrow would be a copy."""
    _, offsets, values = batch["image"].buffers()
    # Of a damaged batch they may be followed by a few bytes more.
    used = _OFFSET_BYTES * (batch.num_rows + 1) if batch.num_rows else 0
    for start, stop in pairwise(memoryview(offsets or b"")[:used].cast("q")):
        yield values[start:stop]


def _num_hidden(batch: pa.RecordBatch, body: pa.Buffer) -> int:
    """Bytes of a batch's body that belong to no buffer and are no padding."""
    buffers = (one for column in batch.columns for one in column.buffers() if one)
    ends, hidden = 0, 0
    for address, size in [(one.address - body.address, one.size) for one in buffers]:
        hidden += _not_padding(body, ends, address)
        ends = address + size
    return hidden + _not_padding(body, ends, body.size)


def _not_padding(body: pa.Buffer, start: int, end: int) -> int:
    gap = body[start:end].to_pybytes() if 0 <= start <= end <= body.size else b"?"
    return 0 if len(gap) < ALIGNMENT and not any(gap) else max(1, len(gap))
