"""KITTI: label_2 has a text file for each image, a line an object.

Its words are the type, truncation, occlusion, angle, four sides of the box, three sizes in metres,
three coordinates in metres, the third forwards, and the rotation (readme.txt of its devkit).
"""

from pathlib import PurePosixPath

from ingest import storage
from ingest.benchmark_lists.archive import Archive, Rows
from ingest.errors import SetupError

_VEHICLES = ("Car", "Van", "Truck")
# Among the numbers that follow the type.
_DISTANCE = 12


def read(archive: Archive) -> Rows:
    """Of each image, the `distance` of the nearest vehicle in metres, -1 if there is none."""
    folder = archive.find("training/label_2", "data_object_label_2/training/label_2")
    names = [f"{PurePosixPath(image).stem}.txt" for image in archive.images]
    missing = sorted(set(names).difference(storage.list_names(folder)))
    if missing:
        raise SetupError(
            f"{folder}: expected a file for each of {len(names):,} images, got none for "
            f"{len(missing):,}, such as {missing[0]}"
        )
    contents = storage.read_many(folder, names)
    return {
        image: {"distance": _distance(storage.join(folder, name), content)}
        for image, name, content in zip(archive.images, names, contents, strict=True)
    }


def _distance(uri: str, content: bytes) -> str:
    distances = []
    for line in content.decode("utf-8", "replace").splitlines():
        try:
            kind, *numbers = line.split()
            distance, _ = map(float, numbers[_DISTANCE:])
        except ValueError as error:
            raise SetupError(
                f"{uri}: expected lines of a type and 14 numbers, got {line!r}"
            ) from error
        if kind in _VEHICLES:
            distances.append(distance)
    return repr(min(distances)) if distances else "-1"
