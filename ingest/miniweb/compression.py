"""Compressed bodies that are small on the wire and huge behind it."""

import gzip
import zlib
from collections.abc import Iterator

_BROTLI_BLOCK_BYTES = 1 << 24
_INSERT_CODE_23_BYTES = 22_594


def gzip_bomb(num_bytes: int) -> bytes:
    """`num_bytes` zeros, compressed a thousandfold."""
    return gzip.compress(bytes(num_bytes), mtime=0)


def deflate_bomb(num_bytes: int) -> bytes:
    """`num_bytes` zeros as a zlib stream."""
    return zlib.compress(bytes(num_bytes), 9)


def brotli_bomb(num_blocks: int) -> bytes:
    """`num_blocks` times 16 MiB of zeros, in 13 bytes each, written without a compressor.

    Each alphabet of a meta-block has one symbol, so that its codes have no bits: one command then
    inserts 16 MiB of one literal. Source: RFC 7932, sections 3.4, 5, 9.
    """
    block = "".join(map(str, reversed(list(_meta_block()))))
    window, end = "0", "11"  # WBITS: 16 bits. ISLAST and ISLASTEMPTY.
    bits = end + block * num_blocks + window  # The first bit stands last.
    return int(bits, 2).to_bytes(-(-len(bits) // 8), "little")


def _meta_block() -> Iterator[int]:
    yield from _bits(0, 1)  # ISLAST
    yield from _bits(2, 2)  # MNIBBLES: six.
    yield from _bits(_BROTLI_BLOCK_BYTES - 1, 24)  # MLEN - 1
    yield from _bits(0, 1)  # ISUNCOMPRESSED
    yield from _bits(0, 3)  # One block type of literals, of commands, of distances.
    yield from _bits(0, 6)  # NPOSTFIX, NDIRECT
    yield from _bits(0, 2)  # Context mode of the literals.
    yield from _bits(0, 2)  # One prefix tree of literals, and of distances.
    yield from _one_symbol(0, 8)  # The literal: zero.
    yield from _one_symbol(504, 10)  # The command: insert length code 23, copy length code 0.
    yield from _one_symbol(0, 6)  # The distance, which is never used.
    yield from _bits(_BROTLI_BLOCK_BYTES - _INSERT_CODE_23_BYTES, 24)


def _one_symbol(symbol: int, width: int) -> Iterator[int]:
    """A simple prefix code (section 3.4) of one symbol."""
    yield from _bits(1, 2)
    yield from _bits(0, 2)
    yield from _bits(symbol, width)


def _bits(value: int, width: int) -> Iterator[int]:
    """Bits of a number, the lowest first."""
    for place in range(width):
        yield value >> place & 1
