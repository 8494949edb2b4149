"""Bodies whose Content-Encoding hides what they are."""

import gzip
import zlib

from ingest.miniweb.attacks.kit import Kit, jpeg
from ingest.miniweb.compression import brotli_bomb, deflate_bomb, gzip_bomb
from ingest.miniweb.site import image_page
from ingest.miniweb.wire import NOISE
from schemas.outcome import Outcome

_BOMB_BYTES = 64 << 20
_BYTES, _DECODER = "`--max-image-bytes`", "the content decoder"


def add_encodings(kit: Kit) -> None:
    """Bombs, and streams that are no streams."""
    bomb, large, bad = gzip_bomb(_BOMB_BYTES), Outcome.TOO_LARGE, Outcome.PROTOCOL
    packed = gzip.compress(jpeg(), mtime=0)
    for name, encoding, body, what, limit, outcomes in (
        ("gzip-bomb", "gzip", bomb, "64 MiB in 64 kB of gzip", _BYTES, (large,)),
        (
            "deflate-bomb",
            "deflate",
            deflate_bomb(_BOMB_BYTES),
            "the same, deflate",
            _BYTES,
            (large,),
        ),
        ("brotli-bomb", "br", brotli_bomb(640), "10 GiB in 8 kB of brotli", _BYTES, (large,)),
        (
            "gzip-gzip-bomb",
            "gzip, gzip",
            gzip.compress(bomb, mtime=0),
            "64 MiB in 300 bytes of gzip twice",
            _BYTES,
            (large,),
        ),
        (
            "brotli-in-gzip-bomb",
            "br, gzip",
            gzip.compress(brotli_bomb(64_000), mtime=0),
            "1 TiB in a few kB",
            _BYTES,
            (large,),
        ),
        (
            "gzip-cut",
            "gzip",
            packed[:-200],
            "gzip without its end",
            _DECODER,
            (bad, Outcome.CORRUPT),
        ),
        (
            "gzip-with-tail",
            "gzip",
            packed + NOISE[:500],
            "noise behind gzip",
            _DECODER,
            (bad, Outcome.KEPT),
        ),
        (
            "gzip-wrong-sum",
            "gzip",
            packed[:-8] + bytes(4) + packed[-4:],
            "gzip with a wrong checksum",
            _DECODER,
            (bad, Outcome.KEPT),
        ),
        ("gzip-untrue", "gzip", jpeg(), "no gzip, though it says so", _DECODER, (bad,)),
        ("deflate-garbage", "deflate", NOISE[:5000], "noise as deflate", _DECODER, (bad,)),
        ("brotli-garbage", "br", b"\x11" + NOISE[:5000], "noise as brotli", _DECODER, (bad,)),
        ("encoding-unknown", "x-secret", jpeg(), "an encoding nobody knows", _DECODER, (bad,)),
        ("encodings-many", ", ".join(["gzip"] * 40), jpeg(), "40 encodings", _DECODER, (bad,)),
    ):
        kit.page(
            name, image_page(body, "image/jpeg", Content_Encoding=encoding), what, limit, *outcomes
        )
    raw = zlib.compress(jpeg())[2:-4]
    page = image_page(raw, "image/jpeg", Content_Encoding="deflate")
    kept = Outcome.KEPT
    kit.page("deflate-raw", page, "deflate without its zlib frame, as some send it", _DECODER, kept)
