"""What an input was, by digest, so that lineage ends at something that can be compared."""

from hashlib import sha256
from typing import IO

from ingest import storage
from ingest.sources.dataset import KIND as DATASET_KIND
from ingest.sources.folder import KIND as FOLDER_KIND

_READ_BYTES = 1 << 20
# URI and kind of an input, its bytes, SHA-256; -1 and "" for what has none of its own.
InputDigest = tuple[str, str, int, str]


def digest_input(uri: str, kind: str, what: str = "sha256") -> InputDigest:
    """Size and SHA-256 of an input file; of a folder those of its listing; of a dataset neither.

    A listing is one line for each file in the order of paths: its path, a tab, its size. what:
    `size` if no digest is asked for.
    """
    if kind == DATASET_KIND:
        return uri, kind, -1, ""
    if kind == FOLDER_KIND:
        sizes = storage.list_sizes(uri)
        lines = "".join(f"{path}\t{sizes[path]}\n" for path in sorted(sizes))
        content = lines.encode("utf-8", "surrogateescape")
        return (
            uri,
            kind,
            sum(sizes.values()),
            sha256(content).hexdigest() if what == "sha256" else "",
        )
    if what == "size":
        return uri, kind, storage.size(uri), ""
    with storage.open_input(uri) as file:
        return uri, kind, *_digest(file)


def _digest(file: IO[bytes]) -> tuple[int, str]:
    found, num_bytes = sha256(), 0
    while content := file.read(_READ_BYTES):
        found.update(content)
        num_bytes += len(content)
    return num_bytes, found.hexdigest()
