"""Images decoded again, in processes that one of them may kill: is the ledger right about them?

The code is that of the build, so equal versions of the decoders give equal fingerprints.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from ingest.audit.finding import Finding
from ingest.audit.leaves import LEAF_COLUMNS
from ingest.audit.sample_check import expect
from ingest.errors import InspectError
from ingest.inspect.decode import Inspection
from ingest.inspect.sandbox import DecoderPool
from ingest.pack.ledger import INSPECTION_COLUMNS, inspection_values
from ingest.spool import Region, Spool
from schemas.manifest import Commit
from schemas.merkle import Tree, root_from_proof, shard_leaf
from schemas.options import InspectOptions

# What decoders say of an image in words is no claim about it.
_COMPARED = tuple(name for name in INSPECTION_COLUMNS if name != "decoder_warnings")
# Of a ledger row, what a sample is compared with.
SAMPLE_COLUMNS = tuple(dict.fromkeys((*LEAF_COLUMNS, *_COMPARED)))
_AT_ONCE, _BYTES_AT_ONCE = 64, 64 << 20


class Fingerprinter:
    """Decodes images as a build does; for one thread at a time."""

    def __init__(self, options: InspectOptions) -> None:
        self._spool = Spool(0, "")
        self._decoders = DecoderPool(options, [self._spool.descriptor])
        self._loop = asyncio.new_event_loop()

    def add(self, image: "bytes | pa.Buffer") -> Region:
        """Put an image down for `inspect`."""
        return self._spool.append(memoryview(image).tobytes())

    def inspect(self, regions: Sequence[Region]) -> list[Inspection | InspectError]:
        """What each image is, or why it cannot be decoded; they are forgotten then."""
        found = self._loop.run_until_complete(self._gather(regions))
        self._spool.clear()
        return found

    def close(self) -> None:
        """End the decoder processes."""
        self._decoders.close()
        self._spool.close()
        self._loop.close()

    async def _gather(self, regions: Sequence[Region]) -> list[Inspection | InspectError]:
        calls = map(self._decoders.inspect, regions)
        results: list[Inspection | InspectError] = []
        for one in await asyncio.gather(*calls, return_exceptions=True):
            if not isinstance(one, (Inspection, InspectError)):
                raise one
            results.append(one)
        return results


class SampleCheck:
    """Looks at the samples of one shard: proves that they are in the dataset, decodes them.

    tree: of the shard, by its ledger. shard_proof: index, number of leaves and proof of the shard
    in the dataset's tree. root: the dataset's.
    """

    def __init__(
        self,
        commit: Commit,
        tree: Tree,
        shard_proof: tuple[int, int, list[bytes]],
        root: str,
        fingerprinter: Fingerprinter,
    ) -> None:
        self._commit, self._tree, self._shard_proof = commit, tree, shard_proof
        self._root, self._fingerprinter = root, fingerprinter
        self._waiting: list[tuple[dict[str, Any], Region]] = []
        self._waiting_bytes = 0
        self._findings: list[Finding] = []
        self.num_samples = 0

    def look(
        self, place: int, row: dict[str, Any], image: "bytes | pa.Buffer", leaf: bytes
    ) -> None:
        """Take a sample as found."""
        self.num_samples += 1
        wrong: list[str] = []
        expect(
            wrong, "root that its inclusion proof leads to", self._root, self._prove(place, leaf)
        )
        self._add(row, wrong)
        region = self._fingerprinter.add(image)
        self._waiting.append((row, region))
        self._waiting_bytes += region.length
        if len(self._waiting) == _AT_ONCE or self._waiting_bytes >= _BYTES_AT_ONCE:
            self._decode()

    def finish(self) -> list[Finding]:
        """All that is wrong with the samples that were looked at."""
        self._decode()
        return self._findings

    def _prove(self, place: int, leaf: bytes) -> str:
        """The root of the dataset, if this leaf is in it."""
        shard_root = root_from_proof(leaf, place, len(self._tree), self._tree.proof(place))
        index, num_shards, proof = self._shard_proof
        top = shard_leaf(self._commit.shard, shard_root)
        return root_from_proof(top, index, num_shards, proof).hex()

    def _decode(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        found = self._fingerprinter.inspect([region for _, region in waiting])
        for (row, _), one in zip(waiting, found, strict=True):
            self._add(row, _compare(row, one))

    def _add(self, row: dict[str, Any], wrong: list[str]) -> None:
        where = self._commit.shard_file
        self._findings += [Finding(where, f"sample {row['id']}: {what}") for what in wrong]


def _compare(row: dict[str, Any], found: Inspection | InspectError) -> list[str]:
    """What an image is otherwise than its ledger row says."""
    if isinstance(found, InspectError):
        return [f"expected an image that can be decoded, got {found}"]
    # Of a smaller copy, the ledger has the MD5 of the original, which is not here.
    original = row["original_sha256"]
    values = inspection_values(found, original, row["md5"] if original else None)
    wrong: list[str] = []
    for name, value in zip(INSPECTION_COLUMNS, values, strict=True):
        if name in _COMPARED:
            expect(wrong, f"{name} of the decoded image", row[name], value)
    return wrong
