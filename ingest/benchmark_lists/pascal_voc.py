"""Pascal VOC 2007: ImageSets/Main has a text file for each class and part, of all its images.

Its lines are an image's name and 1, -1 or 0: there, not there, or shown by difficult objects alone.
"""

from ingest import storage
from ingest.benchmark_lists.archive import Archive, Rows
from ingest.errors import SetupError

_FOLDERS = tuple(f"{above}ImageSets/Main" for above in ("VOCdevkit/VOC2007/", "VOC2007/", ""))
_THERE, _DIFFICULT, _SIGNS = "1", "0", ("1", "0", "-1")


def read(archive: Archive) -> Rows:
    """Of each image, the classes as `label` and as `difficult`, between semicolons."""
    folder = archive.find(*_FOLDERS)
    ending = f"_{archive.split}.txt"
    files = [name for name in storage.list_names(folder) if name.endswith(ending)]
    if len(files) != archive.benchmark.classes:
        raise SetupError(
            f"{folder}: expected {archive.benchmark.classes} files CLASS{ending}, got {len(files)}"
        )
    signs: dict[str, dict[str, str]] = {}
    for file in files:
        place = f"{folder[len(archive.folder) :].strip('/')}/{file}"
        signs[file.removesuffix(ending)] = _signs_of(*archive.read_text(place))
    images = next(iter(signs.values())).keys()
    for name, of in signs.items():
        if of.keys() != images:
            raise SetupError(
                f"{folder}/{name}{ending}: expected the {len(images):,} images of {files[0]}, "
                f"got {len(of):,}, {len(of.keys() ^ images):,} in one alone"
            )
    return {
        image: {
            "label": ";".join(name for name in signs if signs[name][image] == _THERE),
            "difficult": ";".join(name for name in signs if signs[name][image] == _DIFFICULT),
        }
        for image in images
    }


def _signs_of(uri: str, text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[1] not in _SIGNS:
            raise SetupError(f"{uri}: expected lines of a name and 1, 0 or -1, got {line!r}")
        found[words[0]] = words[1]
    return found
