"""The plan: candidates by shard, one parquet part for each, then `plan.json`."""

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

import pyarrow as pa
import pyarrow.parquet as pq

from ingest import storage
from ingest.errors import SetupError
from ingest.options_record import option_differences
from ingest.sampling import draw, is_taken, shard_of
from ingest.sources import count_rows, read_candidates, read_ids
from schemas.candidate import Candidate, Carrier
from schemas.manifest import (
    PLAN_FILE,
    InputRecord,
    PlanRecord,
    decode,
    digest,
    encode,
    plan_part_path,
)
from schemas.options import PlanOptions
from schemas.outcome import Outcome

# A candidate on its way through a shuffle: its order in hex (Beam's integers end at 63 bits), then
# its fields as plain values.
PlanRow = tuple[str, str, str, int, str, str, str | None, str | None, str | None]
_FIELDS = list(Candidate.model_fields)


def count_candidates(uri: str, options: PlanOptions) -> tuple[str, int, int]:
    """URI, rows, and rows that the sampling takes, of one input."""
    if options.sample_rate == 1.0:
        num_rows = count_rows(uri, options)
        return uri, num_rows, num_rows
    num_rows = num_taken = 0
    for candidate_id in read_ids(uri, options):
        num_rows += 1
        num_taken += is_taken(draw(candidate_id, options.seed)[0], options.sample_rate)
    return uri, num_rows, num_taken


def num_shards(num_candidates: int, options: PlanOptions) -> int:
    """How many shards hold so many candidates; at least one."""
    return max(1, -(-num_candidates // options.shard_candidates))


def rows_by_shard(
    uri: str, options: PlanOptions, shards: int
) -> Iterator[tuple[str, list[PlanRow]]]:
    """(shard number as text, rows) of one input, in pieces of bounded size."""
    for batch in read_candidates(uri, options):
        pieces: defaultdict[str, list[PlanRow]] = defaultdict(list)
        for one in batch:
            number, order = draw(one.id, options.seed)
            if is_taken(number, options.sample_rate):
                pieces[str(shard_of(order, shards))].append(to_row(order, one))
        yield from pieces.items()


def write_plan_part(dataset: str, shard: int, rows: Iterable[PlanRow]) -> tuple[int, int, str]:
    """Shard, number of candidates and SHA-256 of the part; rows are put into the global order."""
    ordered = sorted(rows)
    columns = zip(*ordered, strict=True) if ordered else [()] * (len(_FIELDS) + 1)
    values = dict(zip(["order", *_FIELDS], map(list, columns), strict=True))
    buffer = io.BytesIO()
    pq.write_table(Candidate.columns_to_table(values), buffer, compression="zstd")
    content = buffer.getvalue()
    storage.write_bytes(storage.join(dataset, plan_part_path(shard)), content)
    return shard, len(ordered), digest(content)


def read_plan_part(dataset: str, shard: int) -> tuple[list[Candidate], str]:
    """The candidates of a shard in order, and the SHA-256 of the part."""
    content = storage.read_bytes(storage.join(dataset, plan_part_path(shard)))
    columns = pq.read_table(pa.BufferReader(content)).to_pydict()
    rows = zip(*(columns[name] for name in _FIELDS), strict=True)
    return [_to_candidate(values) for values in rows], digest(content)


def read_plan(dataset: str) -> PlanRecord | None:
    """The plan of a dataset; None if there is no complete one."""
    try:
        return decode(PlanRecord, storage.read_bytes(storage.join(dataset, PLAN_FILE)))
    except FileNotFoundError:
        return None


def check_same_plan(dataset: str, recorded: PlanRecord, options: PlanOptions) -> None:
    """Raise SetupError that names each option which is not as recorded, with both values."""
    differences = option_differences(recorded.options, options.recorded())
    if differences:
        uri = storage.join(dataset, PLAN_FILE)
        raise SetupError(f"{uri} was planned otherwise: " + "; ".join(differences))


def seal_plan(
    dataset: str,
    options: PlanOptions,
    counts: Iterable[tuple[str, int, int]],
    parts: Sequence[tuple[int, int, str]],
) -> PlanRecord:
    """Write `plan.json`; raises AssertionError unless the parts hold what the inputs gave.

    Raises SetupError if another run has planned this dataset otherwise meanwhile.
    """
    inputs = sorted(counts)
    ordered = sorted(parts)
    planned, taken = sum(part[1] for part in ordered), sum(count[2] for count in inputs)
    if planned != taken:
        raise AssertionError(f"expected {taken} candidates in the plan parts, got {planned}")
    expected = list(range(num_shards(taken, options)))
    if [part[0] for part in ordered] != expected:
        raise AssertionError(f"expected {len(expected)} plan parts, got {len(ordered)}")
    record = PlanRecord(
        options=options.recorded(),
        inputs=tuple(InputRecord(uri=uri, num_rows=rows) for uri, rows, _ in inputs),
        num_rows=sum(count[1] for count in inputs),
        num_candidates=planned,
        num_shards=len(ordered),
        parts_sha256=sha256(b"".join(bytes.fromhex(part[2]) for part in ordered)).hexdigest(),
    )
    uri = storage.join(dataset, PLAN_FILE)
    if not storage.create_bytes(uri, encode(record)) and read_plan(dataset) != record:
        raise SetupError(f"{uri}: expected none while planning, got another plan: start afresh")
    return record


def to_row(order: int, one: Candidate) -> PlanRow:
    """A candidate as plain values behind its order."""
    problem = one.problem.value if one.problem else None
    where = (one.id, one.source, one.row, one.url, one.carrier.value)
    return (f"{order:016x}", *where, one.columns, problem, one.problem_detail)


def _to_candidate(values: tuple[object, ...]) -> Candidate:
    fields = dict(zip(_FIELDS, values, strict=True))
    fields["carrier"] = Carrier(str(fields["carrier"]))
    fields["problem"] = Outcome(str(fields["problem"])) if fields["problem"] else None
    return Candidate.model_construct(**fields)  # type: ignore[arg-type]  # validated when planned
