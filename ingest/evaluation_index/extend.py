"""A finished index -> the fingerprints that it was made of, for another index to take over."""

import numpy as np
from numpy.typing import NDArray

from ingest.evaluation_index.fingerprints import Fingerprints
from ingest.evaluation_index.search import EvaluationIndex
from schemas.evaluation import ProtectedImage


def fingerprints_of(index: EvaluationIndex) -> Fingerprints:
    """The rows that made an index, without the codes that its calibration demoted."""
    arrays = index.arrays
    num_images = len(arrays["aspect"])
    names = [index.name_of(owner) for owner in range(num_images)]
    sets = [set_name for set_name, record in sorted(index.manifest.sets.items())
            for _ in range(record.num_images)]  # fmt: skip
    codes_of = index.codes_of()
    pixels: list[bytes | None] = [None] * num_images
    for owner, digest in zip(arrays["pixels_owner"].tolist(), arrays["pixels"], strict=True):
        pixels[owner] = digest.tobytes()
    columns = {
        "set": sets,
        "name": [name[len(one) + 1 :] for name, one in zip(names, sets, strict=True)],
        "sha256": _by_owner(arrays["sha256"], arrays["sha256_owner"]),
        "pixels_sha256": pixels,
        "aspect": arrays["aspect"].tolist(),
        "box": arrays["box"].tolist(),
        "thumbnail": [one.tobytes() for one in arrays["thumbnail"]],
        "codes": _pieces(arrays["codes"].tobytes(), codes_of * 32),
        "variants": _pieces(arrays["variant"].tobytes(), codes_of),
        "num_flat": arrays["num_flat"].tolist(),
        "descriptor": [one.tobytes() for one in arrays["descriptor"]],
    }
    return Fingerprints(ProtectedImage.columns_to_table(columns), index.canaries)


def _by_owner(digests: NDArray[np.uint8], owners: NDArray[np.uint32]) -> list[bytes]:
    ordered = np.empty_like(digests)
    ordered[owners] = digests
    return [one.tobytes() for one in ordered]


def _pieces(joined: bytes, lengths: NDArray[np.int64]) -> list[bytes]:
    ends = np.cumsum(lengths).tolist()
    return [joined[end - length : end] for end, length in zip(ends, lengths.tolist(), strict=True)]
