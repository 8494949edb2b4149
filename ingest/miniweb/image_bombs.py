"""Small image files that claim or unfold to more than a machine has."""

import io
import struct
import zlib
from functools import cache

from PIL import Image

from ingest.miniweb.pictures import drawn_jpeg

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_ROWS = 100
_BITS = 14
_TIFF_LONG, _TIFF_SHORT = 4, 3


def png_bomb(side_px: int) -> bytes:
    """A valid one-bit grey PNG of `side_px` squared: small on the wire, huge in memory."""
    return png_of(side_px, side_px)


@cache
def png_of(width_px: int, height_px: int) -> bytes:
    """A valid black one-bit PNG."""
    row_bytes = 1 + -(-width_px // 8)
    packer = zlib.compressobj(9)
    packed = [packer.compress(bytes(row_bytes * _ROWS)) for _ in range(height_px // _ROWS)]
    packed.append(packer.compress(bytes(row_bytes * (height_px % _ROWS))))
    packed.append(packer.flush())
    header = struct.pack(">IIBBBBB", width_px, height_px, 1, 0, 0, 0, 0)
    return _png((b"IHDR", header), (b"IDAT", b"".join(packed)))


def png_with_chunk(kind: bytes, data: bytes) -> bytes:
    """A black PNG of 64 x 64 with one more chunk in front of its pixels."""
    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    return _png((b"IHDR", header), (kind, data), (b"IDAT", zlib.compress(bytes(65 * 64))))


def png_text_bomb(num_bytes: int) -> bytes:
    """A PNG with a zTXt chunk that unfolds to so many bytes."""
    return png_with_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(num_bytes), 9))


def png_profile_bomb(num_bytes: int) -> bytes:
    """A PNG with a colour profile that unfolds to so many bytes."""
    return png_with_chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(num_bytes), 9))


def gif_bomb() -> bytes:
    """A GIF whose header claims 65,535 x 65,535 pixels."""
    return b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x3b"


def gif_of_frames(num_frames: int, side_px: int = 1) -> bytes:
    """A GIF of so many frames of one pixel on a canvas of `side_px` squared."""
    screen = struct.pack("<HHBBB", side_px, side_px, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + screen + frame * num_frames + b"\x3b"


def webp_bomb(side_px: int) -> bytes:
    """A WebP whose canvas is `side_px` squared, around a picture of 16 x 16 (RFC 9649)."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "WEBP", lossless=True)
    frame = buffer.getvalue()[12:]
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (side_px - 1).to_bytes(3, "little") * 2
    body = b"WEBP" + extended + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_bomb(width_px: int, height_px: int, strip_bytes: int, loop: bool = False) -> bytes:
    """A little grey TIFF that claims a size and a strip length; `loop`: page two is page one."""
    pixels = bytes(range(256)) * 16
    tags = (
        (256, _TIFF_LONG, width_px),
        (257, _TIFF_LONG, height_px),
        (258, _TIFF_SHORT, 8),
        (259, _TIFF_SHORT, 1),
        (262, _TIFF_SHORT, 1),
        (273, _TIFF_LONG, 8),
        (277, _TIFF_SHORT, 1),
        (278, _TIFF_LONG, height_px),
        (279, _TIFF_LONG, strip_bytes),
    )
    begin = 8 + len(pixels)
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", begin if loop else 0)
    return b"II*\0" + struct.pack("<I", begin) + pixels + directory


def bmp_bomb(side_px: int) -> bytes:
    """A BMP header that claims `side_px` squared."""
    header = struct.pack("<IiiHHIIiiII", 40, side_px, side_px, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 100, 0, 0, 54) + header + bytes(100)


def ico_bomb(side_px: int) -> bytes:
    """An icon that says 16 x 16 and holds a PNG bomb."""
    png = png_bomb(side_px)
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(png), 22)
    return b"\0\0\x01\0\x01\0" + entry + png


def jpeg_claiming(side_px: int) -> bytes:
    """A JPEG with the scan of a small picture that claims to be `side_px` squared."""
    content = bytearray(drawn_jpeg(96))
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = struct.pack(">HH", side_px, side_px)
    return bytes(content)


def jpeg_scan_bomb(side_px: int, num_scans: int) -> bytes:
    """A valid progressive grey JPEG of `side_px` squared with up to 882 scans of every block.

    Each scan sends one more bit of one coefficient, and says "nothing here" for 16,384 blocks in
    15 bits: a hundred bytes let a decoder visit a million blocks. Source: ITU-T T.81, annex G.
    """
    blocks = (-(-side_px // 8)) ** 2
    parts = [b"\xff\xd8", _segment(0xDB, b"\0" + b"\x01" * 64)]
    parts.append(_segment(0xC2, struct.pack(">BHHB", 8, side_px, side_px, 1) + b"\x01\x11\0"))
    # One code of one bit in each table: "difference 0", and "a run of 2^14 empty blocks or more".
    one_code = b"\x01" + bytes(15)
    parts.append(_segment(0xC4, b"\x00" + one_code + b"\x00"))
    parts.append(_segment(0xC4, b"\x10" + one_code + b"\xe0"))
    parts.append(_segment(0xDA, b"\x01\x01\x00\x00\x00\x00") + bytes(-(-blocks // 8)))
    runs = bytes(-(-15 * -(-blocks // (1 << 14)) // 8))
    steps = [(0, _BITS - 1), *((bit, bit - 1) for bit in range(_BITS - 1, 0, -1))]
    scans = [(place, *step) for place in range(1, 64) for step in steps]
    for place, high, low in scans[:num_scans]:
        parts.append(_segment(0xDA, bytes((1, 1, 0, place, place, high << 4 | low))) + runs)
    return b"".join([*parts, b"\xff\xd9"])


def jpeg_with_exif(jpeg: bytes, tag: int, kind: int, value: bytes, count: int = 1) -> bytes:
    """The JPEG with an EXIF directory of one entry, whose four value bytes are an offset or not.

    Behind the directory, at offset 26, lies the fraction 6/1; the next directory is the same one.
    """
    entry = struct.pack("<HHI", tag, kind, count) + value
    tiff = b"II*\0\x08\0\0\0" + b"\x01\0" + entry + b"\x08\0\0\0" + struct.pack("<II", 6, 1)
    return jpeg[:2] + _segment(0xE1, b"Exif\0\0" + tiff) + jpeg[2:]


def avif_with_box_of(num_bytes: int) -> bytes:
    """An AVIF whose `meta` box claims so many bytes."""
    brand = b"avif" + bytes(4) + b"avifmif1"
    start = struct.pack(">I", 8 + len(brand)) + b"ftyp" + brand
    return start + struct.pack(">I", num_bytes) + b"meta" + bytes(100)


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    pieces = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (*chunks, (b"IEND", b""))
    ]
    return _PNG_MAGIC + b"".join(pieces)


def _segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data
