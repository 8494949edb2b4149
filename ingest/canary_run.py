"""Sends canaries through decoding and matching, as if they had been crawled."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from ingest import storage
from ingest.borderline import BorderlineJudge
from ingest.errors import InspectError
from ingest.evaluation_index.match import Match, Query
from ingest.evaluation_index.search import EvaluationIndex
from ingest.inspect.decode import Inspection
from ingest.inspect.sandbox import DecoderPool
from ingest.spool import Spool
from schemas.arrow import parquet_bytes, read_parquet_bytes
from schemas.certificate import CanaryResult
from schemas.evaluation import EvalIndexRecord
from schemas.manifest import canary_path, digest
from schemas.options import MatchOptions
from schemas.outcome import Outcome

BATCH_CANARIES = 512


def num_batches(index: EvalIndexRecord | None) -> int:
    """Batches of canaries that an index brings."""
    count = sum(record.num_canaries for record in index.sets.values()) if index else 0
    return -(-count // BATCH_CANARIES)


def canary_rows(index: EvaluationIndex, batch: int) -> list[dict[str, Any]]:
    """The fields of a batch of `Canary`."""
    rows = index.canaries.slice(batch * BATCH_CANARIES, BATCH_CANARIES)
    return list(rows.to_pylist())


async def try_canaries(
    index: EvaluationIndex,
    options: MatchOptions,
    decoders: DecoderPool,
    judge: BorderlineJudge,
    spool: Spool,
    batch: int,
) -> list[CanaryResult]:
    """What becomes of a batch of the index's canaries."""
    rows = canary_rows(index, batch)
    regions = [spool.append(row["content"]) for row in rows]
    inspected = await asyncio.gather(*map(decoders.inspect, regions), return_exceptions=True)
    places = [number for number, one in enumerate(inspected) if isinstance(one, Inspection)]
    found = [one for one in inspected if isinstance(one, Inspection)]
    matches = index.match([query_of(one) for one in found], options)
    judged = iter(
        [
            await judge.decide(match, regions[place])
            for match, place in zip(matches, places, strict=True)
        ]
    )
    return [_result(row, one, judged) for row, one in zip(rows, inspected, strict=True)]


def query_of(inspection: Inspection) -> Query:
    """What the index is asked about an image."""
    return Query(
        bytes.fromhex(inspection.sha256),
        bytes.fromhex(inspection.pixels_sha256),
        inspection.views,
    )


def write_results(dataset: str, batch: int, results: Sequence[CanaryResult]) -> None:
    """Write the results of a batch, unless an earlier attempt did."""
    content = parquet_bytes(CanaryResult.to_table(results))
    storage.create_bytes(storage.join(dataset, canary_path(batch)), content)


def read_results(dataset: str, count: int) -> tuple[list[CanaryResult], dict[str, str]]:
    """The results of so many batches, and the SHA-256 of their files."""
    results: list[CanaryResult] = []
    digests: dict[str, str] = {}
    for path in map(canary_path, range(count)):
        content = storage.read_bytes(storage.join(dataset, path))
        digests[path] = digest(content)
        results += CanaryResult.from_table(read_parquet_bytes(content))
    return results, digests


def result_of(row: dict[str, Any], match: Match | None) -> CanaryResult:
    """What became of a canary that was decoded."""
    return CanaryResult(
        **{name: row[name] for name in ("set", "name", "kind", "params", "protected")},
        outcome=(match.outcome if match else None) or Outcome.KEPT,
        nearest_eval=match.name if match else None,
        nearest_eval_variant=match.variant if match else None,
        nearest_eval_view=match.view if match else None,
        nearest_eval_distance=match.distance if match else None,
        nearest_eval_correlation=match.correlation if match else None,
    )


def _result(
    row: dict[str, Any], inspected: Inspection | BaseException, matches: Iterator[Match | None]
) -> CanaryResult:
    if isinstance(inspected, InspectError):
        return result_of(row, None).model_copy(update={"outcome": inspected.outcome})
    if isinstance(inspected, BaseException):
        raise inspected
    return result_of(row, next(matches))
