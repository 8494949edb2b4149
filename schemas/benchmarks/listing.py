"""The images of a split that was found: their names, where they are, and what stands beside them.

Nothing is read of an image itself: folders are listed, of tar files the headers are read and what
is beside the images (WebDataset's KEY.json, KEY.cls, KEY.txt), of tables the other columns.
"""

import tarfile
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import orjson

from schemas.benchmarks.places import Place
from schemas.benchmarks.rows import read_rows
from schemas.benchmarks.storage import Files, LayoutError
from schemas.benchmarks.vocabulary import LayoutKind
from schemas.image_formats import is_image_name

# What WebDataset puts beside an image that is a column by itself.
_TEXTS = (".cls", ".txt")
_SMALL_BYTES = 1 << 20


@dataclass
class Listing:
    """Images, N of them.

    names: each once; the path below `folder`, `FILE#ROW` in tables, `FILE/MEMBER` in tar.
    inner: the path that the image itself has, in its container or below `folder`; "" if none.
    columns: those that were wanted of what stands beside the images, None where it does not.
    known_columns: all there are. files: containers, below `folder`; `file_of` is the place of each
    image's. starts: where it begins there, byte or row. sizes: bytes; 0 in tables, not known.
    """

    kind: LayoutKind
    folder: str
    names: list[str] = field(default_factory=list)
    inner: list[str] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    known_columns: dict[str, None] = field(default_factory=dict)
    files: list[tuple[str, int]] = field(default_factory=list)
    file_of: "array[int]" = field(default_factory=partial(array, "l"))
    starts: "array[int]" = field(default_factory=partial(array, "q"))
    sizes: "array[int]" = field(default_factory=partial(array, "q"))

    def __len__(self) -> int:
        return len(self.names)

    def text(self, place: int) -> str:
        """The whole path of an image, that of its container before its own."""
        if not self.files or not self.inner[place]:
            return self.names[place]
        return f"{self.files[self.file_of[place]][0]}/{self.inner[place]}"

    def path(self, place: int) -> str:
        """The path by which lists may name an image."""
        return self.inner[place] or self.names[place]

    def add_columns(self, columns: Mapping[str, Sequence[Any]], wanted: Collection[str]) -> None:
        """Columns of the images that were added last; `wanted` in small letters."""
        self.known_columns |= dict.fromkeys(columns)
        for name, values in columns.items():
            if name.lower() in wanted:
                column = self.columns.setdefault(name, [])
                column += [None] * (len(self) - len(values) - len(column))
                column += values
        for column in self.columns.values():
            column += [None] * (len(self) - len(column))


def list_images(files: Files, place: Place, wanted: Collection[str] = ()) -> Listing:
    """The images of a split and the columns beside them that are wanted.

    Images come in the order of their names; those of containers as they are stored there. Raises
    LayoutError for a broken container, and if there are two images of one name.
    """
    listing = Listing(place.layout.kind, place.folder)
    if place.layout.kind == LayoutKind.FOLDER:
        sizes = dict(sorted(_image_files(files, place)))
        listing.names, listing.sizes = list(sizes), array("q", sizes.values())
        listing.inner = listing.names
        return listing
    small = {name.lower() for name in wanted}
    for uri in place.paths:
        listing.files.append((below(uri, place.folder), files.size(uri)))
        if place.layout.kind == LayoutKind.TAR:
            _add_members(files, uri, listing, small)
        else:
            _add_rows(files, uri, listing, small)
    if len(set(listing.names)) < len(listing):
        (twice, count), *_ = Counter(listing.names).most_common(1)
        raise LayoutError(f"{place.folder}: expected each name once, got {twice} {count} times")
    return listing


def below(uri: str, folder: str) -> str:
    """The path of something below a folder, relative to it."""
    return uri[len(folder) :].strip("/")


def _image_files(files: Files, place: Place) -> Iterator[tuple[str, int]]:
    """The name and size of each image file."""
    single = {path for path in place.paths if is_image_name(path)}
    if single:
        folder = _common_folder(sorted(single))
        for path, size in files.list_sizes(folder).items():
            uri = files.join(folder, path)
            if uri in single:
                yield below(uri, place.folder), size
    for uri in place.paths:
        if uri not in single:
            prefix = below(uri, place.folder)
            for path, size in files.list_sizes(uri).items():
                if is_image_name(path):
                    yield f"{prefix}/{path}" if prefix else path, size


def _common_folder(paths: Sequence[str]) -> str:
    """The deepest folder that holds all of these sorted paths: that of the first and the last."""
    first, last = paths[0].split("/")[:-1], paths[-1].split("/")[:-1]
    num_same = 0
    while num_same < min(len(first), len(last)) and first[num_same] == last[num_same]:
        num_same += 1
    return "/".join(first[:num_same]) or "/"


def _add_rows(files: Files, uri: str, listing: Listing, wanted: Collection[str]) -> None:
    name = listing.files[-1][0]
    with files.open_input(uri) as file:
        found = read_rows(uri, file, wanted, arrow=listing.kind == LayoutKind.ARROW)
    listing.names += [f"{name}#{row}" for row in range(found.num_rows)]
    listing.inner += found.inner
    listing.starts.extend(range(found.num_rows))
    listing.sizes.extend([0] * found.num_rows)
    listing.file_of.extend([len(listing.files) - 1] * found.num_rows)
    listing.add_columns(found.columns, wanted)
    listing.known_columns |= dict.fromkeys(found.others)


def _add_members(files: Files, uri: str, listing: Listing, wanted: Collection[str]) -> None:
    name, begin = listing.files[-1][0], len(listing)
    beside: dict[str, dict[str, Any]] = {}
    try:
        with files.open_input(uri) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                # Else tarfile remembers each member: a gigabyte for a million images.
                tar.members = []  # type: ignore[attr-defined]  # not in typeshed
                path = str(PurePosixPath(member.name))
                if not member.isreg():
                    continue
                if is_image_name(path):
                    listing.names.append(f"{name}/{path}")
                    listing.inner.append(path)
                    listing.starts.append(member.offset_data)
                    listing.sizes.append(member.size)
                elif PurePosixPath(path).suffix in (*_TEXTS, ".json") and (
                    member.size <= _SMALL_BYTES
                ):
                    stored = tar.extractfile(member)
                    facts = _facts(f"{uri}/{path}", stored.read() if stored else b"")
                    beside.setdefault(_key(path), {}).update(facts)
    except (OSError, tarfile.TarError, EOFError) as error:
        raise LayoutError(
            f"{uri}: expected a whole tar file, not compressed, got {error}"
        ) from error
    listing.file_of.extend([len(listing.files) - 1] * (len(listing) - begin))
    rows = [beside.get(_key(path), {}) for path in listing.inner[begin:]]
    known = dict.fromkeys(one for row in rows for one in row)
    listing.add_columns({one: [row.get(one) for row in rows] for one in known}, wanted)


def _key(path: str) -> str:
    """What the files of one sample have in common, as WebDataset has it: up to the first dot."""
    folder, separator, name = path.rpartition("/")
    return folder + separator + name.partition(".")[0]


def _facts(uri: str, content: bytes) -> dict[str, Any]:
    suffix = PurePosixPath(uri).suffix
    if suffix in _TEXTS:
        return {suffix[1:]: content.decode("utf-8", "replace").strip()}
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise LayoutError(f"{uri}: expected JSON, got {error}") from error
    return dict(found) if isinstance(found, dict) else {}
