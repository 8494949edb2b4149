"""What is checked in shards of any format: samples against the ledger, totals and digest."""

from collections.abc import Callable
from hashlib import sha256
from typing import IO, Any

import orjson
import pyarrow as pa

from ingest.audit.finding import Finding, differing
from ingest.pack.provenance import SAMPLE_FIELDS, provenance_json
from schemas.manifest import Commit
from schemas.merkle import EMPTY_ROOT, merkle_root, sample_leaf

_READ_BYTES = 1 << 20

# Takes the place of a sample in its shard, its ledger row, its image and its Merkle leaf as found.
Look = Callable[[int, dict[str, Any], "bytes | pa.Buffer", bytes], None]


class HashedFile:
    """A stream that remembers the digest and number of the bytes read.

    It may be given to Arrow. max_read_bytes: more at once raises OSError, so that a damaged length
    does not fill the memory.
    """

    closed = False

    def __init__(self, file: IO[bytes], max_read_bytes: int) -> None:
        self._file, self._max, self._digest = file, max_read_bytes, sha256()
        self.position = 0

    def read(self, num_bytes: int) -> bytes:
        if not 0 <= num_bytes <= self._max:
            raise OSError(
                f"byte {self.position}: expected a length up to {self._max}, got {num_bytes}"
            )
        content = self._file.read(num_bytes)
        self._digest.update(content)
        self.position += len(content)
        return content

    def finish(self) -> str:
        """The digest of the whole file."""
        while self.read(min(_READ_BYTES, self._max)):
            pass
        return self._digest.hexdigest()


def check_whole(commit: Commit, file: HashedFile) -> list[Finding]:
    """The digest and size of a shard, after all that was read of it already."""
    whole = file.finish()
    return differing(
        commit.shard_file,
        sha256=(commit.shard_sha256, whole),
        size=(commit.shard_bytes, file.position),
    )


def check_totals(commit: Commit, kept: list[dict[str, Any]], leaves: list[bytes]) -> list[Finding]:
    """What a commit says of all samples together, against the ledger and the samples found."""
    return differing(
        commit.shard_file,
        num_kept=(commit.num_kept, len(kept)),
        image_bytes=(commit.image_bytes, sum(row["length_bytes"] or 0 for row in kept)),
        merkle_root=(commit.merkle_root, merkle_root(leaves).hex()),
    )


def no_look(place: int, row: dict[str, Any], image: "bytes | pa.Buffer", leaf: bytes) -> None:
    """Look no further at a sample."""


def leaf_of(
    row: dict[str, Any], image: "bytes | pa.Buffer", provenance: bytes, wrong: list[str]
) -> bytes:
    """The Merkle leaf of a sample as found, under the ledger's id."""
    try:
        return sample_leaf(row["id"], sha256(image).digest(), sha256(provenance).digest())
    except ValueError:
        wrong.append(f"id: expected 32 hex digits, got {row['id']!r}")
        return EMPTY_ROOT


def check_json(content: bytes, row: dict[str, Any]) -> list[str]:
    """What the JSON of a sample says otherwise than the ledger."""
    canonical = provenance_json(row)
    if content == canonical:
        return []
    try:
        fields = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return [f"expected JSON, got {error}"]
    if not isinstance(fields, dict):
        return [f"expected a JSON object, got {type(fields).__name__}"]
    wrong: list[str] = []
    for name in SAMPLE_FIELDS:
        expect(wrong, f"JSON {name}", row[name], fields.get(name))
    if not wrong:
        expect(wrong, "JSON", canonical, content)
    return wrong


def expect(wrong: list[str], name: str, expected: object, found: object) -> None:
    """Note what differs; of long bytes, where."""
    if expected == found:
        return
    if isinstance(expected, bytes) and isinstance(found, bytes):
        at = next(
            (i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b),
            min(len(expected), len(found)),
        )
        wrong.append(
            f"{name}: at its byte {at} expected {expected[at : at + 8]!r}, "
            f"got {found[at : at + 8]!r}"
        )
    else:
        wrong.append(f"{name}: expected {expected}, got {found}")
