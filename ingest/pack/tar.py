"""Tar shards (WebDataset): `KEY.jpg` with the bytes as received, then `KEY.json`.

Headers are plain POSIX ustar with fixed owner, mode and time, so the bytes depend on the samples
alone. Source: POSIX.1-1988, section 10.1.1.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import IO

from ingest.pack.sample import Sample, WrittenShard

BLOCK = 512
_END = bytes(2 * BLOCK)
_WRITE_BYTES = 1 << 20
# mode, uid, gid | mtime | type, link name, magic, user, group, device numbers, prefix
_BEFORE_SIZE = b"0000644\x000000000\x000000000\x00"
_MTIME = b"00000000000\x00"
_AFTER_CHECKSUM = (
    b"0" + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\x000000000\x00" + bytes(167)
)
_FIXED_SUM = sum(_BEFORE_SIZE) + sum(_MTIME) + 8 * ord(" ") + sum(_AFTER_CHECKSUM)


def member_header(name: str, size: int) -> bytes:
    """The 512-byte ustar header of a regular file."""
    name_field = name.encode("ascii").ljust(100, b"\x00")
    if len(name_field) > 100 or size >= 8**11:
        raise ValueError(
            f"expected a name of <= 100 bytes and a size < 8 GiB, got {name!r}, {size}"
        )
    size_field = b"%011o\x00" % size
    checksum = b"%06o\x00 " % (sum(name_field) + sum(size_field) + _FIXED_SUM)
    return b"".join((name_field, _BEFORE_SIZE, size_field, _MTIME, checksum, _AFTER_CHECKSUM))


def write_tar(samples: Iterable[Sample], file: IO[bytes]) -> WrittenShard:
    """Write a shard of samples in the given order; the same samples give the same bytes."""
    digest, pending, pending_bytes = sha256(), list[bytes](), 0
    position, offsets, leaves = 0, list[int](), list[bytes]()

    def flush() -> None:
        nonlocal pending_bytes
        block = b"".join(pending)
        pending.clear()
        pending_bytes = 0
        digest.update(block)
        file.write(block)

    for sample in samples:
        members = (
            member_header(f"{sample.id}.{sample.extension}", len(sample.image)),
            sample.image,
            bytes(-len(sample.image) % BLOCK),
            member_header(f"{sample.id}.json", len(sample.provenance)),
            sample.provenance,
            bytes(-len(sample.provenance) % BLOCK),
        )
        offsets.append(position + BLOCK)
        leaves.append(sample.leaf())
        pending.extend(members)
        num_bytes = sum(map(len, members))
        position, pending_bytes = position + num_bytes, pending_bytes + num_bytes
        if pending_bytes >= _WRITE_BYTES:
            flush()
    pending.append(_END)
    flush()
    return WrittenShard(position + len(_END), digest.hexdigest(), offsets, leaves)
