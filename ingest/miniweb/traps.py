"""Bodies that hurt careless crawlers: bombs, damaged files, markers that kill a decoder."""

import gzip
import random
import struct
import zlib
from collections.abc import Callable

from ingest.miniweb.pictures import web_pictures

_BLOCK_BYTES = 1 << 20


def png_bomb(side_px: int) -> bytes:
    """A valid one-bit grey PNG of `side_px` squared: small on the wire, huge in memory."""
    row_bytes = 1 + -(-side_px // 8)
    packer = zlib.compressobj(9)
    packed = [packer.compress(bytes(row_bytes * 100)) for _ in range(side_px // 100)]
    packed.append(packer.compress(bytes(row_bytes * (side_px % 100))))
    packed.append(packer.flush())
    header = struct.pack(">IIBBBBB", side_px, side_px, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", b"".join(packed)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*chunk) for chunk in chunks)


def gif_bomb() -> bytes:
    """A GIF whose header claims 65,535 x 65,535 pixels."""
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x3b"


def gzip_bomb(num_bytes: int) -> bytes:
    """`num_bytes` zeros, compressed a thousandfold."""
    return gzip.compress(bytes(num_bytes), mtime=0)


def with_marker(jpeg: bytes, text: bytes) -> bytes:
    """The same JPEG with a comment (COM segment) in front: a harmless valid file."""
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + jpeg[2:]


def corrupt_files(seed: int, count: int) -> list[bytes]:
    """`count` real files of all formats, each damaged: bytes flipped, stretches zeroed, or cut."""
    generator = random.Random(seed)
    whole = [picture.content for picture in web_pictures(seed, 60)]
    damages: tuple[Callable[[bytes, random.Random], bytes], ...] = (_flip, _zero, _cut, _shuffle)
    return [generator.choice(damages)(generator.choice(whole), generator) for _ in range(count)]


def _flip(content: bytes, generator: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(generator.randrange(1, 64)):
        damaged[generator.randrange(len(damaged))] ^= 1 << generator.randrange(8)
    return bytes(damaged)


def _zero(content: bytes, generator: random.Random) -> bytes:
    begin = generator.randrange(len(content))
    length = min(generator.randrange(1, 4096), len(content) - begin)
    return content[:begin] + bytes(length) + content[begin + length :]


def _cut(content: bytes, generator: random.Random) -> bytes:
    return content[: generator.randrange(1, len(content))]


def _shuffle(content: bytes, generator: random.Random) -> bytes:
    """A stretch moved elsewhere, as a broken download resumes."""
    middle = generator.randrange(1, len(content))
    return content[:20] + content[middle:] + content[20:middle]


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
