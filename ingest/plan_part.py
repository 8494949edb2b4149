"""The plan: candidates by shard, one parquet part for each, then `plan.json`."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from hashlib import sha256

from ingest import storage
from ingest.errors import SetupError
from ingest.input_digest import InputDigest
from ingest.options_record import option_differences
from ingest.pack.seal import read_seal
from ingest.sampling import draw, is_taken, sample_id, shard_of
from ingest.sources import count_rows, read_candidates, split_input
from ingest.sources.dataset import KIND as DATASET_KIND
from ingest.sources.piece import Piece
from schemas.arrow import parquet_bytes, read_parquet_bytes
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
PlanRow = tuple[
    str, str, str, int, str, str, str | None, str | None, str | None, str | None, str | None
]
# The number that decides on its shard, in hex, and a row.
PlacedRow = tuple[str, PlanRow]
# URI and kind of an input, rows read, rows that the sampling took.
InputCount = tuple[str, str, int, int]
_FIELDS = list(Candidate.model_fields)


def count_candidates(uri: str, options: PlanOptions) -> tuple[str, int, int]:
    """URI, rows, and rows that the sampling takes, of one input."""
    num_rows = num_taken = 0
    for piece in split_input(uri, options):
        if options.sample_rate == 1.0:
            num_rows += count_rows(piece, options)
            continue
        for batch in read_candidates(piece, options):
            num_rows += len(batch)
            draws = (draw(one.id, options.seed)[0] for one in batch)
            num_taken += sum(is_taken(number, options.sample_rate) for number in draws)
    return uri, num_rows, num_rows if options.sample_rate == 1.0 else num_taken


def read_placed_rows(piece: Piece, options: PlanOptions) -> Iterator[tuple[int, list[PlacedRow]]]:
    """(number of rows, those that the sampling takes) of one piece, in batches of bounded size."""
    for batch in read_candidates(piece, options):
        rows: list[PlacedRow] = []
        for one in batch:
            number, order = draw(one.id, options.seed)
            if is_taken(number, options.sample_rate):
                place = order if one.carrier is not Carrier.PARQUET else _block(one, options.seed)
                rows.append((f"{place:016x}", to_row(order, one)))
        yield len(batch), rows


def _block(one: Candidate, seed: int) -> int:
    """The number that all images of a row group share, for they are read together or not at all."""
    assert one.stored_in is not None
    assert one.stored_at is not None
    return _block_order(one.stored_in, int(one.stored_at.partition(":")[0]), seed)


@lru_cache(maxsize=1024)
def _block_order(uri: str, group: int, seed: int) -> int:
    return draw(sample_id(uri, group, ""), seed)[1]


def num_shards(num_candidates: int, options: PlanOptions) -> int:
    """How many shards hold so many candidates; at least one."""
    return max(1, -(-num_candidates // options.shard_candidates))


def by_shard(rows: Iterable[PlacedRow], shards: int) -> dict[str, list[PlanRow]]:
    """The rows by their shard, whose number is text."""
    pieces: defaultdict[str, list[PlanRow]] = defaultdict(list)
    for place, row in rows:
        pieces[str(shard_of(int(place, 16), shards))].append(row)
    return pieces


def write_plan_part(dataset: str, shard: int, rows: Iterable[PlanRow]) -> tuple[int, int, str]:
    """Shard, number of candidates and SHA-256 of the part; rows are put into the global order."""
    ordered = sorted(rows)
    columns = zip(*ordered, strict=True) if ordered else [()] * (len(_FIELDS) + 1)
    values = dict(zip(["order", *_FIELDS], map(list, columns), strict=True))
    content = parquet_bytes(Candidate.columns_to_table(values))
    storage.write_bytes(storage.join(dataset, plan_part_path(shard)), content)
    return shard, len(ordered), digest(content)


def read_plan_part(dataset: str, path: str) -> tuple[list[Candidate], str]:
    """The candidates of a shard in order, and the SHA-256 of the part."""
    content = storage.read_bytes(storage.join(dataset, path))
    columns = read_parquet_bytes(content).to_pydict()
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
    counts: Iterable[InputCount],
    parts: Sequence[tuple[int, int, str]],
    digests: Iterable[InputDigest] = (),
) -> PlanRecord:
    """Write `plan.json`; raises AssertionError unless the parts hold what the inputs gave.

    Raises SetupError if another run has planned this dataset otherwise meanwhile.
    """
    inputs: dict[tuple[str, str], int] = defaultdict(int)
    taken = 0
    for uri, kind, rows, num_taken in counts:
        inputs[uri, kind] += rows
        taken += num_taken
    digest_of = {(uri, kind): (size, found) for uri, kind, size, found in digests}
    ordered = sorted(parts)
    planned = sum(part[1] for part in ordered)
    if planned != taken:
        raise AssertionError(f"expected {taken} candidates in the plan parts, got {planned}")
    expected = list(range(num_shards(taken, options)))
    if [part[0] for part in ordered] != expected:
        raise AssertionError(f"expected {len(expected)} plan parts, got {len(ordered)}")
    record = PlanRecord(
        options=options.recorded(),
        inputs=tuple(
            _input_record(uri, kind, rows, *digest_of.get((uri, kind), (-1, "")))
            for (uri, kind), rows in sorted(inputs.items())
        ),
        num_rows=sum(inputs.values()),
        num_candidates=planned,
        num_shards=len(ordered),
        parts_sha256=sha256(b"".join(bytes.fromhex(part[2]) for part in ordered)).hexdigest(),
    )
    uri = storage.join(dataset, PLAN_FILE)
    if not storage.create_bytes(uri, encode(record)) and read_plan(dataset) != record:
        raise SetupError(f"{uri}: expected none while planning, got another plan: start afresh")
    return record


def _input_record(uri: str, kind: str, num_rows: int, num_bytes: int, sha256: str) -> InputRecord:
    """What is recorded of an input; of a dataset of ours its Merkle root."""
    seal = read_seal(uri) if kind == DATASET_KIND else None
    return InputRecord(
        uri=uri,
        kind=kind,
        num_rows=num_rows,
        num_bytes=num_bytes if num_bytes >= 0 else None,
        sha256=sha256 or None,
        merkle_root=seal.merkle_root if seal else None,
    )


def to_row(order: int, one: Candidate) -> PlanRow:
    """A candidate as plain values behind its order."""
    problem = one.problem.value if one.problem else None
    where = (one.id, one.source, one.row, one.url, one.carrier.value, one.stored_in, one.stored_at)
    return (f"{order:016x}", *where, one.columns, problem, one.problem_detail)


def _to_candidate(values: tuple[object, ...]) -> Candidate:
    fields = dict(zip(_FIELDS, values, strict=True))
    fields["carrier"] = Carrier(str(fields["carrier"]))
    fields["problem"] = Outcome(str(fields["problem"])) if fields["problem"] else None
    return Candidate.model_construct(**fields)  # type: ignore[arg-type]  # validated when planned
