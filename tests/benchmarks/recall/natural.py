"""How near unrelated photographs come, and how many of those the thumbnails tell apart.

Copies of the photographs of one half are compared with all codes of the photographs of the other,
which come from other packages. Prints Markdown: pairs by distance, what a normal law expects, and
what is left after the thumbnails.
"""

import os
import sys
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from ingest.copies.kinds import KINDS, open_original
from ingest.evaluation_index.match import correlation_surplus
from ingest.evaluation_index.search import MIN_QUERY_TEXTURE, EvaluationIndex
from ingest.evaluation_index.variants import VARIANTS
from ingest.evaluation_index.verify import aligned_correlation, isotropy
from ingest.fingerprint import unpack_thumbnail
from ingest.inspect.decode import configure_pillow, inspect_image
from schemas.benchmarks.model import MatchRule
from tests.benchmarks.recall.__main__ import MAX_PIXELS, make_index
from tests.benchmarks.recall.originals import Original, originals

NUM_PHOTOS, COPIES = 340, 40
FARTHEST, BANDS = 92, ((0, 64), (65, 72), (73, 80), (81, 84), (85, 88), (89, 92))
MIN_ISOTROPY = 0.03

# Distance, correlation, whether the rule of a build (radius 92) would call it a copy, and the pair.
Near = tuple[int, float, bool, tuple[str, str]]


def main() -> None:
    """Compare, and print."""
    with tempfile.TemporaryDirectory() as folder:
        stored = originals("published", {"photo": NUM_PHOTOS})
        uri = make_index(stored, Path(folder), "standard", calibrate=False)
        asked = originals("tuning", {"photo": NUM_PHOTOS})
        histogram, near = np.zeros(257, np.int64), list[Near]()
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            for counts, found in pool.map(partial(compare, uri=uri), asked, chunksize=4):
                histogram += counts
                near += found
    sys.stdout.write(report(histogram, near))


def compare(original: Original, uri: str) -> tuple[np.ndarray, list[Near]]:
    """The distances of some copies of a photograph to all codes, and the near ones compared."""
    configure_pillow()
    index = EvaluationIndex.open(uri)
    codes, histogram, near = index.arrays["codes"], np.zeros(257, np.int64), []
    picture = open_original(original.content)
    for kind in list(KINDS.values())[:COPIES]:
        view = inspect_image(kind.make(picture, original.name).content, MAX_PIXELS).views[0]
        if view.texture < MIN_QUERY_TEXTURE:
            continue
        distances = np.bitwise_count(codes ^ np.frombuffer(view.code, np.uint64)).sum(axis=1)
        histogram += np.bincount(distances, minlength=257)
        places = np.flatnonzero(distances <= FARTHEST)
        seen: set[str] = set()
        for place in places[np.argsort(distances[places], kind="stable")].tolist():
            owner = index.owner_of(place)
            name = index.name_of(owner)
            if name in seen:
                continue
            seen.add(name)
            start = index.start_of(owner, VARIANTS[index.arrays["variant"][place]])
            thumbnail = np.frombuffer(view.thumbnail, np.uint8).reshape(32, 32)
            other = unpack_thumbnail(index.arrays["thumbnail"][owner])
            correlation, distance = aligned_correlation(thumbnail, other, start), distances[place]
            agree = (
                correlation_surplus(int(distance), correlation, MatchRule(), FARTHEST, 0.35) >= 0
            )
            agree = agree and (correlation >= 0.7 or isotropy(thumbnail) >= MIN_ISOTROPY)
            near.append((int(distance), correlation, agree, (original.name, name)))
    return histogram, near


def report(histogram: np.ndarray, near: list[Near]) -> str:
    """The figures as text and a table."""
    bits, pairs = np.arange(257), histogram.sum()
    mean = (histogram * bits).sum() / pairs
    deviation = np.sqrt((histogram * bits**2).sum() / pairs - mean**2)
    lines = [
        f"{pairs:,} pairs of a copy and a code; distance {mean:.2f} +- {deviation:.2f} bits",
        "",
        "| bits | looked at | of so many pairs of pictures | called copies | of so many |",
        "|---|---:|---:|---:|---:|",
    ]
    for low, high in BANDS:
        band = [one for one in near if low <= one[0] <= high]
        copies = [one for one in band if one[2]]
        named = len({one[3] for one in band}), len({one[3] for one in copies})
        lines.append(
            f"| {low}-{high} | {len(band):,} | {named[0]:,} | {len(copies)} | {named[1]} |"
        )
    names = Counter(one[3] for one in near if one[2])
    lines += ["", *(f"- {a} and {b}: {count}" for (a, b), count in names.most_common(20))]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
