"""Indexes of made-up codes and digests, and queries for them."""

import numpy as np
from hypothesis import strategies as st

from ingest.evaluation_index.build import IndexContent
from ingest.evaluation_index.fingerprints import Fingerprints
from ingest.evaluation_index.match import Query
from ingest.fingerprint import View, pack_thumbnail
from schemas.evaluation import Canary, ProtectedImage
from schemas.options import MatchOptions
from tests.ingest.evaluation_index.conftest import Workbench

NOWHERE = b"\xff" * 32
THUMBNAILS = [np.random.default_rng(seed).bytes(1024) for seed in range(4)]
codes_32 = st.binary(min_size=32, max_size=32)


def image(number, codes=(), sha256=None, pixels=None, thumbnail=0, set_name="s"):
    """A made-up evaluation image `set_name/number` with these codes, one for each variant."""
    return ProtectedImage(
        set=set_name,
        name=f"{number:03d}",
        sha256=sha256 or number.to_bytes(32),
        pixels_sha256=pixels or number.to_bytes(32),
        aspect=1.0,
        box=(0.0, 0.0, 1.0, 1.0),
        thumbnail=pack_thumbnail(THUMBNAILS[thumbnail]),
        descriptor=b"",
        codes=b"".join(codes),
        variants=bytes(range(len(codes))),
        num_flat=0,
    )


def index_of(images, **rules):
    tables = ProtectedImage.to_table(list(images)), Canary.to_table([])
    content = IndexContent(Fingerprints(*tables), num_canaries=0, profiles=["small"], rules=rules)
    return Workbench.opened(content)


def of_codes(codes, each=2):
    """An index of these codes, so many for each image, whose thumbnails differ."""
    starts = range(0, len(codes), each)
    return index_of(
        image(number, codes[start : start + each], thumbnail=number % 4)
        for number, start in enumerate(starts)
    )


def view(code, thumbnail=0, texture=256, certainty=bytes([9] * 256)):
    return View(code, texture, certainty, b"" if thumbnail is None else THUMBNAILS[thumbnail])


def query(*codes, sha256=NOWHERE, pixels=NOWHERE, **of_view):
    return Query(sha256, pixels, tuple(view(code, **of_view) for code in codes))


def look_up(index, *queries, **options):
    return index.match(queries, MatchOptions(**options))


def flipped(code, num_bits, seed):
    """The code with this many bits changed, at random places or all in one half."""
    chosen = np.random.default_rng(seed).permutation(256 if seed % 2 else 128)[:num_bits]
    bits = np.unpackbits(np.frombuffer(code, np.uint8))
    bits[chosen] ^= 1
    return np.packbits(bits).tobytes()


def distance(one, other):
    return (int.from_bytes(one) ^ int.from_bytes(other)).bit_count()
