"""ObjectNet: mappings/ lead from folders over names of classes to ImageNet's.

A class may be several of ImageNet's, `; ` between their names. A name's line, from 0, in
imagenet_to_label_2012_v2 is the value of the class's number in pytorch_to_imagenet_2012_id.json.
"""

from typing import Any

from ingest.benchmark_lists.archive import Archive, Rows, broken
from ingest.errors import SetupError


def read(archive: Archive) -> Rows:
    """Of each image, the numbers of the ImageNet classes that are right, or none, as `label`."""
    names_of_folder = _read(archive, "folder_to_objectnet_label.json")
    imagenet_names = _read(archive, "objectnet_to_imagenet_1k.json")
    number_of = _numbers(archive)
    labels = {}
    for folder, name in names_of_folder.items():
        names = str(imagenet_names.get(name, "")).split("; ")
        unknown = [one for one in names if one and one not in number_of]
        if unknown:
            raise SetupError(
                f"{archive.folder}: expected lines of imagenet_to_label_2012_v2 as ImageNet "
                f"classes of {name!r}, got {unknown[0]!r}"
            )
        labels[folder] = ";".join(number_of[one] for one in names if one)
    rows = {}
    for image in archive.images:
        folder = image.split("/")[-2]
        if folder not in labels:
            raise SetupError(
                f"{archive.folder}: expected folders of folder_to_objectnet_label.json, got {image}"
            )
        rows[image] = {"label": labels[folder]}
    return rows


def _places(name: str) -> tuple[str, str]:
    return f"objectnet-1.0/mappings/{name}", f"mappings/{name}"


def _read(archive: Archive, name: str) -> dict[str, Any]:
    uri, found = archive.read_json(*_places(name))
    if not isinstance(found, dict):
        raise SetupError(f"{uri}: expected a JSON object, got {type(found).__name__}")
    return found


def _numbers(archive: Archive) -> dict[str, str]:
    """The number of each ImageNet class, by its name."""
    uri, text = archive.read_text(*_places("imagenet_to_label_2012_v2"))
    lines = [line.strip() for line in text.splitlines()]
    numbers = _read(archive, "pytorch_to_imagenet_2012_id.json")
    try:
        return {lines[line]: str(int(number)) for number, line in numbers.items()}
    except (IndexError, TypeError, ValueError) as error:
        raise broken(uri, f"a line for each of {len(numbers):,} classes", error) from error
