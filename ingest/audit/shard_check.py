"""One shard against its commit: plan part, ledger, every member of the tar, Merkle root."""

from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from typing import IO, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.audit.finding import Finding, differing
from ingest.inspect.header import EXTENSIONS
from ingest.pack.tar import BLOCK, member_header
from schemas.candidate import Candidate, Reference
from schemas.certificate import set_of
from schemas.ledger import LedgerRow
from schemas.manifest import Commit, digest
from schemas.merkle import EMPTY_ROOT, merkle_root, sample_leaf
from schemas.outcome import Outcome

_SAMPLE_FIELDS = (
    *("id", "source", "row", "url", "num_bytes", "sha256", "format", "width_px", "height_px"),
    *("mode", "num_frames", "exif_orientation", "exif_date", "phash", "texture"),
)
_READ_BYTES = 1 << 20


def check_shard(dataset: str, commit: Commit) -> list[Finding]:
    """All that is wrong with the files of one shard."""
    findings: list[Finding] = []
    plan = _read_table(dataset, commit.plan_file, commit.plan_sha256, Candidate, findings)
    ledger = _read_table(dataset, commit.ledger_file, commit.ledger_sha256, LedgerRow, findings)
    if ledger is not None:
        findings += _check_ledger(commit, ledger)
        if plan is not None:
            findings += _check_conservation(commit, plan, ledger)
    kept = [] if ledger is None else _kept_rows(ledger)
    try:
        with storage.open_input(storage.join(dataset, commit.shard_file)) as file:
            findings += _check_tar(commit, _Hashed(file), kept if ledger is not None else None)
    except FileNotFoundError:
        findings.append(Finding(commit.shard_file, "expected a file, got none"))
    return findings


def _read_table(
    dataset: str, path: str, expected_sha256: str, record: Any, findings: list[Finding]
) -> pa.Table | None:
    try:
        content = storage.read_bytes(storage.join(dataset, path))
    except FileNotFoundError:
        findings.append(Finding(path, "expected a file, got none"))
        return None
    findings += differing(path, sha256=(expected_sha256, digest(content)))
    try:
        table = pq.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        findings.append(Finding(path, f"expected a parquet file, got {error}"))
        return None
    if not table.schema.equals(record.arrow_schema()):
        expected = ", ".join(record.arrow_schema().names)
        findings.append(Finding(path, f"expected columns {expected}, got {table.schema}"))
        return None
    return table


def _check_ledger(commit: Commit, ledger: pa.Table) -> list[Finding]:
    words = ledger["outcome"].to_pylist()
    known = {outcome.value for outcome in Outcome}
    findings = [
        Finding(commit.ledger_file, f"row {row}: expected an outcome, got {word!r}")
        for row, word in enumerate(words)
        if word not in known
    ]
    placed = [offset is not None for offset in ledger["offset_bytes"].to_pylist()]
    findings += [
        Finding(commit.ledger_file, f"row {row}: outcome {word!r}, but offset is set: {has_offset}")
        for row, (word, has_offset) in enumerate(zip(words, placed, strict=True))
        if (word == Outcome.KEPT.value) != has_offset
    ]
    numbers = set(ledger["shard"].to_pylist()) - {commit.shard}
    findings += differing(
        commit.ledger_file,
        num_rows=(commit.num_candidates, ledger.num_rows),
        outcomes=(commit.outcomes, dict(_ordered(Counter(words)))),
        exact_copies=(commit.exact_copies, _copies(ledger, Outcome.DUPLICATE_EXACT)),
        near_copies=(commit.near_copies, _copies(ledger, Outcome.DUPLICATE_NEAR)),
        other_shards=(set(), numbers),
    )
    return findings


def _copies(ledger: pa.Table, outcome: Outcome) -> dict[str, int]:
    """Removed copies by evaluation set."""
    rows = zip(ledger["outcome"].to_pylist(), ledger["nearest_eval"].to_pylist(), strict=True)
    return dict(Counter(set_of(name or "") for word, name in rows if word == outcome.value))


def _ordered(counted: Counter[str]) -> Iterator[tuple[str, int]]:
    """Counts in the order of the vocabulary, foreign words last."""
    order = [outcome.value for outcome in Outcome]
    for word in sorted(
        counted, key=lambda word: order.index(word) if word in order else len(order)
    ):
        yield word, counted[word]


def _check_conservation(commit: Commit, plan: pa.Table, ledger: pa.Table) -> list[Finding]:
    """Each planned candidate has exactly one ledger row, at the same place."""
    planned, recorded = plan["id"].to_pylist(), ledger["id"].to_pylist()
    findings = [
        Finding(commit.ledger_file, f"candidate {sample_id}: planned {count} times, recorded {got}")
        for sample_id, count, got in _unequal(Counter(planned), Counter(recorded))
    ]
    if findings:
        return findings
    return [
        Finding(commit.ledger_file, f"column {name} differs from the plan part")
        for name in Reference.model_fields
        if not plan[name].equals(ledger[name])
    ]


def _unequal(planned: Counter[str], recorded: Counter[str]) -> Iterator[tuple[str, int, int]]:
    for sample_id in sorted(planned.keys() | recorded.keys()):
        if planned[sample_id] != recorded[sample_id]:
            yield sample_id, planned[sample_id], recorded[sample_id]


def _kept_rows(ledger: pa.Table) -> list[dict[str, Any]]:
    names = [*_SAMPLE_FIELDS, "columns", "offset_bytes", "length_bytes", "outcome"]
    rows = ledger.select(names).to_pylist()
    kept = [row for row in rows if row["outcome"] == Outcome.KEPT.value]
    return sorted(kept, key=lambda row: row["offset_bytes"] or 0)


class _Hashed:
    """A stream that remembers the digest and number of the bytes read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest = file, sha256()
        self.position = 0

    def read(self, num_bytes: int) -> bytes:
        content = self._file.read(num_bytes)
        self._digest.update(content)
        self.position += len(content)
        return content

    def finish(self) -> str:
        """The digest of the whole file."""
        while self.read(_READ_BYTES):
            pass
        return self._digest.hexdigest()


def _check_tar(commit: Commit, stream: _Hashed, kept: list[dict[str, Any]] | None) -> list[Finding]:
    """The file's digest and size, and each sample that the ledger (if readable) says is kept."""
    findings: list[Finding] = []
    leaves: list[bytes] = []
    for row in kept or ():
        leaf, wrong = _check_sample(stream, row)
        leaves.append(leaf)
        findings += [Finding(commit.shard_file, f"sample {row['id']}: {what}") for what in wrong]
    if kept is not None:
        end = stream.read(2 * BLOCK)
        findings += differing(
            commit.shard_file,
            end_of_archive=(digest(bytes(2 * BLOCK)), digest(end)),
            num_kept=(commit.num_kept, len(kept)),
            image_bytes=(commit.image_bytes, sum(row["length_bytes"] or 0 for row in kept)),
            merkle_root=(commit.merkle_root, merkle_root(leaves).hex()),
        )
    whole = stream.finish()
    findings += differing(
        commit.shard_file,
        sha256=(commit.shard_sha256, whole),
        size=(commit.shard_bytes, stream.position),
    )
    return findings


def _check_sample(stream: _Hashed, row: dict[str, Any]) -> tuple[bytes, list[str]]:
    """The Merkle leaf of the next sample of the tar, and what is wrong with it."""
    wrong: list[str] = []
    length = row["length_bytes"] or 0
    header = stream.read(BLOCK)
    name = f"{row['id']}.{EXTENSIONS.get(row['format'] or '', '?')}"
    _expect(wrong, "tar header", member_header(name, length), header)
    _expect(wrong, "offset", row["offset_bytes"], stream.position)
    content = stream.read(length)
    _expect(wrong, "sha256", row["sha256"], digest(content))
    _expect(wrong, "padding", bytes(-length % BLOCK), stream.read(-length % BLOCK))
    json_header = stream.read(BLOCK)
    json_bytes = _octal(json_header[124:135])
    _expect(wrong, "JSON header", member_header(f"{row['id']}.json", json_bytes), json_header)
    json = stream.read(json_bytes)
    _expect(wrong, "JSON padding", bytes(-json_bytes % BLOCK), stream.read(-json_bytes % BLOCK))
    wrong += _check_json(json, row)
    try:
        return sample_leaf(row["id"], sha256(content).digest(), sha256(json).digest()), wrong
    except ValueError:
        wrong.append(f"id: expected 32 hex digits, got {row['id']!r}")
        return EMPTY_ROOT, wrong


def _check_json(content: bytes, row: dict[str, Any]) -> list[str]:
    """What the JSON member says otherwise than the ledger."""
    try:
        fields = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        return [f"expected JSON, got {error}"]
    if not isinstance(fields, dict):
        return [f"expected a JSON object, got {type(fields).__name__}"]
    wrong: list[str] = []
    for name in _SAMPLE_FIELDS:
        _expect(wrong, f"JSON {name}", row[name], fields.get(name))
    _expect(wrong, "JSON columns", orjson.loads(row["columns"] or b"{}"), fields.get("columns"))
    return wrong


def _octal(field: bytes) -> int:
    """A size field; 0, which the header's comparison then reports, if it is none."""
    try:
        return int(field, 8)
    except ValueError:
        return 0


def _expect(wrong: list[str], name: str, expected: object, found: object) -> None:
    if expected == found:
        return
    if isinstance(expected, bytes) and isinstance(found, bytes):
        at = next(
            (i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b),
            min(len(expected), len(found)),
        )
        wrong.append(
            f"{name}: at its byte {at} expected {expected[at : at + 8]!r}, "
            f"got {found[at : at + 8]!r}"
        )
    else:
        wrong.append(f"{name}: expected {expected}, got {found}")
