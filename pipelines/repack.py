"""Take what has tombstones out of the shards for good: the next version of a dataset."""

from collections.abc import Sequence

from ingest.pack.seal import read_finished, read_manifest
from ingest.removal.receipt import (
    check_read_logs,
    former_roots,
    make_receipt,
    read_receipt,
    read_removed,
    runs_reads,
    write_receipt,
)
from ingest.removal.repack import (
    delete_removed,
    plan_repack,
    publish,
    record_repack,
    unfinished_repack,
)
from pipelines.over_shards import map_shards
from pipelines.progress import count_on_terminal
from schemas.audit_options import RepackOptions
from schemas.manifest import DatasetRecord, RepackRecord
from schemas.removal import Receipt


def repack(options: RepackOptions, beam_arguments: Sequence[str]) -> tuple[Receipt | None, bool]:
    """The receipt of the last repack, and whether this call made it; None if there was never one.

    Goes on with a repack that was interrupted. With nothing to take out, only the read logs that
    are given are added to the last receipt.
    """
    seal = read_finished(options.dataset)
    check_read_logs(options.read_log)
    record = unfinished_repack(options.dataset, seal)
    if seal.repacks and record is None:
        # The last one may have been interrupted before it was done with this.
        delete_removed(options.dataset, seal.repacks[-1])
    if record is None:
        record = _rewrite(options, seal, beam_arguments)
    if record is not None:
        seal = publish(options.dataset, seal, record)
        delete_removed(options.dataset, record)
    return (_receipt(options, seal) if seal.repacks else None), record is not None


def _rewrite(
    options: RepackOptions, seal: DatasetRecord, beam_arguments: Sequence[str]
) -> RepackRecord | None:
    work = plan_repack(options.dataset, seal, options.scratch)
    if work is None:
        return None
    results = map_shards(work.rewriter, work.shards, beam_arguments, options.results)
    with count_on_terminal("shards rewritten") as on_shard:
        written = []
        for shard, content in zip(work.shards, results, strict=True):
            written.append(content)
            on_shard(str(shard))
    return record_repack(options.dataset, seal, work, written)


def _receipt(options: RepackOptions, seal: DatasetRecord) -> Receipt:
    """The receipt of the last repack, with the runs that it had and those that are given now."""
    record = seal.repacks[-1]
    found = read_receipt(options.dataset, record.repack)
    if found is not None and not options.read_log:
        return found
    since = seal.repacks[-2].num_retries if len(seal.repacks) > 1 else 0
    roots = former_roots(record, seal.retries, since)
    runs = {one.run: one for one in found.runs} if found else {}
    removed = read_removed(options.dataset, record)
    runs |= {one.run: one for one in runs_reads(options.read_log, removed, roots)}
    if found is not None:
        receipt = found.model_copy(update={"runs": tuple(runs[one] for one in sorted(runs))})
        receipt = receipt.sealed()
    else:
        rows = read_manifest(options.dataset)
        receipt = make_receipt(options.dataset, record, seal, rows, runs.values())
    write_receipt(options.dataset, receipt)
    return receipt


def lines_of(receipt: Receipt) -> list[str]:
    """A receipt as text."""
    removed = ", ".join(f"{count:,} {word}" for word, count in receipt.removed.items())
    lines = [
        f"version {receipt.version[0]} -> {receipt.version[1]}: took out {removed}",
        f"{len(receipt.shards):,} shards written anew, {receipt.num_other_shards:,} untouched",
        f"Merkle root: {receipt.merkle_root[0]} -> {receipt.merkle_root[1]}",
    ]
    for run in receipt.runs:
        steps = "" if run.first_step is None else f", in steps {run.first_step} to {run.last_step}"
        lines.append(f"{run.run}: had read {run.num_removed_read:,} of them{steps}")
    return lines
