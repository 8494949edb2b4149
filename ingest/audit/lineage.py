"""The way back: versions, index, plan and inputs of a dataset, compared with what can be reached.

An input that is a dataset itself is walked back in turn.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ingest import storage
from ingest.audit.finding import Finding, differing
from ingest.audit.history import events_of, former_roots
from ingest.errors import IngestError, SetupError
from ingest.evaluation_index.search import EvaluationIndex
from ingest.input_digest import digest_input
from ingest.pack.seal import read_seal
from schemas.evaluation import EvalIndexRecord
from schemas.manifest import BuildRecord, DatasetRecord, InputRecord, RepackRecord, RetryRecord

_UNREACHABLE = (OSError, SetupError, IngestError, ImportError, ValueError)
_DEEPEST = 50


@dataclass
class Lineage:
    """The way back as indented text, and what is not as recorded."""

    lines: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def tell(self, depth: int, text: str) -> None:
        """One more line."""
        self.lines.append("  " * depth + text)


def trace(dataset: str, record: DatasetRecord) -> Lineage:
    """The lineage of a dataset; what cannot be reached is said to be so and is no finding."""
    lineage = Lineage()
    _trace(dataset, record, 0, lineage)
    return lineage


def _trace(dataset: str, record: DatasetRecord, depth: int, lineage: Lineage) -> None:
    lineage.tell(
        depth, f"dataset {dataset}: version {record.version}, Merkle root {record.merkle_root}"
    )
    for event in reversed(events_of(record)):
        lineage.tell(depth + 1, _event_line(event))
    for line in _build_lines(record.build, record.build_sha256):
        lineage.tell(depth + 1, line)
    if record.build.eval_index is not None:
        _trace_index(record.build.eval_index, depth + 1, lineage)
    plan = record.plan
    lineage.tell(
        depth + 1,
        f"plan: sha256 {record.plan_sha256}; {plan.num_candidates:,} of {plan.num_rows:,} rows in "
        f"{plan.num_shards:,} parts, sha256 over all parts {plan.parts_sha256}",
    )
    for one in plan.inputs:
        _trace_input(one, depth + 2, lineage)


def _event_line(event: RetryRecord | RepackRecord) -> str:
    if isinstance(event, RetryRecord):
        return (
            f"retry {event.generation}: {event.num_candidates:,} candidates asked anew "
            f"({', '.join(event.outcomes)}); before it: Merkle root {event.merkle_root}, seal "
            f"sha256 {event.seal_sha256}"
        )
    removed = ", ".join(f"{count:,} {word}" for word, count in event.removed.items())
    return (
        f"repack {event.repack}: took out {removed}; before it: version {event.version}, Merkle "
        f"root {event.merkle_root}, seal sha256 {event.seal_sha256}"
    )


def _build_lines(build: BuildRecord, sha256: str) -> Iterator[str]:
    versions = ", ".join(f"{name} {one}" for name, one in build.versions.items())
    yield f"build: sha256 {sha256}; fingerprint {build.fingerprint}; {versions}"
    if "resize" in build.options:
        told = ", ".join(f"{name} {value}" for name, value in build.options["resize"].items())
        yield f"resized: {told}"


def _trace_index(index: EvalIndexRecord, depth: int, lineage: Lineage) -> None:
    sets = ", ".join(f"{name} ({one.num_images:,} images)" for name, one in index.sets.items())
    text = f"evaluation index {index.uri}: sha256 {index.sha256}; {sets}"
    try:
        found = EvaluationIndex.open(index.uri).record.sha256
    except _UNREACHABLE as error:
        lineage.tell(depth, f"{text}: {_not_reached(error)}")
        return
    _compare(lineage, depth, text, index.uri, {"sha256": (index.sha256, found)})


def _trace_input(one: InputRecord, depth: int, lineage: Lineage) -> None:
    text = f"input {one.uri} ({one.kind}): {one.num_rows:,} rows"
    if one.merkle_root is not None:
        _trace_dataset(one, text, depth, lineage)
        return
    if one.num_bytes is not None:
        text += f", {one.num_bytes:,} bytes"
    text += f", sha256 {one.sha256}" if one.sha256 else ", no digest recorded"
    try:
        what = "sha256" if one.sha256 else "size"
        _, _, num_bytes, sha256 = digest_input(one.uri, one.kind, what)
    except _UNREACHABLE as error:
        lineage.tell(depth, f"{text}: {_not_reached(error)}")
        return
    expected: dict[str, tuple[object, object]] = {}
    if one.num_bytes is not None:
        expected["num_bytes"] = (one.num_bytes, num_bytes)
    if one.sha256:
        expected["sha256"] = (one.sha256, sha256)
    _compare(lineage, depth, text, one.uri, expected)


def _trace_dataset(one: InputRecord, text: str, depth: int, lineage: Lineage) -> None:
    """An input that is a dataset, in the version that it had or a later one."""
    text += f", Merkle root {one.merkle_root}"
    try:
        record = read_seal(one.uri) if storage.exists(one.uri) else None
    except _UNREACHABLE as error:
        lineage.tell(depth, f"{text}: {_not_reached(error)}")
        return
    if record is None:
        lineage.tell(depth, f"{text}: not reached")
        return
    if one.merkle_root in former_roots(record) - {record.merkle_root}:
        lineage.tell(depth, f"{text}: an earlier version of what is there")
    else:
        pair = (one.merkle_root, record.merkle_root)
        _compare(lineage, depth, text, one.uri, {"merkle_root": pair})
    if depth < _DEEPEST:
        _trace(one.uri, record, depth + 1, lineage)


def _compare(
    lineage: Lineage,
    depth: int,
    text: str,
    where: str,
    pairs: dict[str, tuple[object, object]],
) -> None:
    wrong = differing(where, **pairs)
    verdict = "NOT as recorded" if wrong else "as recorded" if pairs else "nothing to compare"
    lineage.tell(depth, f"{text}: {verdict}")
    lineage.findings += wrong


def _not_reached(error: Exception) -> str:
    return f"not reached ({type(error).__name__})"
