"""Which way up a JPEG, PNG or WebP is, out of its EXIF data, without a decoder.

Pillow needs a third of a millisecond for it, warns of damage, and decodes the whole of a PNG.
Damaged EXIF is no EXIF: as in browsers, the picture is then shown as it is.
Sources: Exif 2.32, section 4.5 and 4.6; PNG, third edition, 11.3.4.5; RFC 9649, section 2.7.
"""

import struct
from collections.abc import Iterator

_ORIENTATION = 0x0112
_BYTE_ORDERS = {b"II*\x00": "<", b"MM\x00*": ">"}
# SHORT, as it should be, and LONG.
_KINDS = {3: "H", 4: "I"}
_PREFIX = b"Exif\x00\x00"
_APP1, _SCAN, _END = 0xE1, 0xDA, 0xD9


def orientation_of(content: bytes) -> int:
    """EXIF's orientation, 1 to 8, of a JPEG, PNG or WebP; 1 if there is none."""
    try:
        return _parse(next(_exif_data(content), b""))
    except struct.error:
        return 1


def _exif_data(content: bytes) -> Iterator[bytes]:
    if content[:2] == b"\xff\xd8":
        return _in_jpeg(content)
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return _in_png(content)
    if content[:4] == b"RIFF" and content[12:16] == b"VP8X":
        return _in_webp(content)
    return iter(())


def _in_jpeg(content: bytes) -> Iterator[bytes]:
    at = 2
    # Bytes of 255 may fill up before a marker.
    while content[at : at + 1] == b"\xff":
        marker = content[at + 1] if at + 1 < len(content) else _END
        if marker in (_SCAN, _END):
            return
        if marker == 0xFF:
            at += 1
            continue
        (length,) = struct.unpack_from(">H", content, at + 2)
        if marker == _APP1 and content.startswith(_PREFIX, at + 4):
            yield content[at + 4 : at + 2 + length]
        at += 2 + length


def _in_png(content: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        if content.startswith(b"eXIf", at + 4):
            yield content[at + 8 : at + 8 + length]
        at += 12 + length


def _in_webp(content: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(content):
        (length,) = struct.unpack_from("<I", content, at + 4)
        if content.startswith(b"EXIF", at):
            yield content[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _parse(exif: bytes) -> int:
    """The orientation in the first directory of a TIFF header; raises struct.error if cut off."""
    exif = exif.removeprefix(_PREFIX)
    order = _BYTE_ORDERS.get(exif[:4])
    if order is None:
        return 1
    (at,) = struct.unpack_from(f"{order}I", exif, 4)
    (num_entries,) = struct.unpack_from(f"{order}H", exif, at)
    for number in range(num_entries):
        tag, kind = struct.unpack_from(f"{order}HH", exif, at + 2 + 12 * number)
        if tag == _ORIENTATION and kind in _KINDS:
            (value,) = struct.unpack_from(order + _KINDS[kind], exif, at + 10 + 12 * number)
            return int(value) if 1 <= value <= 8 else 1
    return 1
