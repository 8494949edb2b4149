"""Are the commits those of the manifest, and do its rows name what shards of this dataset have?"""

import re
from collections.abc import Collection, Iterator, Sequence

import orjson
from pydantic import ValidationError

from ingest import storage
from ingest.audit.finding import Finding, differing
from schemas.manifest import (
    SCHEMA_VERSION,
    BuildRecord,
    Commit,
    DatasetRecord,
    commit_path,
    content_path,
    decode,
    digest,
    encode,
    plan_part_path,
)

_AT_ONCE = 1000
_INSIDE = re.compile(r"(plan|shards|ledger)/\w[\w.-]*")
_CANONICAL = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE


def check_commits(
    dataset: str, rows: Sequence[Commit], missing: Collection[str]
) -> Iterator[Finding]:
    """What the commits say otherwise than the manifest; they are read many at a time.

    missing: paths of commits that are known not to be there.
    """
    for at in range(0, len(rows), _AT_ONCE):
        piece = [one for one in rows[at : at + _AT_ONCE] if commit_path(one.shard) not in missing]
        paths = [commit_path(row.shard) for row in piece]
        for row, content in zip(piece, _read(dataset, paths), strict=True):
            if content is None:
                yield Finding(commit_path(row.shard), "expected a file, got none")
            elif content != _canonical(row) and content != encode(row):
                yield from _differences(row, content)


def check_rows(record: DatasetRecord, rows: Sequence[Commit]) -> tuple[list[Finding], list[int]]:
    """What is wrong with the rows of the manifest themselves; and the places of sound ones.

    All shards are of this layout and were built under the one build record, and their files are
    named after what they hold. A row that leads out of its folders is not sound: following it may
    have no end.
    """
    findings: list[Finding] = []
    sound: list[int] = []
    recorded_format = _format(record.build)
    for place, row in enumerate(rows):
        findings += _check_row(row, record.build_sha256, recorded_format)
        if all(
            _INSIDE.fullmatch(name) for name in (row.plan_file, row.shard_file, row.ledger_file)
        ):
            sound.append(place)
    return findings, sound


def _check_row(row: Commit, build_sha256: str, recorded_format: str | None) -> list[Finding]:
    extension = row.shard_file.rpartition(".")[2]
    # A plan part out of which URLs were taken is named after its content.
    blanked = content_path("plan", row.shard, row.plan_sha256, "parquet")
    plan = blanked if row.plan_file == blanked else plan_part_path(row.shard)
    return differing(
        commit_path(row.shard),
        schema_version=(SCHEMA_VERSION, row.schema_version),
        build_sha256=(build_sha256, row.build_sha256),
        format=(recorded_format, extension),
        plan_file=(plan, row.plan_file),
        shard_file=(
            content_path("shards", row.shard, row.shard_sha256, extension),
            row.shard_file,
        ),
        ledger_file=(
            content_path("ledger", row.shard, row.ledger_sha256, "parquet"),
            row.ledger_file,
        ),
    )


def _format(build: BuildRecord) -> str | None:
    """The recorded format of the shards."""
    pack = build.options.get("pack")
    found = pack.get("format") if isinstance(pack, dict) else None
    return found if isinstance(found, str) else None


def _canonical(row: Commit) -> bytes:
    """What `encode` gives, ten times as fast; where the two may ever differ, `encode` counts."""
    return orjson.dumps(row.model_dump(mode="json"), option=_CANONICAL)


def _read(dataset: str, paths: list[str]) -> list[bytes | None]:
    try:
        return [*storage.read_many(dataset, paths)]
    except FileNotFoundError:
        return [_read_one(dataset, path) for path in paths]


def _read_one(dataset: str, path: str) -> bytes | None:
    try:
        return storage.read_bytes(storage.join(dataset, path))
    except FileNotFoundError:
        return None


def _differences(row: Commit, content: bytes) -> list[Finding]:
    """Each field that differs; or the digest, if the same is written otherwise."""
    path = commit_path(row.shard)
    try:
        found = decode(Commit, content)
    except (ValidationError, UnicodeDecodeError) as error:
        return [Finding(path, f"expected a valid Commit, got {error}")]
    pairs = {name: (getattr(row, name), getattr(found, name)) for name in Commit.model_fields}
    return differing(path, **pairs) or differing(
        path, canonical_sha256=(digest(encode(row)), digest(content))
    )
