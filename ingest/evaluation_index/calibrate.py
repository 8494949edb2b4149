"""Hub calibration: codes that match many ordinary images are no evidence, and are demoted.

Half of a background of ordinary images finds the hubs; the other half, which had no say, then tells
how many strangers are still called copies.
"""

import logging
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import pyarrow as pa

from ingest.errors import InspectError
from ingest.evaluation_index.build import IndexContent
from ingest.evaluation_index.match import Match, Query
from ingest.evaluation_index.search import EvaluationIndex
from ingest.evaluation_index.sources import EvalSet, read_images
from ingest.fingerprint import View
from ingest.inspect.decode import configure_pillow, inspect_image
from schemas.evaluation import BackgroundImage, Calibration
from schemas.options import MatchOptions
from schemas.outcome import Outcome

logger = logging.getLogger(__name__)

_BATCH = 1024
# Where a hub's nearest code is gone its next one matches, so that one round is not enough.
_MAX_ROUNDS = 8
_MAX_REPORTED = 200


def fingerprint_background(eval_set: EvalSet, max_pixels: int) -> pa.Table:
    """The readable images of a folder, tar or parquet file as rows of `BackgroundImage`."""
    configure_pillow()
    rows = []
    for name, content in read_images(eval_set):
        try:
            found = inspect_image(content, max_pixels)
        except InspectError as error:
            logger.info("%s: not in the background: %s", name, error)
            continue
        rows.append(
            BackgroundImage(
                name=name.encode("utf-8", "backslashreplace").decode(),
                sha256=bytes.fromhex(found.sha256),
                pixels_sha256=bytes.fromhex(found.pixels_sha256),
                codes=b"".join(view.code for view in found.views),
                textures=tuple(view.texture for view in found.views),
                certainties=b"".join(view.certainty for view in found.views),
                thumbnails=b"".join(view.thumbnail for view in found.views),
            )
        )
    return BackgroundImage.to_table(rows)


def calibrate(content: IndexContent, background: pa.Table, hub_hits: int) -> None:
    """Demote the hubs of an index and record what the background showed.

    hub_hits: so many strangers an evaluation image may match in half of the background.
    """
    halves: tuple[list[tuple[str, Query]], ...] = ([], [])
    for name, query in _queries(background):
        halves[sha256(name.encode()).digest()[0] % 2].append((name, query))
    demoted = dict(content.calibration.demoted) if content.calibration else {}
    before = _near_copies(content, halves[1])
    for _ in range(_MAX_ROUNDS):
        found = [match for _, match in _near_copies(content, halves[0])]
        by_image = Counter(match.name for match in found)
        hubs = Counter(match.place for match in found if by_image[match.name] > hub_hits)
        if not hubs:
            break
        names = {match.place: f"{match.name} {match.variant}" for match in found}
        demoted |= {names[place]: count for place, count in hubs.items()}
        content.demote(list(hubs))
    after = _near_copies(content, halves[1])
    content.calibration = Calibration(
        num_images=len(halves[1]),
        num_hits_before=len(before),
        num_hits=len(after),
        hits=tuple(sorted(f"{name}: {match.name} {match.variant}" for name, match in after))[
            :_MAX_REPORTED
        ],
        demoted=demoted,
    )
    logger.info(
        "background: %d codes demoted; %d of %d strangers called copies, %d before",
        len(demoted), len(after), len(halves[1]), len(before),
    )  # fmt: skip


def _near_copies(
    content: IndexContent, images: Sequence[tuple[str, Query]]
) -> list[tuple[str, Match]]:
    with tempfile.TemporaryDirectory(prefix="uncurated-calibrate-") as folder:
        content.write(Path(folder))
        index = EvaluationIndex(Path(folder))
        options = MatchOptions()
        found: list[tuple[str, Match]] = []
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            matches = index.match([query for _, query in batch], options)
            found += [
                (name, match)
                for (name, _), match in zip(batch, matches, strict=True)
                if match is not None and match.outcome is Outcome.DUPLICATE_NEAR
            ]
        return found


def _queries(background: pa.Table) -> Iterator[tuple[str, Query]]:
    for batch in background.to_batches(_BATCH):
        for row in batch.to_pylist():
            views = tuple(
                View(
                    row["codes"][32 * k : 32 * k + 32],
                    texture,
                    row["certainties"][256 * k : 256 * k + 256],
                    row["thumbnails"][1024 * k : 1024 * k + 1024],
                )
                for k, texture in enumerate(row["textures"])
            )
            yield row["name"], Query(row["sha256"], row["pixels_sha256"], views)
