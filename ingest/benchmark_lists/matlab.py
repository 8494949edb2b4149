"""Stanford Cars, Stanford Dogs and Oxford Flowers: MATLAB files, read by scipy."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from ingest.benchmark_lists.archive import Archive, Rows, broken
from ingest.errors import SetupError

_CARS = {
    "train": ("devkit/cars_train_annos.mat", "cars_train_annos.mat"),
    # The devkit's own file of test images has no classes.
    "test": ("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat"),
}
_FLOWER_PARTS = {"trnid": "train", "valid": "val", "tstid": "test"}


def read_cars(archive: Archive) -> Rows:
    """Of each image, the number of its class as `label`."""
    names = _CARS[archive.split]
    places = [above + name for above in ("", "stanford_cars/") for name in names]
    uri, found = _read(archive, *places)
    try:
        table = found["annotations"]
        return _joined(uri, _values(table["fname"]), label=_values(table["class"]))
    except (KeyError, IndexError, ValueError) as error:
        raise broken(uri, "`annotations` with fname and class", error) from error


def read_dogs(archive: Archive) -> Rows:
    """Of each image, the number of its class as `label`, and its part as `split`."""
    rows: dict[str, Any] = {}
    for part in ("train", "test"):
        uri, found = _read(archive, f"{part}_list.mat", f"lists/{part}_list.mat")
        try:
            names, labels = _values(found["file_list"]), _values(found["labels"])
        except KeyError as error:
            raise broken(uri, "`file_list` and `labels`", error) from error
        rows |= _joined(uri, names, label=labels, split=[part] * len(names))
    return rows


def read_flowers(archive: Archive) -> Rows:
    """Of each image, the number of its class as `label`, and its part as `split`."""
    uri, found = _read(archive, *_flower_places("imagelabels.mat"))
    parts_uri, parts = _read(archive, *_flower_places("setid.mat"))
    try:
        labels = _values(found["labels"])
        part_of = {
            int(image): part
            for name, part in _FLOWER_PARTS.items()
            for image in _values(parts[name])
        }
    except (KeyError, ValueError) as error:
        expected = f"`labels`, and {', '.join(_FLOWER_PARTS)} in {parts_uri}"
        raise broken(uri, expected, error) from error
    numbers = range(1, len(labels) + 1)
    if part_of.keys() != set(numbers):
        raise SetupError(
            f"{parts_uri}: expected a part of each of {len(labels):,} images, got {len(part_of):,}"
        )
    names = [f"image_{number:05}" for number in numbers]
    return _joined(uri, names, label=labels, split=[part_of[number] for number in numbers])


def _flower_places(name: str) -> list[str]:
    return [above + name for above in ("", "102flowers/", "flowers-102/")]


def _joined(uri: str, names: Sequence[str], **columns: Sequence[str]) -> Rows:
    """Rows of columns of one length."""
    lengths = {len(names), *(len(values) for values in columns.values())}
    if len(lengths) != 1:
        raise SetupError(f"{uri}: expected a value for each image, got {sorted(lengths)}")
    return {
        name: {column: values[place] for column, values in columns.items()}
        for place, name in enumerate(names)
    }


def _values(array: Any) -> list[str]:
    return [str(one) for one in np.atleast_1d(array)]


def _read(archive: Archive, *places: str) -> tuple[str, dict[str, Any]]:
    uri, content = archive.read(*places)
    try:
        from scipy.io import loadmat  # type: ignore[import-untyped]  # it has no types
    except ImportError as error:
        raise SetupError(
            f"{uri}: expected pip install 'uncurated[evaluate]', got: {error}"
        ) from error
    try:
        return uri, dict(loadmat(io.BytesIO(content), squeeze_me=True))
    except Exception as error:  # a broken file fails in many ways
        raise broken(uri, "a MATLAB file of version 4 to 7.2", error) from error
