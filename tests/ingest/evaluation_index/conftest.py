import io
from pathlib import Path

import numpy as np
import pytest
import skimage
import sklearn
from PIL import Image

from ingest.evaluation_index.build import build_index
from ingest.evaluation_index.search import EvaluationIndex
from ingest.inspect.decode import inspect_image
from schemas.options import IndexOptions

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
    """What the tests do with images and indexes."""

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
    def build(output, *eval_sets, **options):
        """A new index of these NAME=PATH sets, opened."""
        build_index(IndexOptions(eval_set=eval_sets, output=str(output)), **options)
        return EvaluationIndex.open(str(output))

    @staticmethod
    def look_up(index, content, radius=31):
        found = inspect_image(content, MAX_PIXELS)
        code = np.frombuffer(bytes.fromhex(found.phash), np.uint8)[None]
        texture = np.array([found.texture], np.uint16)
        return index.match([found.sha256], code, texture, radius)[0]


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
