"""How fast a new benchmark is looked for among the hashes of a ledger.

    python -m tests.benchmarks.stored_hashes INDEX

Made-up ledger rows of kept images, as `decontaminate` reads them, against a real index. No pixels
are read, since hardly any of these strangers is near an evaluation image.
"""

import argparse
import sys
import time

import numpy as np
import pyarrow as pa

from ingest.decontaminate import stored_queries
from ingest.evaluation_index.search import EvaluationIndex
from schemas.options import MatchOptions

BATCH = 8192


def main() -> None:
    """Print CPU seconds for a million hashes, and how many became suspects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", help="an evaluation index")
    parser.add_argument("--hashes", type=int, default=1_000_000)
    options = parser.parse_args()
    index = EvaluationIndex.open(options.index)
    rows = made_up_rows(BATCH, np.random.default_rng(0))
    index.match(stored_queries(rows), MatchOptions())
    cost_s, suspects = 0.0, 0
    for start in range(0, options.hashes, BATCH):
        rows = made_up_rows(BATCH, np.random.default_rng(start))
        began = time.process_time()
        found = index.match(stored_queries(rows), MatchOptions())
        cost_s += time.process_time() - began
        suspects += sum(match is not None for match in found)
    sys.stdout.write(
        f"{options.hashes:,} hashes against {len(index.arrays['codes']):,} codes: "
        f"{cost_s:.1f} CPU s; {suspects:,} suspects\n"
    )


def made_up_rows(count: int, generator: np.random.Generator) -> pa.Table:
    """Rows of a ledger with random hashes."""
    digests = [generator.bytes(32).hex() for _ in range(count)]
    return pa.table(
        {
            "id": [digest[:32] for digest in digests],
            "sha256": digests,
            "pixels_sha256": [generator.bytes(32).hex() for _ in range(count)],
            "phash": [generator.bytes(32).hex() for _ in range(count)],
            "texture": pa.array([240] * count, pa.uint16()),
            "trimmed_phash": pa.array([None] * count, pa.string()),
            "offset_bytes": [0] * count,
            "length_bytes": [0] * count,
        }
    )


if __name__ == "__main__":
    main()
