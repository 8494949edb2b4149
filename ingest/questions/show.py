"""All that is known of an image: its plan row, its ledger rows, where it lies, what removed it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from ingest import storage
from ingest.errors import SetupError
from ingest.questions.sealed import Sealed
from ingest.questions.search import Matches, TakenOut, find_matches, read_rows
from ingest.questions.views import opened_views, read_removals
from schemas.candidate import Candidate
from schemas.ledger import LedgerRow
from schemas.outcome import Outcome

_MEMORY_MIB = 1024


@dataclass(frozen=True)
class Image:
    """What is known of one candidate.

    rows: its ledger rows by generation, the last one counts; planned: its plan rows alike.
    tombstones: with the file of each; removals: the records, by path, that name those files.
    problems: what of this could not be read.
    """

    id: str
    planned: list[dict[str, Any]]
    rows: list[dict[str, Any]]
    shard_file: str | None
    tombstones: list[dict[str, Any]]
    removals: dict[str, dict[str, Any]]
    taken_out: list[TakenOut]
    problems: list[str]

    @property
    def last(self) -> dict[str, Any]:
        """The ledger row that counts."""
        return self.rows[-1]

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values; bytes are hex."""
        return {
            "id": self.id,
            "outcome": self.last["outcome"],
            "shard_file": self.shard_file,
            "ledger": [_plain(row) for row in self.rows],
            "plan": [_plain(row) for row in self.planned],
            "tombstones": self.tombstones,
            "removals": self.removals,
            "taken_out": [vars(one) for one in self.taken_out],
            "problems": self.problems,
        }


@dataclass(frozen=True)
class Shown:
    """The images that a key names. kind: what it is; num_found: all, of which some are listed."""

    kind: str
    num_found: int
    images: list[Image]


def find_images(sealed: Sealed, key: str) -> Shown:
    """All that is known of the images with this id, SHA-256 or URL; none if there is no such."""
    with opened_views(sealed, _MEMORY_MIB) as (connection, files), _files_told(files):
        matches = find_matches(sealed, key, connection)
        tombstones = _tombstones(connection, list(matches.shards))
    images = _read_images(sealed, matches)
    removals = read_removals(sealed.dataset) if tombstones else {}
    for number, image in enumerate(images):
        own = [one for one in tombstones if one["id"] == image.id]
        named = {one["file"] for one in own}
        records = {
            path: record.model_dump(mode="json")
            for path, record in removals.items()
            if named & record.tombstone_files.keys()
        }
        images[number] = replace(image, tombstones=own, removals=records)
    return Shown(matches.kind, matches.num_found, images)


def read_picture(sealed: Sealed, image: Image) -> bytes:
    """The bytes of a kept image as packed, by one range request, compared with its SHA-256.

    Raises SetupError if it has none, if they differ, or if a tombstone forbids to give it away.
    """
    check_kept(image)
    for one in image.tombstones:
        raise SetupError(
            f"expected an image without a tombstone, got {one['file']}: {one['outcome']}"
            f"{': ' if one['detail'] else ''}{one['detail']}; what was removed is given to nobody"
        )
    row = image.last
    uri = storage.join(sealed.dataset, str(image.shard_file))
    try:
        content = storage.read_range(uri, row["offset_bytes"], row["length_bytes"])
    except FileNotFoundError as error:
        raise SetupError(f"expected {image.shard_file} in {sealed.dataset}, got none") from error
    found = sha256(content).hexdigest()
    if found != row["sha256"]:
        raise SetupError(
            f"{image.shard_file}, {len(content)} bytes from {row['offset_bytes']}: expected "
            f"SHA-256 {row['sha256']}, got {found}"
        )
    return content


def check_kept(image: Image) -> None:
    """Raise SetupError unless the image is in a shard."""
    if image.last["outcome"] != Outcome.KEPT:
        raise SetupError(
            f"expected a kept image, got outcome {image.last['outcome']} of {image.id}: no shard "
            "holds it"
        )


def _read_images(sealed: Sealed, matches: Matches) -> list[Image]:
    """The images with their plan and ledger rows; each part is read once."""
    rows = {one: list[dict[str, Any]]() for one in matches.shards}
    planned = {one: list[dict[str, Any]]() for one in matches.shards}
    problems = {one: list[str]() for one in matches.shards}
    for shard, ids in _by_shard(matches):
        commit = sealed.commit(shard)
        if commit is None:
            raise SetupError(f"expected shard {shard} in the manifest, got none")
        for row in read_rows(sealed, str(commit["ledger_file"]), list(LedgerRow.model_fields), ids):
            rows[row["id"]].append(row)
        try:
            found = read_rows(sealed, str(commit["plan_file"]), list(Candidate.model_fields), ids)
        except SetupError as error:
            found = []
            for one in ids:
                problems[one].append(str(error))
        for row in found:
            planned[row["id"]].append(row)
    images = []
    for sample_id, own in rows.items():
        own.sort(key=lambda row: (row["generation"], row["shard"]))
        kept = sealed.commit(own[-1]["shard"]) if own[-1]["outcome"] == Outcome.KEPT else None
        shard_file = str(kept["shard_file"]) if kept else None
        taken = [one for one in matches.taken_out if one.id == sample_id]
        about = (planned[sample_id], own, shard_file)
        images.append(Image(sample_id, *about, [], {}, taken, problems[sample_id]))
    return images


def _by_shard(matches: Matches) -> list[tuple[int, list[str]]]:
    """The shards to look into, and for which ids."""
    ids_of: dict[int, list[str]] = {}
    for sample_id, shards in matches.shards.items():
        for shard in shards:
            ids_of.setdefault(shard, []).append(sample_id)
    return sorted(ids_of.items())


def _tombstones(connection: Any, ids: list[str]) -> list[dict[str, Any]]:
    if not ids:
        return []
    relation = connection.sql(
        "FROM tombstones WHERE id IN (SELECT unnest($1)) ORDER BY file", params=[ids]
    )
    found: list[dict[str, Any]] = relation.to_arrow_table().to_pylist()
    return found


@contextmanager
def _files_told(files: Any) -> Iterator[None]:
    """Tell a file that cannot be read as a sentence."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise files.failure or SetupError(f"expected sound records, got: {error}") from error


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
