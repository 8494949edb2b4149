"""Damaged files, and markers that kill a test's decoder."""

import random
import struct
from collections.abc import Callable

from ingest.miniweb.pictures import web_pictures


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
