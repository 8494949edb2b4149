"""A tar shard against its ledger and commit: every byte of it is accounted for."""

import sys
from typing import IO, Any

from ingest.audit.finding import Finding, differing
from ingest.audit.sample_check import (
    HashedFile,
    check_json,
    check_totals,
    check_whole,
    expect,
    leaf_of,
)
from ingest.inspect.header import EXTENSIONS
from ingest.pack.tar import BLOCK, member_header
from schemas.manifest import Commit, digest


def check_tar(commit: Commit, file: IO[bytes], kept: list[dict[str, Any]] | None) -> list[Finding]:
    """The file's digest and size, and each sample that the ledger (if readable) says is kept."""
    stream = HashedFile(file, sys.maxsize)
    findings: list[Finding] = []
    leaves: list[bytes] = []
    for row in kept or ():
        leaf, wrong = _check_sample(stream, row)
        leaves.append(leaf)
        findings += [Finding(commit.shard_file, f"sample {row['id']}: {what}") for what in wrong]
    if kept is not None:
        end = stream.read(2 * BLOCK)
        findings += differing(
            commit.shard_file, end_of_archive=(digest(bytes(2 * BLOCK)), digest(end))
        )
        findings += check_totals(commit, kept, leaves)
    return findings + check_whole(commit, stream)


def _check_sample(stream: HashedFile, row: dict[str, Any]) -> tuple[bytes, list[str]]:
    """The Merkle leaf of the next sample of the tar, and what is wrong with it."""
    wrong: list[str] = []
    length = max(0, row["length_bytes"] or 0)
    header = stream.read(BLOCK)
    name = f"{row['id']}.{EXTENSIONS.get(row['format'] or '', '?')}"
    expect(wrong, "tar header", member_header(name, length), header)
    expect(wrong, "offset", row["offset_bytes"], stream.position)
    content = stream.read(length)
    expect(wrong, "sha256", row["sha256"], digest(content))
    expect(wrong, "padding", bytes(-length % BLOCK), stream.read(-length % BLOCK))
    json_header = stream.read(BLOCK)
    json_bytes = _octal(json_header[124:135])
    expect(wrong, "JSON header", member_header(f"{row['id']}.json", json_bytes), json_header)
    json = stream.read(json_bytes)
    expect(wrong, "JSON padding", bytes(-json_bytes % BLOCK), stream.read(-json_bytes % BLOCK))
    wrong += check_json(json, row)
    return leaf_of(row, content, json, wrong), wrong


def _octal(field: bytes) -> int:
    """A size field; 0, which the header's comparison then reports, if it is none."""
    try:
        return max(0, int(field, 8))
    except ValueError:
        return 0
