"""The fingerprint of an image: digests of its bytes and pixels, and views that are looked up.

The hash of a view is that of `imagehash.phash(hash_size=16)` on the same 64x64 luma: signs of the
16x16 lowest DCT coefficients against their median (Zauner 2010, "Implementation and benchmarking of
perceptual image hash functions", section 3.1). Index and crawl use this one function, so a hash
means the same on both sides; `schemas.manifest.FINGERPRINT_VERSION` changes with it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LUMA_PX = 64
THUMBNAIL_PX, PACKED_THUMBNAIL_BYTES = 32, 768
HASH_BITS = 256
# One grey level of pixel noise moves an unnormalised coefficient by about this much.
NOISE = 128.0
_PACKED_BITS, _HALF_STEP = 6, np.uint8(2)

Luma = NDArray[np.uint8]


def _dct_rows() -> NDArray[np.float64]:
    """The first 16 rows of the unnormalised 64-point DCT-II, as scipy.fftpack computes it."""
    k, n = np.arange(16)[:, None], np.arange(LUMA_PX)[None, :]
    return 2.0 * np.cos(np.pi * k * (2 * n + 1) / (2 * LUMA_PX))


_DCT = _dct_rows()


@dataclass(frozen=True)
class View:
    """One look at a picture.

    code: 32 bytes, the bits of the hash row by row, most significant first.
    texture: how many coefficients, 0 to 256, are further than pixel noise from the median: below
    about 128 the picture is so flat or symmetric that its hash matches strangers.
    certainty: 256 bytes, how far each coefficient is from the median; 0: its bit is a guess.
    thumbnail: 1,024 bytes, the luma at 32x32, row by row.
    """

    code: bytes
    texture: int
    certainty: bytes
    thumbnail: bytes


def view_of(luma: Luma) -> View:
    """The view of a uint8 [64, 64] luma; raises ValueError for another shape."""
    distance = _distances(luma)
    size = np.abs(distance)
    return View(
        code=np.packbits(distance > 0).tobytes(),
        texture=int(np.count_nonzero(size > NOISE)),
        # The square root is exact on every CPU, and keeps the order of small distances.
        certainty=np.minimum(np.sqrt(size / 16.0), 255.0).astype(np.uint8).tobytes(),
        thumbnail=thumbnail(luma).tobytes(),
    )


def code_of(luma: Luma) -> tuple[bytes, int]:
    """`code` and `texture` of the view of a luma: all that an index keeps of most variants."""
    distance = _distances(luma)
    texture = int(np.count_nonzero(np.abs(distance) > NOISE))
    return np.packbits(distance > 0).tobytes(), texture


def thumbnail(luma: Luma) -> Luma:
    """The uint8 [32, 32] means of 2x2 pixels of a uint8 [64, 64] luma, rounded."""
    rows = luma[::2].astype(np.uint16) + luma[1::2]
    return ((rows[:, ::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)


def pack_thumbnail(luma: bytes) -> bytes:
    """The upper 6 bits of 1,024 luma bytes in 768 bytes: a verifier sees no difference."""
    bits = np.unpackbits(np.frombuffer(luma, np.uint8)).reshape(-1, 8)
    return np.packbits(bits[:, :_PACKED_BITS]).tobytes()


def unpack_thumbnail(packed: NDArray[np.uint8]) -> Luma:
    """The uint8 [32, 32] luma of 768 packed bytes, each in the middle of what it stood for."""
    bits = np.unpackbits(packed).reshape(-1, _PACKED_BITS)
    luma = np.packbits(bits, axis=1).reshape(THUMBNAIL_PX, THUMBNAIL_PX)
    return luma | _HALF_STEP


def _distances(luma: Luma) -> NDArray[np.float64]:
    """The 256 lowest coefficients of a luma, row by row, each less their median."""
    if luma.shape != (LUMA_PX, LUMA_PX):
        raise ValueError(f"expected luma of shape (64, 64), got {luma.shape}")
    # Rounding far below the noise makes exact ties (flat or symmetric images) the same on all CPUs.
    coefficients = np.round(_DCT @ luma.astype(np.float64) @ _DCT.T, 3).ravel()
    # The median of 256 values, without np.median's overhead.
    middle = np.partition(coefficients, (127, 128))[127:129]
    distances: NDArray[np.float64] = coefficients - middle.mean()
    return distances
