"""Tar shards of other people (WebDataset): every member that may be an image is a candidate.

Members `KEY.ext` of one key belong together: texts and JSON beside an image become its columns. No
image is read when planning: a candidate names the bytes of its member in the tar.
"""

import tarfile
from collections.abc import Iterator
from typing import IO, NamedTuple

import orjson

from ingest import storage
from ingest.errors import SetupError
from ingest.sources.candidates import clean, in_batches, stored_candidate, stretch
from ingest.sources.piece import Piece
from schemas.candidate import Candidate, Carrier
from schemas.options import PlanOptions
from schemas.outcome import Outcome

KIND = "tar"
SUFFIX = ".tar"
# What lies beside images in tars; all else may be one, whatever its name.
_TEXTS = frozenset(("json", "txt", "text", "caption", "cls", "id", "html", "xml", "csv", "url"))
_OTHERS = frozenset(("npy", "npz", "pth", "pt", "pyd", "pkl", "pickle", "safetensors", "bin"))
_MAX_TEXT_BYTES = 1 << 20


class Member(NamedTuple):
    """A regular file in a tar; `text` holds it if it is one that describes an image."""

    name: str
    offset: int
    size: int
    text: bytes | None = None
    problem: str | None = None

    @property
    def key(self) -> str:
        """What the members of a sample have in common: the path up to the name's first dot."""
        folder, slash, name = self.name.rpartition("/")
        return f"{folder}{slash}{name.partition('.')[0]}"

    @property
    def extension(self) -> str:
        """What follows the name's last dot, in lower case."""
        return self.name.rpartition("/")[2].rpartition(".")[2].lower()

    @property
    def may_be_image(self) -> bool:
        """Whether it is not known to be something else by its name."""
        return self.extension not in _TEXTS and self.extension not in _OTHERS


def split_tar(uri: str, options: PlanOptions) -> list[Piece]:
    """The tar as one piece: only its headers are read, one after the other."""
    return [Piece(uri, KIND)]


def read_tar(piece: Piece, options: PlanOptions) -> Iterator[list[Candidate]]:
    """The images of a tar in their order, with the texts beside them as columns."""
    uri = piece.uri
    return in_batches(
        image_candidate(uri, row, uri, member, columns)
        for row, (member, columns) in enumerate(_samples(read_members(uri)))
    )


def read_members(uri: str) -> Iterator[Member]:
    """The regular files of a tar; raises SetupError if it is none, or not whole."""
    try:
        with (
            storage.open_input(uri) as file,
            tarfile.open(fileobj=file, mode="r:") as tar,
        ):
            while (found := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # or memory would hold them all
                if found.isreg():
                    yield _member(tar, found)
            _check_end(file, tar.offset)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise SetupError(f"{uri}: expected a whole tar, not compressed, got {error}") from error


def image_candidate(
    source: str, row: int, tar_uri: str, member: Member, columns: dict[str, object]
) -> Candidate:
    """The candidate of a member; its URL is the one that its JSON or its row names, if any."""
    named = columns.get("url")
    described = columns.get("json")
    if not isinstance(named, str) and isinstance(described, dict):
        named = described.get("url")
    url = named if isinstance(named, str) and named else f"{tar_uri}#{clean(member.name)}"
    place = (Carrier.FILE, tar_uri, stretch(member.offset, member.size))
    problem = None if member.problem is None else (Outcome.UNREADABLE, member.problem)
    return stored_candidate(source, row, url, columns, place, problem)


def _check_end(file: IO[bytes], offset: int) -> None:
    """Raise EOFError unless a tar ends here: tarfile takes a broken header for the end."""
    file.seek(offset)
    block = file.read(tarfile.BLOCKSIZE)
    if block.strip(b"\x00"):
        raise EOFError(f"no header at byte {offset}")


def _member(tar: tarfile.TarFile, found: tarfile.TarInfo) -> Member:
    problem = "expected a plain file, got a sparse one" if found.issparse() else None
    member = Member(found.name, found.offset_data, found.size, None, problem)
    if member.extension not in _TEXTS or found.size > _MAX_TEXT_BYTES:
        return member
    file = tar.extractfile(found)
    return member if file is None else member._replace(text=file.read())


def _samples(members: Iterator[Member]) -> Iterator[tuple[Member, dict[str, object]]]:
    """Each image with the texts of its key, which stand next to it, before or after."""
    group: list[Member] = []
    for member in members:
        if group and member.key != group[0].key:
            yield from _images(group)
            group = []
        group.append(member)
    yield from _images(group)


def _images(group: list[Member]) -> Iterator[tuple[Member, dict[str, object]]]:
    texts = {one.extension: _value(one) for one in group if one.text is not None}
    for one in group:
        if one.may_be_image:
            yield one, {"member": clean(one.name), **texts}


def _value(member: Member) -> object:
    """A text as what it says: JSON as its value, all else as a string."""
    assert member.text is not None
    if member.extension == "json":
        try:
            return orjson.loads(member.text)
        except orjson.JSONDecodeError:
            pass
    return member.text.decode("utf-8", "replace")
