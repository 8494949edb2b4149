"""Where the images of benchmarks lie below a root.

ROOT/<id> is the folder of a benchmark; ROOT is whatever the store of `Files` takes. For each split
the first layout that is there is taken (`Benchmark.layouts_of`): in the benchmark's own folder,
then in those of the benchmarks that it shares its images with.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from schemas.benchmarks.model import Benchmark, Layout, Split
from schemas.benchmarks.storage import Files
from schemas.benchmarks.tables import image_names
from schemas.benchmarks.vocabulary import LayoutKind
from schemas.image_formats import is_image_name

# The names of what is in a folder.
_ListNames = Callable[[str], list[str]]


@dataclass(frozen=True)
class Place:
    """A split that was found: its layout and what that matches, as paths or URIs.

    paths: folders and image files (kind folder), tar files, or parquet files; sorted.
    folder: that of the benchmark, or of the one that it shares them with. num_listed: images that
    the layout's list names, there or not; None without one.
    """

    split: Split
    layout: Layout
    paths: tuple[str, ...]
    folder: str
    num_listed: int | None = None

    def expected_images(self) -> int | None:
        """How many images the split has, as the registry says or else the list; None: not known."""
        return self.num_listed if self.split.num_images is None else self.split.num_images


def find_split(files: Files, benchmark: Benchmark, split: Split, root: str) -> Place | None:
    """Where a split is, by the first layout that is there; None if none is.

    Raises LayoutError if a list that names its images is broken.
    """
    # Many layouts look into the same few folders.
    list_names = lru_cache(maxsize=None)(files.list_names)
    for folder in benchmark_folders(files, benchmark, root):
        for layout in benchmark.layouts_of(split.name):
            names = _listed_names(files, layout, folder) if layout.listed_in else None
            if names is None:
                paths = _matches(files, layout, folder, list_names)
            else:
                paths = _listed(files, layout, folder, names)
            if paths:
                num_listed = None if names is None else len(names)
                return Place(split, layout, tuple(paths), folder, num_listed)
    return None


def benchmark_folders(files: Files, benchmark: Benchmark, root: str) -> Iterator[str]:
    """The folders that are there of a benchmark, its own first, and those of shared images."""
    for name in (benchmark.id, *benchmark.shares_images_with):
        folder = files.join(root, name)
        if files.is_folder(folder):
            yield folder


def expected_places(benchmark: Benchmark, split: Split) -> tuple[str, ...]:
    """Where a split may lie below the root, as text: its own layouts, then general ones.

    Only the first general layout of each kind is told; they are more than one wants to read.
    """
    own = tuple(layout for layout in benchmark.layouts if layout.split == split.name)
    general = benchmark.layouts_of(split.name)[len(own) :]
    first = {layout.kind: layout for layout in reversed(general)}
    layouts = (*own, *(first[kind] for kind in LayoutKind))
    return tuple(dict.fromkeys(_place_text(benchmark.id, layout) for layout in layouts))


def _place_text(folder: str, layout: Layout) -> str:
    places = " + ".join(f"{folder}/{pattern}" for pattern in layout.patterns)
    listed = f" for each {{}} in {folder}/{layout.listed_in}" if layout.listed_in else ""
    return f"{layout.kind} {places}{listed}"


def _matches(files: Files, layout: Layout, folder: str, list_names: _ListNames) -> list[str]:
    """The paths that a layout matches; none if one of its patterns matches nothing."""

    def fits(path: str) -> bool:
        return layout.kind != LayoutKind.FOLDER or is_image_name(path) or files.is_folder(path)

    found = [
        [path for path in _expand(files, folder, pattern, list_names) if fits(path)]
        for pattern in layout.patterns
    ]
    return sorted({path for paths in found for path in paths}) if all(found) else []


def _expand(files: Files, folder: str, pattern: str, list_names: _ListNames) -> list[str]:
    """What a pattern matches, with one listing for each folder on its way.

    fsspec's own glob would walk all of a million training images for `*/val/*.tar`.
    """
    if pattern == ".":
        return [folder] if list_names(folder) else []
    head, _, rest = pattern.partition("/")
    names = [name for name in list_names(folder) if not name.startswith(".")]
    found = [files.join(folder, name) for name in names if fnmatchcase(name, head)]
    if not rest:
        return found
    return [path for one in found for path in _expand(files, one, rest, list_names)]


def _listed_names(files: Files, layout: Layout, folder: str) -> set[str]:
    """What the list of a layout names; nothing if it is not there."""
    uri = files.join(folder, str(layout.listed_in))
    return set(image_names(uri, files.read_bytes(uri))) if files.exists(uri) else set()


def _listed(files: Files, layout: Layout, folder: str, names: Collection[str]) -> list[str]:
    """The images of these names that are there."""
    wanted = {pattern.replace("{}", name) for pattern in layout.patterns for name in names}
    # One listing of what is there, instead of one request for each image.
    return sorted(files.join(folder, path) for path in wanted & files.list_sizes(folder).keys())
