"""How a dataset came to be what it is: each earlier seal is there, and says what is still true.

One walks back from the seal, over each retry and repack, to the first seal.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
from pydantic import ValidationError

from ingest import storage
from ingest.audit.finding import Finding, differing
from ingest.pack.conservation import totals
from ingest.removal.receipt import make_receipt
from ingest.retry import RETRYABLE
from schemas.arrow import read_parquet_bytes
from schemas.manifest import (
    Commit,
    DatasetRecord,
    RepackRecord,
    RetryRecord,
    decode,
    digest,
    encode,
    former_manifest_path,
    former_seal_path,
    repack_path,
    repacked_manifest_path,
    repacked_seal_path,
    retry_path,
    version_of,
)
from schemas.removal import Receipt, RemovedSample, receipt_path
from schemas.tombstone import CERTIFICATES

_UNREADABLE = (ValidationError, UnicodeDecodeError, pa.ArrowException, OSError)


@dataclass(frozen=True)
class _Version:
    """A seal and its manifest."""

    record: DatasetRecord
    rows: Sequence[Commit]


def check_history(dataset: str, record: DatasetRecord, rows: Sequence[Commit]) -> list[Finding]:
    """What is wrong with the records of retries and repacks, and with the seals before them."""
    findings: list[Finding] = []
    after = _Version(record, rows)
    for event in reversed(events_of(record)):
        path = _record_path(event)
        findings += _check_file(dataset, path, digest(encode(event)))
        before, found = _read_former(dataset, event)
        findings += found
        if before is None:
            return findings
        findings += _check_former(event, before, after)
        if isinstance(event, RetryRecord):
            findings += _check_retry(event, before, after)
        else:
            findings += _check_repack(dataset, event, before, after)
            findings += _check_receipt(dataset, event, after)
        after = before
    return findings


def events_of(record: DatasetRecord) -> list[RetryRecord | RepackRecord]:
    """The retries and repacks of a dataset in the order in which they were made."""
    events: list[RetryRecord | RepackRecord] = []
    for number in range(len(record.retries) + 1):
        events += record.retries[number - 1 : number] if number else ()
        events += [one for one in record.repacks if one.num_retries == number]
    return events


def former_roots(record: DatasetRecord) -> set[str]:
    """The Merkle root of a dataset, and all that it had before."""
    return {record.merkle_root, *(one.merkle_root for one in events_of(record))}


def history_files(record: DatasetRecord) -> set[str]:
    """The paths of all that retries and repacks leave beside the shards of a dataset."""
    paths: set[str] = set()
    for event in events_of(record):
        paths |= {_record_path(event), *_former_paths(event)}
        if isinstance(event, RepackRecord):
            paths |= {event.removed_file, receipt_path(event.repack)}
    return paths


def _record_path(event: RetryRecord | RepackRecord) -> str:
    if isinstance(event, RetryRecord):
        return retry_path(event.generation)
    return repack_path(event.repack)


def _former_paths(event: RetryRecord | RepackRecord) -> tuple[str, str]:
    if isinstance(event, RetryRecord):
        number = event.generation - 1
        return former_seal_path(number), former_manifest_path(number)
    return repacked_seal_path(event.repack), repacked_manifest_path(event.repack)


def _read_former(
    dataset: str, event: RetryRecord | RepackRecord
) -> tuple[_Version | None, list[Finding]]:
    """The seal and manifest before an event; none, and findings, if they cannot be read."""
    seal_path, manifest_path = _former_paths(event)
    path = seal_path
    try:
        content = storage.read_bytes(storage.join(dataset, seal_path))
        seal = decode(DatasetRecord, content)
        findings = differing(
            seal_path,
            sha256=(event.seal_sha256, digest(content)),
            record_sha256=(seal.sealed().record_sha256, seal.record_sha256),
        )
        path = manifest_path
        manifest = storage.read_bytes(storage.join(dataset, manifest_path))
        findings += differing(path, sha256=(seal.manifest_sha256, digest(manifest)))
        return _Version(seal, Commit.from_table(read_parquet_bytes(manifest))), findings
    except FileNotFoundError:
        return None, [Finding(path, "expected a file, got none")]
    except _UNREADABLE as error:
        return None, [Finding(path, f"expected an earlier seal and manifest, got {error}")]


def _check_former(
    event: RetryRecord | RepackRecord, before: _Version, after: _Version
) -> list[Finding]:
    """An earlier seal adds up, and knows all that was before the event and nothing more."""
    seal, later = before.record, after.record
    is_retry = isinstance(event, RetryRecord)
    retries = later.retries[:-1] if is_retry else later.retries
    repacks = later.repacks if is_retry else later.repacks[:-1]
    counted = totals(before.rows, seal.retries)
    return differing(
        _former_paths(event)[0],
        build_sha256=(later.build_sha256, seal.build_sha256),
        plan_sha256=(later.plan_sha256, seal.plan_sha256),
        retries=(retries, seal.retries),
        repacks=(repacks, seal.repacks),
        version=(version_of(retries, repacks), seal.version),
        num_shards=(len(before.rows), seal.num_shards),
        **{name: (value, getattr(seal, name)) for name, value in counted.items()},
    ) + differing(_record_path(event), merkle_root=(seal.merkle_root, event.merkle_root))


def _check_retry(event: RetryRecord, before: _Version, after: _Version) -> list[Finding]:
    """A retry takes up again only what may be, and leaves the shards before it as they were."""
    final = sorted({*event.outcomes, *event.superseded} - set(RETRYABLE))
    findings = differing(retry_path(event.generation), final_outcomes=([], final))
    path = former_seal_path(event.generation - 1)
    findings += differing(path, num_shards=(event.first_shard, before.record.num_shards))
    for old, new in zip(before.rows, after.rows, strict=False):
        findings += _unlike(path, old, new)
    return findings


def _check_repack(
    dataset: str, event: RepackRecord, before: _Version, after: _Version
) -> list[Finding]:
    """A repack took out what it says, and left all other shards as they were."""
    path, gone, per_shard = repack_path(event.repack), Counter[str](), Counter[int]()
    findings = differing(path, num_shards=(len(before.rows), len(after.rows)))
    plan_parts, touched = {}, set(event.shards)
    for old, new in zip(before.rows, after.rows, strict=False):
        if old.shard not in touched:
            findings += _unlike(path, old, new)
            continue
        if old.plan_sha256 != new.plan_sha256:
            plan_parts[str(old.shard)] = old.plan_sha256
        per_shard[old.shard] = old.num_kept - new.num_kept
        gone.update({word: new.outcomes.get(word, 0) for word in event.removed})
        gone.subtract({word: old.outcomes.get(word, 0) for word in event.removed})
    for record_path, sha256 in event.records.items():
        # A later search with the same index writes its record over the former one.
        if not record_path.startswith(CERTIFICATES):
            findings += _check_file(dataset, record_path, sha256)
    findings += differing(
        path, removed=(dict(gone), event.removed), plan_parts=(plan_parts, event.plan_parts)
    )
    return findings + _check_removed(dataset, event, per_shard)


def _unlike(path: str, old: Commit, new: Commit) -> list[Finding]:
    """A finding if a shard is not what it was."""
    if old == new:
        return []
    return differing(path, **{f"shard {old.shard}": (encode(new), encode(old))})


def _check_removed(dataset: str, event: RepackRecord, per_shard: Counter[int]) -> list[Finding]:
    """The salted digests are as many as samples were taken out, of each shard."""
    findings = _check_file(dataset, event.removed_file, event.removed_sha256)
    if findings:
        return findings
    content = storage.read_bytes(storage.join(dataset, event.removed_file))
    try:
        removed = RemovedSample.from_table(read_parquet_bytes(content))
    except _UNREADABLE as error:
        return [Finding(event.removed_file, f"expected salted digests, got {error}")]
    return differing(
        event.removed_file,
        by_shard=(+per_shard, Counter(one.shard for one in removed)),
        by_outcome=(event.removed, dict(Counter(one.outcome.value for one in removed))),
    )


def _check_receipt(dataset: str, event: RepackRecord, after: _Version) -> list[Finding]:
    """The receipt is what the seals before and after the repack say."""
    path = receipt_path(event.repack)
    try:
        content = storage.read_bytes(storage.join(dataset, path))
        receipt = decode(Receipt, content)
        expected = make_receipt(dataset, event, after.record, after.rows, receipt.runs)
    except FileNotFoundError as error:
        return [Finding(path, f"expected a receipt and what it is made of, got {error}")]
    except (*_UNREADABLE, IndexError) as error:
        return [Finding(path, f"expected a valid Receipt, got {error}")]
    return differing(path, content=(encode(expected).decode(), content.decode()))


def _check_file(dataset: str, path: str, sha256: str) -> list[Finding]:
    try:
        content = storage.read_bytes(storage.join(dataset, path))
    except FileNotFoundError:
        return [Finding(path, "expected a file, got none")]
    return differing(path, sha256=(sha256, digest(content)))
