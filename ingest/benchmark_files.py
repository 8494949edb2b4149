"""Whether the images of benchmarks are all there below a root, and what to index of them.

Where they lie is a matter of `schemas.benchmarks.places`; what of them has which label one of
`schemas.benchmarks.facts`. Both are asked through the storage that all of ingest uses.
"""

import tarfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.evaluation_index.sources import EvalSet
from schemas.benchmarks import load_benchmarks
from schemas.benchmarks.facts import LABEL, read_facts
from schemas.benchmarks.model import Benchmark, Split
from schemas.benchmarks.needed_facts import facts_of_split
from schemas.benchmarks.places import Place, expected_places
from schemas.benchmarks.places import find_split as find_in
from schemas.benchmarks.rows import read_rows
from schemas.benchmarks.storage import LayoutError
from schemas.benchmarks.vocabulary import LayoutKind, Task
from schemas.image_formats import is_image_name

# Of one label an image, so that the labels are the classes.
_CLASSED = (Task.SINGLE_LABEL, Task.ORDINAL)
# A split to test on may lack a class; one that is trained on has all.
_COMPLETE = ("train", "trainval", "all")


@dataclass(frozen=True)
class SplitCheck:
    """What is there of a split below `root`. num_images, num_classes: None if not counted.

    remark: what an evaluation would lack; the images can be cleaned against all the same.
    """

    benchmark: Benchmark
    split: Split
    place: Place | None
    num_images: int | None
    root: str
    num_classes: int | None = None
    remark: str | None = None

    @property
    def problem(self) -> str | None:
        """What is wrong, with both sides; None if nothing is."""
        name = f"{self.benchmark.id}/{self.split.name}"
        if self.place is None:
            if not self.split.clean:
                return None
            places = "; ".join(expected_places(self.benchmark, self.split))
            return f"{name}: expected one of {places} below {self.root}; got nothing"
        expected = self.place.expected_images()
        if self.num_images in (None, expected) or (expected is None and self.num_images):
            return self._wrong_classes(name, self.place)
        wanted = "images" if expected is None else f"{expected:,} images"
        return f"{name}: expected {wanted}, got {self.num_images:,} in {self.place.layout}"

    def _wrong_classes(self, name: str, place: Place) -> str | None:
        expected, got = self.benchmark.classes, self.num_classes
        if None in (expected, got) or got == expected:
            return None
        assert expected is not None
        assert got is not None
        if got < expected and self.split.name not in _COMPLETE:
            return None
        return f"{name}: expected {expected:,} classes, got {got:,} in {place.layout}"


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
        if not storage.is_folder(path) and is_image_name(path):
            folder, _, file = path.rpartition("/")
            files.setdefault(folder, []).append(file)
            continue
        # Rows of several containers have the same numbers.
        place = f"{split}/{PurePosixPath(path).name}/" if len(paths) > 1 else f"{split}/"
        yield EvalSet(name, path, place)
    for folder, names in files.items():
        yield EvalSet(name, folder, f"{split}/{PurePosixPath(folder).name}/", tuple(names))


def find_split(benchmark: Benchmark, split: Split, root: str) -> Place | None:
    """Where a split is, by the first layout that is there; None if none is.

    Raises SetupError if a list that names its images is broken.
    """
    with _as_setup_error():
        return find_in(storage, benchmark, split, root)


def check(benchmark: Benchmark, root: str, *, count_tars: bool = False) -> list[SplitCheck]:
    """What is there of each split, counted where that is cheap, or where asked.

    Image files are counted by their names, parquet rows from footers, tar members and Arrow rows
    only if `count_tars`: that reads the whole files. So are the facts that protocols need, and the
    classes of those that have one label an image. Raises SetupError for a broken container.
    """
    return [_check_split(benchmark, split, root, count_tars) for split in benchmark.splits]


def _check_split(benchmark: Benchmark, split: Split, root: str, count_tars: bool) -> SplitCheck:
    place = find_split(benchmark, split, root)
    found = SplitCheck(benchmark, split, place, None, root)
    if place is None:
        return found
    found = replace(found, num_images=_count(place, count_tars))
    cheap = count_tars or place.layout.kind in (LayoutKind.FOLDER, LayoutKind.PARQUET)
    classed = bool(benchmark.task in _CLASSED and benchmark.protocols)
    needed = {*facts_of_split(benchmark, split.name), *([LABEL] if classed else [])}
    if not (cheap and found.num_images and needed):
        return found
    try:
        facts = read_facts(storage, benchmark, place, root, sorted(needed))
    except LayoutError as error:
        return replace(found, remark=str(error))
    return replace(found, num_classes=len(set(facts.fields[LABEL])) if classed else None)


def _count(place: Place, count_tars: bool) -> int | None:
    if place.layout.kind == LayoutKind.PARQUET:
        return sum(_count_rows(path) for path in place.paths)
    if place.layout.kind == LayoutKind.ARROW:
        return sum(_count_arrow_rows(path) for path in place.paths) if count_tars else None
    if place.layout.kind == LayoutKind.TAR:
        return sum(_count_members(path) for path in place.paths) if count_tars else None
    return sum(_count_images(path) for path in place.paths)


def _count_images(path: str) -> int:
    if is_image_name(path):
        return 1
    return sum(is_image_name(name) for name in storage.list_files(path))


def _count_rows(path: str) -> int:
    try:
        with storage.open_input(path) as file, pq.ParquetFile(file) as table:
            return int(table.metadata.num_rows)
    except (OSError, pa.ArrowException) as error:
        raise SetupError(f"{path}: expected a whole parquet file, got {error}") from error


def _count_arrow_rows(path: str) -> int:
    with storage.open_input(path) as file, _as_setup_error():
        return read_rows(path, file, (), arrow=True).num_rows


def _count_members(path: str) -> int:
    count = 0
    try:
        with storage.open_input(path) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
            for member in tar:
                # Else tarfile remembers each member: a gigabyte for a million images.
                tar.members = []  # type: ignore[attr-defined]  # not in typeshed
                count += member.isreg() and is_image_name(member.name)
    except (tarfile.TarError, EOFError) as error:
        raise SetupError(f"{path}: expected a whole tar file, got {error}") from error
    return count


@contextmanager
def _as_setup_error() -> Iterator[None]:
    try:
        yield
    except LayoutError as error:
        raise SetupError(str(error)) from error
