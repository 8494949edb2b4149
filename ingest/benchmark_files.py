"""Where the images of benchmarks lie below a root, and whether they are all there.

ROOT/<id> is the folder of a benchmark; ROOT is a local folder or any fsspec URI. For each split the
first layout that is there is taken (`Benchmark.layouts_of`): in the benchmark's own folder, then in
those of the benchmarks that it shares its images with.
"""

import tarfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import PurePosixPath

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.evaluation_index.sources import EvalSet
from ingest.inspect.header import SUFFIXES
from schemas.benchmarks import load_benchmarks
from schemas.benchmarks.model import Benchmark, Layout, Split
from schemas.benchmarks.vocabulary import LayoutKind

# The names of what is in a folder.
_ListNames = Callable[[str], list[str]]


@dataclass(frozen=True)
class Place:
    """A split that was found: its layout and what that matches, as paths or URIs.

    paths: folders and image files (kind folder), tar files, or parquet files; sorted.
    """

    split: Split
    layout: Layout
    paths: tuple[str, ...]


@dataclass(frozen=True)
class SplitCheck:
    """What is there of a split below `root`. num_images: None if it was not counted."""

    benchmark: Benchmark
    split: Split
    place: Place | None
    num_images: int | None
    root: str

    @property
    def problem(self) -> str | None:
        """What is wrong, with both sides; None if nothing is."""
        name, expected = f"{self.benchmark.id}/{self.split.name}", self.split.num_images
        if self.place is None:
            if not self.split.clean:
                return None
            places = "; ".join(expected_places(self.benchmark, self.split))
            return f"{name}: expected one of {places} below {self.root}; got nothing"
        if self.num_images in (None, expected) or (expected is None and self.num_images):
            return None
        wanted = "images" if expected is None else f"{expected:,} images"
        return f"{name}: expected {wanted}, got {self.num_images:,} in {self.place.layout}"


def present_benchmarks(root: str) -> list[Benchmark]:
    """The benchmarks of the registry that have a folder below the root, by id."""
    return [
        one for one in load_benchmarks().values() if storage.is_folder(storage.join(root, one.id))
    ]


def locate(
    benchmark: Benchmark, root: str, splits: Collection[str] | None = None
) -> dict[str, list[str]]:
    """The paths of each split that is there: folders, image files, tar or parquet files.

    splits: names of those to look for; None: the clean ones. One that is not there has no entry.
    """
    names = {split.name for split in benchmark.clean_splits} if splits is None else set(splits)
    wanted = [split for split in benchmark.splits if split.name in names]
    places = (find_split(benchmark, split, root) for split in wanted)
    return {place.split.name: list(place.paths) for place in places if place}


def eval_sets_of(benchmark: Benchmark, root: str) -> list[EvalSet]:
    """The clean splits of a benchmark, to be indexed under its id.

    Raises SetupError that names the expected places of a clean split that is not there.
    """
    found = locate(benchmark, root)
    missing = [split for split in benchmark.clean_splits if split.name not in found]
    if missing:
        places = "; ".join(expected_places(benchmark, missing[0]))
        raise SetupError(
            f"{benchmark.id}/{missing[0].name}: expected one of {places} below {root}, got nothing"
        )
    return [one for split, paths in found.items() for one in _eval_sets(benchmark.id, split, paths)]


def _eval_sets(name: str, split: str, paths: list[str]) -> Iterator[EvalSet]:
    """An evaluation set for each folder and container, and for the image files of each folder."""
    files: dict[str, list[str]] = {}
    for path in paths:
        if not storage.is_folder(path) and _is_image_name(path):
            folder, _, file = path.rpartition("/")
            files.setdefault(folder, []).append(file)
            continue
        # Rows of several containers have the same numbers.
        place = f"{split}/{PurePosixPath(path).name}/" if len(paths) > 1 else f"{split}/"
        yield EvalSet(name, path, place)
    for folder, names in files.items():
        yield EvalSet(name, folder, f"{split}/{PurePosixPath(folder).name}/", tuple(names))


def find_split(benchmark: Benchmark, split: Split, root: str) -> Place | None:
    """Where a split is, by the first layout that is there; None if none is."""
    # Many layouts look into the same few folders.
    list_names = lru_cache(maxsize=None)(storage.list_names)
    for folder in _folders(benchmark, root):
        for layout in benchmark.layouts_of(split.name):
            paths = _matches(layout, folder, list_names)
            if paths:
                return Place(split, layout, tuple(paths))
    return None


def check(benchmark: Benchmark, root: str, *, count_tars: bool = False) -> list[SplitCheck]:
    """What is there of each split, counted where that is cheap, or where asked.

    Image files are counted by their names, parquet rows from footers, tar members only if
    `count_tars`: that reads the whole files. Raises SetupError for a broken tar or parquet file.
    """
    return [_check_split(benchmark, split, root, count_tars) for split in benchmark.splits]


def expected_places(benchmark: Benchmark, split: Split) -> tuple[str, ...]:
    """Where a split may lie below the root, as text: its own layouts, then general ones.

    Only the first general layout of each kind is told; they are more than one wants to read.
    """
    own = tuple(layout for layout in benchmark.layouts if layout.split == split.name)
    general = benchmark.layouts_of(split.name)[len(own) :]
    first = {layout.kind: layout for layout in reversed(general)}
    return tuple(
        _place_text(benchmark.id, layout)
        for layout in (*own, *(first[kind] for kind in LayoutKind))
    )


def _place_text(folder: str, layout: Layout) -> str:
    places = " + ".join(f"{folder}/{pattern}" for pattern in layout.patterns)
    listed = f" for each {{}} in {folder}/{layout.listed_in}" if layout.listed_in else ""
    return f"{layout.kind} {places}{listed}"


def _check_split(benchmark: Benchmark, split: Split, root: str, count_tars: bool) -> SplitCheck:
    place = find_split(benchmark, split, root)
    return SplitCheck(
        benchmark=benchmark,
        split=split,
        place=place,
        num_images=_count(place, count_tars) if place else None,
        root=root,
    )


def _folders(benchmark: Benchmark, root: str) -> Iterator[str]:
    for name in (benchmark.id, *benchmark.shares_images_with):
        folder = storage.join(root, name)
        if storage.is_folder(folder):
            yield folder


def _matches(layout: Layout, folder: str, list_names: _ListNames) -> list[str]:
    """The paths that a layout matches; none if one of its patterns matches nothing."""
    if layout.listed_in:
        return _listed(layout, folder)
    found = [
        [path for path in _expand(folder, pattern, list_names) if _fits(path, layout)]
        for pattern in layout.patterns
    ]
    return sorted({path for paths in found for path in paths}) if all(found) else []


def _expand(folder: str, pattern: str, list_names: _ListNames) -> list[str]:
    """What a pattern matches, with one listing for each folder on its way.

    fsspec's own glob would walk all of a million training images for `*/val/*.tar`.
    """
    if pattern == ".":
        return [folder] if list_names(folder) else []
    head, _, rest = pattern.partition("/")
    names = [name for name in list_names(folder) if not name.startswith(".")]
    found = [storage.join(folder, name) for name in names if fnmatchcase(name, head)]
    return [path for one in found for path in _expand(one, rest, list_names)] if rest else found


def _fits(path: str, layout: Layout) -> bool:
    return layout.kind != LayoutKind.FOLDER or _is_image_name(path) or storage.is_folder(path)


def _listed(layout: Layout, folder: str) -> list[str]:
    """The images that a list names and that are there."""
    list_uri = storage.join(folder, str(layout.listed_in))
    if not storage.exists(list_uri):
        return []
    names = _read_list(list_uri)
    wanted = {pattern.replace("{}", name) for pattern in layout.patterns for name in names}
    # One listing of what is there, instead of one request for each image.
    present = set(storage.list_files(folder))
    return sorted(storage.join(folder, path) for path in wanted & present)


def _read_list(uri: str) -> list[str]:
    """The names of a list: the first words of its lines, or the paths in COCO's or Met's JSON."""
    content = storage.read_bytes(uri)
    if not uri.endswith(".json"):
        lines = content.decode("utf-8", "replace").splitlines()
        return [line.split()[0].strip("/") for line in lines if line.strip()]
    try:
        found = orjson.loads(content)
        images = found["images"] if isinstance(found, dict) else found
        return [
            str(image["file_name"] if "file_name" in image else image["path"]) for image in images
        ]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise SetupError(
            f"{uri}: expected a JSON list of objects with file_name or path, got {error!r}"
        ) from error


def _is_image_name(path: str) -> bool:
    name = PurePosixPath(path)
    return name.suffix.lower() in SUFFIXES and not name.name.startswith(".")


def _count(place: Place, count_tars: bool) -> int | None:
    if place.layout.kind == LayoutKind.PARQUET:
        return sum(_count_rows(path) for path in place.paths)
    if place.layout.kind == LayoutKind.TAR:
        return sum(_count_members(path) for path in place.paths) if count_tars else None
    return sum(_count_images(path) for path in place.paths)


def _count_images(path: str) -> int:
    if _is_image_name(path):
        return 1
    return sum(_is_image_name(name) for name in storage.list_files(path))


def _count_rows(path: str) -> int:
    try:
        with storage.open_input(path) as file, pq.ParquetFile(file) as table:
            return int(table.metadata.num_rows)
    except (OSError, pa.ArrowException) as error:
        raise SetupError(f"{path}: expected a whole parquet file, got {error}") from error


def _count_members(path: str) -> int:
    count = 0
    try:
        with storage.open_input(path) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
            for member in tar:
                # Else tarfile remembers each member: a gigabyte for a million images.
                tar.members = []  # type: ignore[attr-defined]  # not in typeshed
                count += member.isreg() and _is_image_name(member.name)
    except (tarfile.TarError, EOFError) as error:
        raise SetupError(f"{path}: expected a whole tar file, got {error}") from error
    return count
