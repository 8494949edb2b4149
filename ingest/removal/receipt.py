"""The receipt of a repack: what changed, by digests, and which training runs had read it."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from ingest import storage
from ingest.errors import SetupError
from schemas.arrow import read_parquet_bytes
from schemas.manifest import (
    Commit,
    DatasetRecord,
    RepackRecord,
    RetryRecord,
    decode,
    digest,
    encode,
    repacked_manifest_path,
)
from schemas.removal import (
    Receipt,
    RemovedSample,
    RunReads,
    ShardChange,
    receipt_path,
)

logger = logging.getLogger(__name__)

# Where the trainer writes its read logs, below the folder of a run.
READ_LOGS = "read-logs"
Place = tuple[int, int, int]


def make_receipt(
    dataset: str,
    record: RepackRecord,
    after: DatasetRecord,
    rows: Sequence[Commit],
    runs: Iterable[RunReads],
) -> Receipt:
    """The receipt of a repack; `after` and `rows`: the seal that it made, and its manifest."""
    content = storage.read_bytes(storage.join(dataset, repacked_manifest_path(record.repack)))
    before = Commit.from_table(read_parquet_bytes(content))
    changes = tuple(_change(before[shard], rows[shard]) for shard in record.shards)
    return Receipt(
        repack=record.repack,
        version=(record.version, after.version),
        merkle_root=(record.merkle_root, after.merkle_root),
        seal_sha256=(record.seal_sha256, digest(encode(after))),
        removed=record.removed,
        records=record.records,
        salt=record.salt,
        removed_file=record.removed_file,
        removed_sha256=record.removed_sha256,
        shards=changes,
        num_other_shards=len(before) - len(changes),
        runs=tuple(sorted(runs, key=lambda run: run.run)),
    ).sealed()


def read_receipt(dataset: str, repack: int) -> Receipt | None:
    """The receipt of a repack; None if it was not written."""
    try:
        return decode(Receipt, storage.read_bytes(storage.join(dataset, receipt_path(repack))))
    except FileNotFoundError:
        return None


def write_receipt(dataset: str, receipt: Receipt) -> None:
    """Write a receipt, over an earlier one of the same repack that knew fewer training runs."""
    uri = storage.join(dataset, receipt_path(receipt.repack))
    storage.write_bytes(uri, encode(receipt))


def read_removed(dataset: str, record: RepackRecord) -> list[RemovedSample]:
    """What a repack took out, by salted digests; raises SetupError if the file is another one."""
    content = storage.read_bytes(storage.join(dataset, record.removed_file))
    if digest(content) != record.removed_sha256:
        raise SetupError(
            f"{record.removed_file}: expected sha256 {record.removed_sha256}, got {digest(content)}"
        )
    return RemovedSample.from_table(read_parquet_bytes(content))


def former_roots(record: RepackRecord, retries: Sequence[RetryRecord], since: int) -> set[str]:
    """Merkle roots of versions in which what a repack took out lay where it lay last.

    since: generations that the dataset had at the repack before this one.
    """
    later = [one for one in retries if since < one.generation <= record.num_retries]
    return {record.merkle_root, *(one.merkle_root for one in later)}


def runs_reads(
    runs: Iterable[str], removed: Sequence[RemovedSample], roots: set[str]
) -> list[RunReads]:
    """What the read logs of training runs say of the samples taken out.

    runs: folders of runs, or of their read logs. Raises SetupError for one without logs.
    """
    places = {(one.shard, one.offset_bytes, one.length_bytes): one for one in removed}
    return [_reads_of(run, places, roots) for run in runs]


def check_read_logs(runs: Iterable[str]) -> None:
    """Raise SetupError unless each of these runs has read logs and they are what they should be.

    To be called before anything is taken out: later, it would be too late to name others.
    """
    for run in runs:
        for uri in _read_logs(run):
            with storage.open_input(uri) as file:
                first = file.readline()
            try:
                if first.endswith(b"\n"):
                    _read_line(first)
            except ValueError as error:
                what = "expected lines of a read log (loader.read_log=true)"
                raise SetupError(f"--read-log: {uri}: {what}, got {error}") from error


def _read_logs(run: str) -> list[str]:
    """The URIs of the read logs of a run, whose folder or that of its logs is given."""
    for folder in (storage.join(run, READ_LOGS), run):
        names = [one for one in storage.list_names(folder) if one.endswith(".jsonl")]
        if names:
            return [storage.join(folder, name) for name in names]
    raise SetupError(
        f"--read-log: expected read logs (*.jsonl) in {run} or its {READ_LOGS}, got none: "
        "was the run made with loader.read_log=true?"
    )


def _reads_of(run: str, places: Mapping[Place, Any], roots: set[str]) -> RunReads:
    logs, seen, steps = {}, set[Place](), list[int]()
    num_reads = num_other = 0
    for uri in _read_logs(run):
        content = storage.read_bytes(uri)
        logs[uri.rpartition("/")[2]] = digest(content)
        for root, step, reads in _lines(content, uri):
            if root not in roots:
                num_other += len(reads)
                continue
            num_reads += len(reads)
            found = places.keys() & set(reads)
            if found:
                seen |= found
                steps.append(step)
    return RunReads(
        run=run,
        logs_sha256=logs,
        num_reads=num_reads,
        num_other_reads=num_other,
        num_removed_read=len(seen),
        first_step=min(steps, default=None),
        last_step=max(steps, default=None),
    )


def _lines(content: bytes, uri: str) -> Iterator[tuple[str | None, int, list[Place]]]:
    for number, text in enumerate(content.splitlines(), 1):
        try:
            yield _read_line(text)
        except ValueError as error:
            # A killed run may leave half a line at the end of its log.
            logger.warning("%s, line %d: expected reads, got %s: left out", uri, number, error)


def _read_line(text: bytes) -> tuple[str | None, int, list[Place]]:
    """Merkle root, step and places of one line of a read log; raises ValueError if it is none."""
    line = orjson.loads(text)
    try:
        reads = [(int(shard), int(offset), int(length)) for shard, offset, length in line["reads"]]
        return line.get("root"), int(line["step"]), reads
    except (AttributeError, LookupError, TypeError) as error:
        raise ValueError(f"{text[:100]!r}") from error


def _change(before: Commit, after: Commit) -> ShardChange:
    names = [name for name in ShardChange.model_fields if name != "shard"]
    pairs: dict[str, Any] = {name: (getattr(before, name), getattr(after, name)) for name in names}
    return ShardChange(shard=before.shard, **pairs)
