"""Chosen samples of a shard by range requests: minutes where reading all would take hours."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any

from ingest import storage
from ingest.audit.arrow_check import BROKEN
from ingest.audit.arrow_ranges import ArrowRanges, Chosen, Found
from ingest.audit.finding import Finding
from ingest.audit.sample_check import Look
from ingest.audit.tar_check import read_tar_sample
from schemas.manifest import Commit

# Requests at a time for one shard: their latency, not their bytes, is what takes long.
_READERS = 8


def check_ranges(
    dataset: str, commit: Commit, offsets: Sequence[int], chosen: Sequence[Chosen], look: Look
) -> list[Finding]:
    """What is wrong with some samples of a shard as they lie there.

    offsets: where all its images begin, in order. chosen: places and ledger rows of the samples.
    look: gets each sample as found.
    """
    uri = storage.join(dataset, commit.shard_file)
    findings: list[Finding] = []
    try:
        for place, row, leaf, image, wrong in _read(uri, commit, offsets, chosen):
            findings += [Finding(commit.shard_file, f"sample {row['id']}: {one}") for one in wrong]
            look(place, row, image, leaf)
    except FileNotFoundError:
        findings.append(Finding(commit.shard_file, "expected a file, got none"))
    except BROKEN as error:
        findings.append(Finding(commit.shard_file, f"samples cannot be read: {error}"))
    return findings


def _read(
    uri: str, commit: Commit, offsets: Sequence[int], chosen: Sequence[Chosen]
) -> Iterator[Found]:
    """The samples in order, a few of them read at a time."""
    if commit.shard_file.endswith(".arrow"):
        calls = ArrowRanges(uri, commit.shard_bytes, offsets).read(chosen)
    else:
        calls = (partial(_read_tar, uri, place, row) for place, row in chosen)
    with ThreadPoolExecutor(_READERS) as pool:
        while some := list(islice(calls, _READERS)):
            yield from pool.map(_run, some)


def _read_tar(uri: str, place: int, row: dict[str, Any]) -> Found:
    leaf, image, wrong = read_tar_sample(uri, row)
    return place, row, leaf, image, wrong


def _run(call: Callable[[], Found]) -> Found:
    return call()
