"""A dataset with tombstones -> its next version, in which the shards lack what was removed.

New files are written beside the old ones; then the record of the repack, the commits, the manifest
and the seal name them; then the old ones are deleted. Whatever was interrupted goes on there.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import orjson
import pyarrow as pa
from pydantic import ValidationError

from ingest import storage
from ingest.errors import SetupError
from ingest.pack.seal import (
    read_manifest,
    read_manifest_bytes,
    read_repacks,
    read_retries,
    seal_dataset,
)
from ingest.removal.remove import forget_report
from ingest.removal.rewrite import Rewriter, staged_path
from ingest.sampling import shards_over
from schemas.arrow import parquet_bytes, read_parquet_bytes
from schemas.manifest import (
    DATASET_FILE,
    REPACKS,
    Commit,
    DatasetRecord,
    RepackRecord,
    commit_path,
    digest,
    encode,
    generation_of,
    removed_path,
    repack_path,
    repacked_manifest_path,
    repacked_seal_path,
)
from schemas.options import PackOptions
from schemas.outcome import Outcome
from schemas.removal import REMOVALS, RemovedSample
from schemas.tombstone import CERTIFICATES, TOMBSTONES, Tombstone

_WRITERS = 16
_VERSIONED = ("uncurated", "pyarrow", "orjson")


@dataclass(frozen=True)
class Work:
    """What a repack has to do: which shards, by which tombstones."""

    number: int
    tombstone_files: dict[str, str]
    rewriter: Rewriter
    shards: tuple[int, ...]


def unfinished_repack(dataset: str, seal: DatasetRecord) -> RepackRecord | None:
    """The record of a repack that the seal does not know yet."""
    repacks = read_repacks(dataset)
    return repacks[-1] if len(repacks) > len(seal.repacks) else None


def plan_repack(dataset: str, seal: DatasetRecord, scratch: str) -> Work | None:
    """The work that the tombstones of a dataset ask for; None if there are none."""
    if len(read_retries(dataset)) > len(seal.retries):
        raise SetupError(f"expected a finished dataset, a retry of {dataset} is under way")
    files: dict[str, str] = {}
    tombstones: dict[int, dict[str, Tombstone]] = {}
    for path, content in _tombstone_files(dataset):
        files[path] = digest(content)
        for one in _read_tombstones(path, content):
            own = tombstones.setdefault(one.shard, {})
            # A request goes before a copy: it leaves less behind.
            if one.id not in own or one.outcome is Outcome.REMOVED:
                own[one.id] = one
    if not tombstones:
        return None
    number = len(seal.repacks) + 1
    blanked = _blanked(seal, tombstones)
    rewriter = Rewriter(
        dataset=dataset,
        salt=_salt(seal, files),
        staging=_staging(number, files),
        options=PackOptions(format=seal.build.options["pack"]["format"], scratch=scratch),
        tombstones=tombstones,
        blanked=blanked,
    )
    return Work(number, files, rewriter, tuple(sorted({*tombstones, *blanked})))


def record_repack(
    dataset: str, seal: DatasetRecord, work: Work, results: Iterable[bytes]
) -> RepackRecord:
    """Write the record of what was written anew, with the seal before it; the record."""
    written = [orjson.loads(content) for content in results if content]
    removed = [RemovedSample(**one) for result in written for one in result["removed"]]
    commits = [Commit(**result["commit"]) for result in written]
    before = {row.shard: row for row in read_manifest(dataset)}
    content = _removed_bytes(removed)
    outcomes = [one.outcome.value for one in removed]
    seal_bytes = storage.read_bytes(storage.join(dataset, DATASET_FILE))
    record = RepackRecord(
        repack=work.number,
        num_retries=len(seal.retries),
        removed={word: outcomes.count(word) for word in sorted(set(outcomes))},
        shards=tuple(commit.shard for commit in commits),
        plan_parts={
            str(new.shard): before[new.shard].plan_sha256
            for new in commits
            if new.plan_sha256 != before[new.shard].plan_sha256
        },
        tombstone_files=work.tombstone_files,
        records=dict(_obeyed_records(dataset, work.tombstone_files)),
        versions={name: version(name) for name in _VERSIONED},
        salt=work.rewriter.salt,
        removed_file=removed_path(work.number),
        removed_sha256=digest(content),
        seal_sha256=digest(seal_bytes),
        merkle_root=seal.merkle_root,
        version=seal.version,
    )
    manifest = read_manifest_bytes(dataset, seal)
    for path, body in (
        (repacked_seal_path(work.number), seal_bytes),
        (repacked_manifest_path(work.number), manifest),
        (record.removed_file, content),
        (repack_path(work.number), encode(record)),
    ):
        storage.write_bytes(storage.join(dataset, path), body)
    return record


def publish(dataset: str, seal: DatasetRecord, record: RepackRecord) -> DatasetRecord:
    """Let commits, manifest and seal name the new files; the new seal."""
    new = _staged_commits(dataset, record)
    rows = [new.get(row.shard, row) for row in read_manifest(dataset)]
    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(partial(_write_commit, dataset), new.values()))
    sealed = seal_dataset(dataset, rows)
    if sealed.repacks != (*seal.repacks, record):
        raise AssertionError(f"expected repack {record.repack} as the last one of the new seal")
    return sealed


def delete_removed(dataset: str, record: RepackRecord) -> None:
    """Delete what the shards were before, the tombstones that were obeyed, and what was staged."""
    content = storage.read_bytes(storage.join(dataset, repacked_manifest_path(record.repack)))
    before = Commit.from_table(read_parquet_bytes(content))
    now = read_manifest(dataset)
    named = {path for row in now for path in _files(row)}
    old = {path for shard in record.shards for path in _files(before[shard])} - named
    # Those of attempts with other tombstones, too, that were given up.
    staged = re.compile(rf"{record.repack:04d}-[0-9a-f]{{12}}-\d{{5,}}\.json")
    names = filter(staged.fullmatch, storage.list_names(storage.join(dataset, REPACKS)))
    forget_report(dataset)
    # A later search with the same index may have written others of the same name.
    obeyed = [
        path
        for path, content in _tombstone_files(dataset)
        if record.tombstone_files.get(path) == digest(content)
    ]
    paths = [*sorted(old), *obeyed, *(f"{REPACKS}/{name}" for name in names)]
    with ThreadPoolExecutor(_WRITERS) as pool:
        list(pool.map(lambda path: storage.remove(storage.join(dataset, path)), paths))


def _tombstone_files(dataset: str) -> Iterator[tuple[str, bytes]]:
    for name in storage.list_names(storage.join(dataset, TOMBSTONES)):
        yield f"{TOMBSTONES}/{name}", storage.read_bytes(storage.join(dataset, TOMBSTONES, name))


def _read_tombstones(path: str, content: bytes) -> list[Tombstone]:
    try:
        return Tombstone.from_table(read_parquet_bytes(content))
    except (pa.ArrowException, OSError, ValidationError) as error:
        what = f"expected a table of tombstones, got {error}: audit first"
        raise SetupError(f"{path}: {what}") from error


def _obeyed_records(dataset: str, files: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of each record, of a request or a search, that names any of these files."""
    for folder in (REMOVALS, CERTIFICATES):
        for name in storage.list_names(storage.join(dataset, folder)):
            content = storage.read_bytes(storage.join(dataset, folder, name))
            if orjson.loads(content)["tombstone_files"].keys() & files.keys():
                yield f"{folder}/{name}", digest(content)


def _blanked(
    seal: DatasetRecord, tombstones: Mapping[int, Mapping[str, Tombstone]]
) -> dict[int, frozenset[str]]:
    """By shard, ids to blank there: a candidate has rows in earlier generations too."""
    ids: dict[int, set[str]] = {}
    ranges = [(0, seal.plan.num_shards)]
    ranges += [(retry.first_shard, retry.num_shards) for retry in seal.retries]
    for shard, own in tombstones.items():
        wanted = {one.id for one in own.values() if one.outcome is Outcome.REMOVED}
        first, count = ranges[generation_of(shard, seal.retries)]
        for other_first, other_count in ranges if wanted else ():
            for other in shards_over(shard - first, count, other_count):
                ids.setdefault(other_first + other, set()).update(wanted)
    return {shard: frozenset(wanted) for shard, wanted in ids.items()}


def _salt(seal: DatasetRecord, files: Mapping[str, str]) -> str:
    """A salt of its own for each repack; the same when it goes on after an interruption."""
    return sha256(f"{seal.record_sha256}{_digest_of(files)}".encode()).hexdigest()[:32]


def _digest_of(files: Mapping[str, str]) -> str:
    return digest(orjson.dumps(dict(files), option=orjson.OPT_SORT_KEYS))


def _staging(number: int, files: Mapping[str, str]) -> str:
    return f"{REPACKS}/{number:04d}-{_digest_of(files)[:12]}"


def _staged_commits(dataset: str, record: RepackRecord) -> dict[int, Commit]:
    staging = _staging(record.repack, record.tombstone_files)
    names = [staged_path(staging, shard) for shard in record.shards]
    found: list[dict[str, Any]] = [orjson.loads(one) for one in storage.read_many(dataset, names)]
    return {one["commit"]["shard"]: Commit(**one["commit"]) for one in found}


def _write_commit(dataset: str, commit: Commit) -> None:
    # Over the former one: all shards have a commit, so that no attempt to create one can win.
    storage.write_bytes(storage.join(dataset, commit_path(commit.shard)), encode(commit))


def _files(row: Commit) -> tuple[str, str, str]:
    return row.shard_file, row.ledger_file, row.plan_file


def _removed_bytes(removed: Sequence[RemovedSample]) -> bytes:
    ordered = sorted(removed, key=lambda one: (one.shard, one.id_digest))
    return parquet_bytes(RemovedSample.to_table(ordered))
