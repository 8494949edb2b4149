"""Find images in a dataset by id, SHA-256 or URL: which candidates are meant, in which shards."""

import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingest.pack.ledger_parts import read_part
from ingest.questions.sealed import Sealed
from ingest.sampling import likely_shards
from schemas.removal import RemovedSample, salted

# A SHA-256 may be that of a placeholder which thousands of hosts serve.
MAX_FOUND = 100
_CONDITIONS = {
    "SHA-256": "sha256 = $1 OR original_sha256 = $1",
    "URL": "url = $1 OR final_url = $1",
}
# Half a character: what Python makes of an argument that is no UTF-8, and no ledger holds.
_NO_TEXT = re.compile("[\ud800-\udfff]")
_DIGESTS = {"id": "id_digest", "SHA-256": "image_digest", "URL": "url_digest"}


@dataclass(frozen=True)
class TakenOut:
    """A sample that a repack took out of its shard for good."""

    id: str
    repack: int
    version: str
    shard: int
    outcome: str


@dataclass(frozen=True)
class Matches:
    """Candidates that were asked for.

    shards: in which shards each may have a row, of the first `MAX_FOUND` ids; num_found: of all.
    """

    kind: str
    shards: dict[str, list[int]]
    num_found: int
    taken_out: list[TakenOut]


def kind_of(key: str) -> tuple[str, str]:
    """What a key is, `id`, `SHA-256` or `URL`, and its canonical form."""
    if re.fullmatch("[0-9a-fA-F]{32}", key):
        return "id", key.lower()
    if re.fullmatch("[0-9a-fA-F]{64}", key):
        return "SHA-256", key.lower()
    return "URL", key


def find_matches(sealed: Sealed, key: str, connection: Any) -> Matches:
    """The candidates that a key names.

    An id tells its shards by itself as a rule; else the columns asked for of all ledger parts are
    scanned. What a repack has taken out is found by its salted digests.
    connection: one with the views of the dataset.
    """
    kind, value = kind_of(key)
    if _NO_TEXT.search(value):
        return Matches(kind, {}, 0, [])
    taken_out = find_taken_out(sealed, kind, value)
    if kind == "id":
        shards = _shards_of_id(sealed, value, connection)
        return Matches(kind, {value: shards} if shards else {}, int(bool(shards)), taken_out)
    rows = connection.execute(
        "SELECT id, list(DISTINCT shard ORDER BY shard), count(*) OVER () FROM ledger_all "
        f"WHERE {_CONDITIONS[kind]} GROUP BY id ORDER BY id LIMIT {MAX_FOUND}",
        [value],
    ).fetchall()
    num_found = rows[0][2] if rows else 0
    found = {row[0]: row[1] for row in rows}
    # The URL and bytes of what was taken out are in no ledger any more.
    found |= {one.id: [one.shard] for one in taken_out if one.id not in found}
    if sealed.seal.retries and found:
        # Of a retried candidate the rows before tell of no bytes, so they have not been found.
        rows = connection.execute(
            "SELECT id, list(DISTINCT shard ORDER BY shard) FROM ledger_all "
            "WHERE id IN (SELECT unnest($1)) GROUP BY id",
            [list(found)],
        ).fetchall()
        found = dict(rows)
    return Matches(kind, dict(sorted(found.items())), max(num_found, len(found)), taken_out)


def find_taken_out(sealed: Sealed, kind: str, value: str) -> list[TakenOut]:
    """The samples with this id, SHA-256 or URL that repacks took out; by salted digests alone."""
    wanted = bytes.fromhex(value) if kind == "SHA-256" else value.encode()
    found = []
    for record in sealed.seal.repacks:
        digest = salted(record.salt, wanted)
        columns = list(RemovedSample.model_fields)
        table = read_part(sealed.dataset, record.removed_file, columns)
        for row in table.filter(pc.equal(table[_DIGESTS[kind]], digest)).to_pylist():
            sample_id = _id_of(sealed, row["shard"], record.salt, row["id_digest"])
            if sample_id is not None:
                place = (row["shard"], row["outcome"])
                found.append(TakenOut(sample_id, record.repack, record.version, *place))
    return found


def read_rows(
    sealed: Sealed, path: str, columns: list[str], ids: list[str]
) -> list[dict[str, Any]]:
    """The rows of some ids in one ledger or plan part; raises SetupError if there is no such."""
    part = read_part(sealed.dataset, path, columns)
    rows: list[dict[str, Any]] = part.filter(pc.is_in(part["id"], pa.array(ids))).to_pylist()
    return rows


def _shards_of_id(sealed: Sealed, sample_id: str, connection: Any) -> list[int]:
    likely = likely_shards(sealed.seal, sample_id)
    first = sealed.commit(likely[0]) if likely else None
    if first and read_rows(sealed, str(first["ledger_file"]), ["id"], [sample_id]):
        return likely
    # A candidate has at most one row in each generation, so that the scan ends with the last.
    most = 1 + len(sealed.seal.retries)
    rows = connection.execute(
        f"SELECT shard FROM ledger_all WHERE id = $1 LIMIT {most}", [sample_id]
    ).fetchall()
    return sorted({row[0] for row in rows})


def _id_of(sealed: Sealed, shard: int, salt: str, id_digest: str) -> str | None:
    """The id in a shard's ledger part that has this salted digest."""
    commit = sealed.commit(shard)
    if commit is None:
        return None
    part = read_part(sealed.dataset, str(commit["ledger_file"]), ["id"])
    ids: list[str] = part["id"].to_pylist()
    return next((one for one in ids if salted(salt, one.encode()) == id_digest), None)
