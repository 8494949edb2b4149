"""Recompute what a dataset claims: digests, conservation, offsets, roots, schema versions.

Three depths: records, commits and listings (`quick`); all bytes against their digests, and ledgers
against plan, commits and Merkle roots; and, beside either, samples one by one.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version

from pydantic import ValidationError

from ingest.audit.claims import Claims
from ingest.audit.commits import check_commits, check_rows
from ingest.audit.finding import Finding
from ingest.audit.generations import check_superseded, uncovered
from ingest.audit.history import check_history
from ingest.audit.listing import check_listing
from ingest.audit.records import (
    check_certificate,
    check_plan_and_build,
    check_totals,
    read_record,
    read_rows,
)
from ingest.audit.selection import Selection, count_removed, shards_of_ids
from ingest.audit.shard_audit import ShardAudit, unpack_findings
from ingest.audit.tombstones import check_tombstones
from ingest.audit.verdict import AuditReport
from ingest.errors import SetupError
from schemas.manifest import Commit, DatasetRecord
from schemas.options import InspectOptions

# Gives what some work gives for each of some shards, in their order.
OverShards = Callable[[Callable[[int], bytes], Sequence[int]], Iterator[bytes]]

_DECODERS = ("numpy", "pillow", "simplejpeg")


def on_threads(work: Callable[[int], bytes], shards: Sequence[int]) -> Iterator[bytes]:
    """What some work gives for each shard, on a thread for each CPU."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        yield from pool.map(work, shards)


@dataclass(frozen=True)
class Depth:
    """How deeply to look; samples: see `Selection.parse`. over_shards: where shards are read."""

    quick: bool = False
    samples: str = ""
    seed: int = 0
    over_shards: OverShards = on_threads


def audit(
    dataset: str,
    on_shard: Callable[[str], None] = lambda name: None,
    *,
    quick: bool = False,
    depth: Depth | None = None,
) -> AuditReport:
    """The report on a sealed dataset; reads every byte of it, or what `quick` or `depth` says.

    on_shard: called with the name of each shard that was read. Raises SetupError for samples that
    are none.
    """
    depth = depth or Depth(quick)
    selection = Selection.parse(depth.samples, depth.seed)
    report = AuditReport(dataset, depth.quick, selection.text if selection else "")
    findings = report.findings
    record = read_record(dataset, findings)
    if record is None:
        return report
    report.record = record
    findings += check_plan_and_build(dataset, record)
    found = read_rows(dataset, record, findings)
    if found is None:
        return report
    rows, manifest_sha256 = found
    readable = _check_records(report, record, rows)
    claims = Claims(dataset, manifest_sha256, record.merkle_root)
    places = _places(report, rows, readable, selection)
    _read_shards(report, rows, claims, depth, places, on_shard)
    read_all = not depth.quick and len(readable) == len(rows)
    if read_all:
        findings += check_superseded(dataset, record, rows)
    found_removed, report.num_removed = check_tombstones(dataset, record, rows if read_all else ())
    findings += found_removed
    report.notes += uncovered(dataset, record)
    if selection is not None:
        report.notes += _other_decoders(record)
        report.num_removed_samples = count_removed(dataset, selection)
    return report


def _check_records(report: AuditReport, record: DatasetRecord, rows: list[Commit]) -> list[int]:
    """Add what is wrong with records and listings; the places of rows whose files may be read."""
    dataset, findings = report.dataset, report.findings
    findings += check_totals(record, rows)
    findings += check_certificate(dataset, record, rows)
    wrong, sound = check_rows(record, rows)
    findings += wrong
    findings += check_history(dataset, record, rows)
    listing = check_listing(dataset, record, rows)
    findings += [*listing.findings, *check_commits(dataset, rows, listing.missing)]
    report.notes += listing.notes
    return sound


def _places(
    report: AuditReport,
    rows: Sequence[Commit],
    readable: Sequence[int],
    selection: Selection | None,
) -> Sequence[int]:
    """The shards to look into, by their places in the manifest."""
    assert report.record is not None
    if selection is None or not selection.ids:
        return readable if selection or not report.quick else []
    try:
        named = shards_of_ids(report.dataset, report.record, rows, selection.ids)
    except SetupError as error:
        # In a dataset that is damaged already, this may be a consequence.
        if not report.findings:
            raise
        report.findings.append(Finding("ledger", str(error)))
        named = []
    return [place for place in readable if place in named] if report.quick else readable


def _read_shards(
    report: AuditReport,
    rows: Sequence[Commit],
    claims: Claims,
    depth: Depth,
    places: Sequence[int],
    on_shard: Callable[[str], None],
) -> None:
    """Look into shards, and add what is wrong."""
    if not places:
        return
    assert report.record is not None
    selection = Selection.parse(depth.samples, depth.seed)
    work = ShardAudit(claims, depth.quick, selection, _inspect_options(report.record))
    try:
        results = depth.over_shards(work, places)
        for place, content in zip(places, results, strict=True):
            findings, num_samples = unpack_findings(content)
            report.findings += findings
            report.num_samples += num_samples
            on_shard(rows[place].shard_file)
    finally:
        work.close()


def _inspect_options(record: DatasetRecord) -> InspectOptions:
    """The limits that the dataset was built with; each thread has one decoder process."""
    recorded = record.build.options.get("inspect") or {}
    try:
        return InspectOptions.model_validate({**recorded, "decoder_processes": 1})
    except (TypeError, ValidationError):
        return InspectOptions(decoder_processes=1)


def _other_decoders(record: DatasetRecord) -> list[str]:
    """A sentence if images were decoded with other versions than they are now."""
    built = record.build.versions
    here = {name: version(name) for name in _DECODERS}
    other = [
        f"{name} {built[name]} there, {here[name]} here"
        for name in _DECODERS
        if built.get(name, here[name]) != here[name]
    ]
    if not other:
        return []
    return [
        f"images were decoded with other versions when built ({'; '.join(other)}): where only "
        "fingerprints differ, that may be why"
    ]
