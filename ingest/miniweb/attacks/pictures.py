"""Pictures that want more memory or time than they are worth, and files that only look like one."""

import struct

from ingest.miniweb import image_bombs as bombs
from ingest.miniweb import polyglots
from ingest.miniweb.attacks.kit import Kit, jpeg
from ingest.miniweb.site import image_page
from schemas.outcome import Outcome

_PIXELS, _TIME = "`--max-pixels`", "`--decode-timeout-s`"
_MEMORY, _SNIFF = "`--decoder-memory-mib`", "the sniffed type"
_DECODER = "the decoder"
_TEXT_BYTES = 128 << 20


def add_pictures(kit: Kit) -> None:
    """All files that the inspection has to survive."""
    _add_sizes(kit)
    _add_costs(kit)
    _add_metadata(kit)
    _add_polyglots(kit)


def _add(kit: Kit, name: str, content: bytes, what: str, limit: str, *outcomes: Outcome) -> None:
    kit.page(name, image_page(content, "image/jpeg"), what, limit, *outcomes)


def _add_sizes(kit: Kit) -> None:
    """Files that say how large they are."""
    pixels, corrupt = Outcome.TOO_MANY_PIXELS, Outcome.CORRUPT
    for name, content, what in (
        ("png-bomb", bombs.png_bomb(50_000), "a PNG of 2.5 Gpx, 305 kB"),
        ("gif-bomb", bombs.gif_bomb(), "a GIF header of 4.3 Gpx"),
        ("webp-bomb", bombs.webp_bomb(16_384), "a WebP canvas of 268 Mpx around 16 x 16"),
        ("bmp-bomb", bombs.bmp_bomb(2**31 - 1), "a BMP header of 2^62 pixels"),
        ("jpeg-bomb", bombs.jpeg_claiming(65_535), "a JPEG header of 4.3 Gpx, a scan of 96 x 96"),
        ("tiff-bomb", bombs.tiff_bomb(2**31, 2**31, 4096), "a TIFF of 2^62 pixels"),
    ):
        _add(kit, name, content, what, _PIXELS, pixels)
    icon = bombs.ico_bomb(50_000)
    words = (pixels, Outcome.DECODER_MEMORY)
    _add(kit, "ico-bomb", icon, "an icon of 16 x 16 with a PNG of 2.5 Gpx", _PIXELS, *words)
    flat = bombs.tiff_bomb(0, 0, 4096)
    _add(kit, "tiff-without-size", flat, "a TIFF of no pixels", _DECODER, corrupt)
    spent = (Outcome.KEPT, Outcome.DECODER_TIMEOUT, Outcome.DECODER_MEMORY)
    thin = bombs.png_of(90_000_000, 1)
    _add(kit, "png-thin", thin, "a PNG of 90,000,000 x 1", _TIME, *spent)
    wrap = bombs.tiff_bomb(65_536, 65_536, 4096)
    _add(kit, "tiff-wrap", wrap, "a TIFF of 2^32 pixels, 0 to a careless product", _PIXELS, pixels)


def _add_costs(kit: Kit) -> None:
    """Files of modest size that cost much."""
    corrupt, kept, slow = Outcome.CORRUPT, Outcome.KEPT, Outcome.DECODER_TIMEOUT
    text, profile = bombs.png_text_bomb(_TEXT_BYTES), bombs.png_profile_bomb(_TEXT_BYTES)
    _add(kit, "png-text-bomb", text, "128 MiB of text in 128 kB", "64 MiB of text", corrupt, kept)
    _add(kit, "png-profile-bomb", profile, "a profile of 128 MiB", "64 MiB of text", corrupt, kept)
    scans = bombs.jpeg_scan_bomb(9600, 882)
    _add(kit, "jpeg-scan-bomb", scans, "a progressive JPEG of 882 scans", _TIME, slow, corrupt)
    frames = bombs.gif_of_frames(100_000)
    _add(kit, "gif-frames", frames, "a GIF of 100,000 frames", _TIME, kept, slow)
    canvas = bombs.gif_of_frames(3000, 9000)
    _add(kit, "gif-canvas", canvas, "3,000 frames of a pixel on 81 Mpx", _TIME, kept, slow)
    loop = bombs.tiff_bomb(64, 64, 4096, loop=True)
    _add(kit, "tiff-loop", loop, "a TIFF whose second page is its first", _DECODER, kept, corrupt)
    strip = bombs.tiff_bomb(64, 64, 2**32 - 1)
    _add(kit, "tiff-strip", strip, "a TIFF strip of 4 GiB", _DECODER, kept, corrupt)
    hollow = bombs.tiff_bomb(9000, 9000, 2**32 - 1)
    _add(kit, "tiff-hollow", hollow, "an 81 Mpx TIFF with 4 kB of pixels", _DECODER, corrupt)
    for name, size in (("huge", 0xFFFFFFF0), ("tiny", 3), ("endless", 0)):
        box = bombs.avif_with_box_of(size)
        _add(kit, f"avif-box-{name}", box, f"an AVIF box of {size:,} bytes", _DECODER, corrupt)
    heif = bombs.avif_with_box_of(0xFFFFFFF0).replace(b"avif", b"heic")
    _add(kit, "heif-box-huge", heif, "a HEIF box of 4 GiB", _SNIFF, Outcome.UNSUPPORTED_FORMAT)


def _add_metadata(kit: Kit) -> None:
    """Good pictures whose metadata is odd: a bad tag is no bad image."""
    offset, itself = (26).to_bytes(4, "little"), (8).to_bytes(4, "little")
    for name, entry, what in (
        ("exif-fraction", (0x0112, 5, offset), "an orientation of 6/1"),
        ("exif-far", (0x0112, 5, b"\xff" * 4), "an orientation at offset 4 Gi"),
        ("exif-many", (0x0112, 3, offset, 2**31), "2^31 orientations"),
        ("exif-letters", (0x0112, 2, b"six\0", 4), "an orientation in letters"),
        ("exif-circle", (0x8769, 4, itself), "an EXIF directory that holds itself"),
        ("exif-date-number", (0x0132, 3, offset), "a date that is a number"),
    ):
        content = bombs.jpeg_with_exif(jpeg(), *entry)
        _add(kit, name, content, f"EXIF: {what}", "only a warning", Outcome.KEPT)
    frames = bombs.png_with_chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    words = (Outcome.KEPT, Outcome.CORRUPT)
    _add(kit, "apng-frames", frames, "a PNG that claims 2^31 frames", "the decoder", *words)


def _add_polyglots(kit: Kit) -> None:
    corrupt, kept, nothing = Outcome.CORRUPT, Outcome.KEPT, Outcome.NOT_AN_IMAGE
    drawing = (Outcome.UNSUPPORTED_FORMAT, nothing)
    png = bombs.png_with_chunk(b"tEXt", b"Comment\0hello")
    whole = "bytes as received"
    for name, content, what, limit, outcomes in (
        ("jpeg-zip", polyglots.jpeg_and_zip(jpeg()), "a JPEG, then a ZIP", whole, (kept,)),
        ("png-tar", polyglots.png_and_tar(png), "a PNG, then a tar", whole, (kept,)),
        ("gif-script", polyglots.gif_and_script(), "a GIF that is a script", whole, (kept,)),
        ("jpeg-html", polyglots.html_inside_jpeg(jpeg()), "a page in a JPEG", whole, (kept,)),
        ("html-jpeg", polyglots.html_behind_jpeg(), "JPEG's first bytes", _DECODER, (corrupt,)),
        ("svg-laughs", polyglots.svg_of_laughs(), "a billion laughs", _SNIFF, drawing),
        ("svg-file", polyglots.svg_of_file(), "an SVG with /etc/passwd in it", _SNIFF, drawing),
        (
            "svg-comments",
            polyglots.comments_without_svg(),
            "comments that may begin an SVG",
            _SNIFF,
            (nothing, Outcome.UNSUPPORTED_FORMAT),
        ),
    ):
        _add(kit, name, content, what, limit, *outcomes)
