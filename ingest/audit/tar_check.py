"""A tar shard against its ledger and commit: every byte of it is accounted for."""

import io
import sys
from typing import IO, Any

from ingest import storage
from ingest.audit.finding import Finding, differing
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
from ingest.pack.provenance import provenance_json
from ingest.pack.tar import BLOCK, member_header
from schemas.image_formats import EXTENSIONS
from schemas.manifest import Commit, digest

# Of a file that is no tar, a length may be anything.
_MAX_JSON_BYTES = 64 << 20


def check_tar(
    commit: Commit, file: IO[bytes], kept: list[dict[str, Any]] | None, look: Look = no_look
) -> list[Finding]:
    """The file's digest and size, and each sample that the ledger (if readable) says is kept.

    look: gets each sample as found.
    """
    stream = HashedFile(file, sys.maxsize)
    findings: list[Finding] = []
    leaves: list[bytes] = []
    for place, row in enumerate(kept or ()):
        leaf, content, wrong = _check_sample(stream, row, stream.position)
        leaves.append(leaf)
        findings += [Finding(commit.shard_file, f"sample {row['id']}: {what}") for what in wrong]
        look(place, row, content, leaf)
    if kept is not None:
        end = stream.read(2 * BLOCK)
        findings += differing(
            commit.shard_file, end_of_archive=(digest(bytes(2 * BLOCK)), digest(end))
        )
        findings += check_totals(commit, kept, leaves)
    return findings + check_whole(commit, stream)


def read_tar_sample(uri: str, row: dict[str, Any]) -> tuple[bytes, bytes, list[str]]:
    """Leaf and image of one sample by one range request, and what is wrong with it.

    The ledger tells where its members lie and how long they are.
    """
    length, json_bytes = max(0, row["length_bytes"] or 0), len(provenance_json(row))
    begin = (row["offset_bytes"] or 0) - BLOCK
    if begin < 0:
        return (
            leaf_of(row, b"", b"", []),
            b"",
            [f"offset: expected >= {BLOCK}, got {begin + BLOCK}"],
        )
    span = 2 * BLOCK + length + -length % BLOCK + json_bytes + -json_bytes % BLOCK
    content = storage.read_range(uri, begin, span)
    return _check_sample(HashedFile(io.BytesIO(content), sys.maxsize), row, begin)


def _check_sample(
    stream: HashedFile, row: dict[str, Any], begin: int
) -> tuple[bytes, bytes, list[str]]:
    """Merkle leaf and image of the next sample of a tar, and what is wrong with it.

    begin: where in the tar it is.
    """
    wrong: list[str] = []
    length = max(0, row["length_bytes"] or 0)
    name = f"{row['id']}.{EXTENSIONS.get(row['format'] or '', '?')}"
    expect(wrong, "tar header", _header(name, length), stream.read(BLOCK))
    expect(wrong, "offset", row["offset_bytes"], begin + BLOCK)
    content = stream.read(length)
    expect(wrong, "sha256", row["sha256"], digest(content))
    expect(wrong, "padding", bytes(-length % BLOCK), stream.read(-length % BLOCK))
    json_header = stream.read(BLOCK)
    json_bytes = min(_octal(json_header[124:135]), _MAX_JSON_BYTES)
    expect(wrong, "JSON header", _header(f"{row['id']}.json", json_bytes), json_header)
    json = stream.read(json_bytes)
    expect(wrong, "JSON padding", bytes(-json_bytes % BLOCK), stream.read(-json_bytes % BLOCK))
    wrong += check_json(json, row)
    return leaf_of(row, content, json, wrong), content, wrong


def _header(name: str, size: int) -> bytes | None:
    """The header that a member should have; None for a name or size that no header can hold."""
    try:
        return member_header(name, size)
    except ValueError:
        return None


def _octal(field: bytes) -> int:
    """A size field; 0, which the header's comparison then reports, if it is none."""
    try:
        return max(0, int(field, 8))
    except ValueError:
        return 0
