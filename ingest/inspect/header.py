"""What the first bytes of a file tell, before any decoder sees it."""

import re

# Nothing in it is tried twice: comments that may begin an SVG would take for ever.
_SVG = re.compile(
    rb"(\xef\xbb\xbf)?+\s*+(<\?xml[^>]*+>\s*+)?+((?><!--.*?-->)\s*+)*+"
    rb"(<!DOCTYPE svg[^>]*+>\s*+)?+<svg\b",
    re.DOTALL,
)
_BMP_HEADER_BYTES = frozenset({12, 40, 52, 56, 64, 108, 124})
_MAGIC = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"II+\x00", "tiff"),
    (b"MM\x00+", "tiff"),
    (b"\x00\x00\x01\x00", "ico"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"8BPS", "psd"),
    (b"\xff\x0a", "jxl"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "jxl"),
)
_MAX_ICONS = 256
_FTYP_BRANDS = {b"avif": "avif", b"avis": "avif"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"mif1", b"msf1"}


def sniff_format(content: bytes) -> str | None:
    """The image format by the first bytes, decoded here or not; None if it is no image format."""
    head = content[:64]
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_BYTES:
        return "bmp"
    if head[4:8] == b"ftyp":
        return _sniff_ftyp(head)
    return "svg" if _SVG.match(content[:2048]) else None


def _sniff_ftyp(head: bytes) -> str | None:
    box_bytes = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12]] + [head[i : i + 4] for i in range(16, box_bytes - 3, 4)]
    for brand in brands:
        if brand in _FTYP_BRANDS:
            return _FTYP_BRANDS[brand]
    return "heif" if any(brand in _HEIF_BRANDS for brand in brands) else None


def declared_size(content: bytes, image_format: str) -> tuple[int, int] | None:
    """Width and height where Pillow would take memory before it tells them; None elsewhere."""
    if image_format == "webp":
        return webp_size(content)
    if image_format == "ico":
        return ico_size(content)
    if image_format == "gif" and len(content) >= 10:
        return int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")
    return None


def webp_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a WebP by its first chunk; None if it is malformed.

    Pillow allocates two canvases when it opens a WebP, so its size is read here first. Source:
    RFC 9649, sections 2.5 to 2.7.
    """
    kind, data = content[12:16], content[20:30]
    if len(data) < 10:
        return None
    if kind == b"VP8X":
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if kind == b"VP8L" and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        width, height = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
        return width & 0x3FFF, height & 0x3FFF
    return None


def ico_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of the largest picture in an ICO; None if it holds none.

    Pillow decodes it when it opens the file. A picture is a PNG, or a BMP without its file header.
    """
    sizes = []
    count = int.from_bytes(content[4:6], "little")
    for entry in range(6, 6 + 16 * min(count, _MAX_ICONS), 16):
        begin = int.from_bytes(content[entry + 12 : entry + 16], "little")
        head = content[begin : begin + 24]
        if head.startswith(b"\x89PNG"):
            sizes.append((int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")))
        else:
            width, height = head[4:8], head[8:12]
            sizes.append((int.from_bytes(width, "little"), int.from_bytes(height, "little") // 2))
    return max(sizes, key=lambda size: size[0] * size[1], default=None)
