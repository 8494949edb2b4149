import io
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import skimage
import sklearn
from PIL import Image

from ingest.evaluation_index.build import IndexContent, output_folder, publish_index
from ingest.evaluation_index.fingerprints import Fingerprints, fingerprint_set
from ingest.evaluation_index.match import Query
from ingest.evaluation_index.search import EvaluationIndex
from ingest.evaluation_index.sources import parse_eval_set
from ingest.inspect.decode import inspect_image
from schemas.command_options import IndexOptions
from schemas.options import MatchOptions

MAX_PIXELS = 10**9
SKIMAGE = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
REAL = {
    path.name: path
    for path in (
        *(SKIMAGE / f"{name}.png" for name in ("astronaut", "chelsea", "coffee", "ihc")),
        *(SKIMAGE / f"{name}.jpg" for name in ("rocket", "hubble_deep_field")),
        SKIMAGE / "motorcycle_left.png",
        SKLEARN / "china.jpg",
        SKLEARN / "flower.jpg",
    )
}


class Workbench:
    """What the tests do with images and indexes; sets have no canaries unless a test asks."""

    real = REAL

    @staticmethod
    def encode(image, image_format="PNG", **options):
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    @staticmethod
    def picture(name):
        return Image.open(REAL[name]).convert("RGB")

    @staticmethod
    def folder(path, **images):
        """A new folder of these PNG images, or bytes as they are."""
        path.mkdir(parents=True)
        for name, image in images.items():
            content = image if isinstance(image, bytes) else Workbench.encode(image)
            (path / name).write_bytes(content)
        return path

    @staticmethod
    def options(*eval_sets, **options):
        return IndexOptions(eval_set=eval_sets, output="unused", **{"canaries": 0, **options})

    @staticmethod
    def fingerprints(*eval_sets, **options):
        """What an index keeps of these NAME=PATH sets."""
        chosen = Workbench.options(*eval_sets, **options)
        sets = [parse_eval_set(text) for text in eval_sets]
        parts = [part for one in sets for part in one.split(chosen.unit_images)]
        return Fingerprints.joined(fingerprint_set(part, chosen) for part in parts)

    @staticmethod
    def content(*eval_sets, rules=None, **options):
        """What an index of these NAME=PATH sets will be."""
        chosen = Workbench.options(*eval_sets, **options)
        return IndexContent(
            Workbench.fingerprints(*eval_sets, **options),
            num_canaries=chosen.canaries,
            profiles=[chosen.profile],
            rules=rules or {},
        )

    @staticmethod
    def build(output, *eval_sets, **options):
        """A new index of these NAME=PATH sets, opened."""
        folder = output_folder(str(output))
        publish_index(Workbench.content(*eval_sets, **options), folder)
        return EvaluationIndex.open(str(output))

    @staticmethod
    def opened(content):
        """The index of a content, whose files are gone already."""
        with TemporaryDirectory() as folder:
            content.write(Path(folder))
            return EvaluationIndex(Path(folder))

    @staticmethod
    def query(content):
        found = inspect_image(content, MAX_PIXELS)
        digests = bytes.fromhex(found.sha256), bytes.fromhex(found.pixels_sha256)
        return Query(*digests, found.views)

    @staticmethod
    def look_up(index, content, **options):
        return index.match([Workbench.query(content)], MatchOptions(**options))[0]

    @staticmethod
    def files_of(folder):
        """Name and bytes of each file of an index."""
        return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="session")
def bench():
    return Workbench


@pytest.fixture(scope="session")
def pictures_folder(tmp_path_factory):
    """The real pictures in a folder and one below it, some under names that say nothing."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "deeper").mkdir()
    for number, (name, path) in enumerate(REAL.items()):
        target = (
            folder / ("deeper" if number % 3 == 0 else "") / (path.stem if number % 2 else name)
        )
        target.write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="session")
def index_folder(pictures_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("index") / "real"
    Workbench.build(output, f"real={pictures_folder}")
    return output


@pytest.fixture(scope="session")
def index(index_folder):
    return EvaluationIndex.open(str(index_folder))
