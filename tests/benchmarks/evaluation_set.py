"""A folder of images that plays the evaluation set: real look-ups, but no matches."""

import logging
import shutil
from pathlib import Path

from tests.benchmarks.corpus import DATA
from tests.benchmarks.recall.originals import originals

logger = logging.getLogger(__name__)

# No photographs, since the corpus is made of nearly all there are.
_LOOKALIKE = "moon_crescent"  # one of 1,929 tiles has two curves like its edges
_COUNTS = {"stamp": 330, "clipart": 300, "map": 150, "sky": 220}


def make_evaluation_set(*, data: Path = DATA) -> Path:
    """The folder with 1,000 images that none of a corpus resembles; made once."""
    folder = data / "evaluation-set"
    if folder.is_dir():
        return folder
    partial_folder = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial_folder, ignore_errors=True)
    partial_folder.mkdir(parents=True)
    for one in originals("tuning", _COUNTS, data=data):
        if _LOOKALIKE not in one.name:
            (partial_folder / one.name).write_bytes(one.content)
    logger.info("%s: %d images", folder, len(list(partial_folder.iterdir())))
    return partial_folder.rename(folder)
