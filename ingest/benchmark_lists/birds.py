"""CUB-200 and NABirds: text files whose lines are the identifier of an image and one fact of it."""

from ingest.benchmark_lists.archive import Archive, Rows
from ingest.errors import SetupError

_FOLDERS = ("CUB_200_2011/", "nabirds/", "")
_PARTS = {"1": "train", "0": "test"}


def read(archive: Archive) -> Rows:
    """Of each image, the number of its class as `label`, and its part as `split`."""
    _, paths = _read(archive, "images.txt")
    classes_uri, classes = _read(archive, "image_class_labels.txt")
    parts_uri, parts = _read(archive, "train_test_split.txt")
    for uri, found in ((classes_uri, classes), (parts_uri, parts)):
        if found.keys() != paths.keys():
            raise SetupError(
                f"{uri}: expected the {len(paths):,} images of images.txt, got {len(found):,}, "
                f"{len(found.keys() ^ paths.keys()):,} in one alone"
            )
    strange = set(parts.values()).difference(_PARTS)
    if strange:
        raise SetupError(f"{parts_uri}: expected 1 (train) or 0 (test), got {min(strange)!r}")
    return {
        path: {"label": classes[image], "split": _PARTS[parts[image]]}
        for image, path in paths.items()
    }


def _read(archive: Archive, name: str) -> tuple[str, dict[str, str]]:
    uri, text = archive.read_text(*(folder + name for folder in _FOLDERS))
    found = {}
    for line in text.splitlines():
        words = line.split(None, 1)
        if len(words) == 1:
            raise SetupError(f"{uri}: expected lines of an image and a value, got {line!r}")
        if words:
            found[words[0]] = words[1].strip()
    return uri, found
