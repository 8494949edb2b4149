"""The evaluation images of a gallery: themselves where they are at hand, else their thumbnails."""

import logging
from collections.abc import Collection, Sequence

from ingest.errors import InspectError, SetupError
from ingest.evaluation_index.search import EvaluationIndex
from ingest.evaluation_index.sources import parse_eval_set, read_images
from ingest.inspect.decode import configure_pillow, small_picture
from ingest.pack.ledger import encode_preview
from ingest.page.pairs import Picture

logger = logging.getLogger(__name__)

_PREVIEW_PX, _MAX_PIXELS = 160, 1_000_000_000


class Originals:
    """Pictures of evaluation images by name, `set/name`."""

    def __init__(self, index_uri: str, eval_sets: Sequence[str]) -> None:
        self._sets = [parse_eval_set(text) for text in eval_sets]
        self._previews: dict[str, bytes] = {}
        try:
            self._index = EvaluationIndex.open(index_uri) if index_uri else None
        except SetupError as error:
            logger.warning("no thumbnails of evaluation images: %s", error)
            self._index = None

    def load(self, names: Collection[str]) -> None:
        """Read the images of these names out of the evaluation sets that were given."""
        configure_pillow()
        for eval_set in self._sets:
            for name, content in read_images(eval_set):
                full = f"{eval_set.name}/{name}"
                if full in names:
                    try:
                        pixels = small_picture(content, _PREVIEW_PX, _MAX_PIXELS)
                    except InspectError as error:
                        logger.warning("%s: no preview: %s", full, error)
                        continue
                    self._previews[full] = encode_preview(pixels)

    def picture(self, name: str) -> Picture:
        """What is at hand of an evaluation image."""
        thumbnail = self._index.thumbnail_of(name) if self._index else None
        return Picture(self._previews.get(name), thumbnail)
