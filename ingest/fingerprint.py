"""The fingerprint of an image: SHA-256 of its bytes, and a versioned 256-bit perceptual hash.

The hash is that of `imagehash.phash(hash_size=16)` on the same 64x64 luma: signs of the 16x16
lowest DCT coefficients against their median (Zauner 2010, "Implementation and benchmarking of
perceptual image hash functions", section 3.1). Index and crawl use this one function, so a hash
means the same on both sides; `schemas.manifest.FINGERPRINT_VERSION` changes with it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LUMA_PX = 64
HASH_BITS = 256
# One grey level of pixel noise moves an unnormalised coefficient by about this much.
NOISE = 128.0


def _dct_rows() -> NDArray[np.float64]:
    """The first 16 rows of the unnormalised 64-point DCT-II, as scipy.fftpack computes it."""
    k, n = np.arange(16)[:, None], np.arange(LUMA_PX)[None, :]
    return 2.0 * np.cos(np.pi * k * (2 * n + 1) / (2 * LUMA_PX))


_DCT = _dct_rows()


@dataclass(frozen=True)
class PerceptualHash:
    """A 256-bit code and how far to trust it."""

    code: bytes
    texture: int


def perceptual_hash(luma: NDArray[np.uint8]) -> PerceptualHash:
    """The hash of a uint8 [64, 64] luma: 32 bytes, row by row, most significant bit first.

    `texture` counts the coefficients, 0 to 256, that are further than pixel noise from the median:
    below about 128 the image is so flat or symmetric that its hash matches strangers.
    """
    if luma.shape != (LUMA_PX, LUMA_PX):
        raise ValueError(f"expected luma of shape (64, 64), got {luma.shape}")
    # Rounding far below the noise makes exact ties (flat or symmetric images) the same on all CPUs.
    coefficients = np.round(_DCT @ luma.astype(np.float64) @ _DCT.T, 3)
    # The median of 256 values, without np.median's overhead.
    middle = np.partition(coefficients.ravel(), (127, 128))[127:129]
    distance = coefficients - middle.mean()
    code = np.packbits(distance.ravel() > 0).tobytes()
    return PerceptualHash(code, int(np.count_nonzero(np.abs(distance) > NOISE)))
