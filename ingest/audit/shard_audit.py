"""The audit of one shard, as threads of this machine and Beam's workers do it."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pyarrow as pa

from ingest.audit.claims import Claims
from ingest.audit.finding import Finding
from ingest.audit.fingerprint_check import SAMPLE_COLUMNS, Fingerprinter, SampleCheck
from ingest.audit.leaves import kept_rows, rows_of
from ingest.audit.range_check import check_ranges
from ingest.audit.selection import Selection
from ingest.audit.shard_check import (
    check_bytes,
    check_ledger,
    check_plan,
    check_root,
    check_samples,
    read_ledger,
)
from schemas.manifest import Commit
from schemas.merkle import Tree
from schemas.options import InspectOptions


class ShardAudit:
    """Checks shards of one dataset, by their places in the manifest; it may be sent to workers.

    quick: no plan part and no shard is read, and of images only the selection's. `close` ends its
    decoder processes.
    """

    def __init__(
        self, claims: Claims, quick: bool, selection: Selection | None, inspect: InspectOptions
    ) -> None:
        self._claims, self._quick = claims, quick
        self._selection, self._inspect = selection, inspect
        # Of threads that are at another shard, or none: appending and popping is atomic.
        self._idle: deque[Fingerprinter] = deque()

    def __reduce__(self) -> tuple[type["ShardAudit"], tuple[Any, ...]]:
        return ShardAudit, (self._claims, self._quick, self._selection, self._inspect)

    def __call__(self, place: int) -> bytes:
        """JSON: what is wrong with a shard, and how many of its samples were looked at."""
        commit = self._claims.commit(place)
        findings: list[Finding] = []
        ledger = read_ledger(self._claims.dataset, commit, findings)
        tree = None
        if ledger is not None:
            findings += check_ledger(commit, ledger)
            tree = check_root(commit, ledger, findings)
        if not self._quick:
            findings += check_plan(self._claims.dataset, commit, ledger)
        looked, num_samples = self._look(place, commit, ledger, tree)
        return pack_findings([*findings, *looked], num_samples)

    def close(self) -> None:
        """End all decoder processes."""
        while self._idle:
            self._idle.pop().close()

    def _look(
        self, place: int, commit: Commit, ledger: pa.Table | None, tree: Tree | None
    ) -> tuple[list[Finding], int]:
        """What is wrong with the shard, and how many samples were looked at one by one."""
        dataset, selection = self._claims.dataset, self._selection
        findings: list[Finding] = []
        if not self._quick and not (selection and selection.is_all and tree is not None):
            findings += check_bytes(dataset, commit, ledger)
        if selection is None or ledger is None or tree is None:
            return findings, 0
        with self._fingerprinter() as fingerprinter:
            proof, root = self._claims.proof(place), self._claims.merkle_root
            check = SampleCheck(commit, tree, proof, root, fingerprinter)
            if selection.is_all:
                findings += check_samples(dataset, commit, ledger, check.look)
            else:
                findings += _check_chosen(dataset, commit, kept_rows(ledger), selection, check)
            return findings + check.finish(), check.num_samples

    @contextmanager
    def _fingerprinter(self) -> Iterator[Fingerprinter]:
        try:
            found = self._idle.pop()
        except IndexError:
            found = Fingerprinter(self._inspect)
        try:
            yield found
        finally:
            self._idle.append(found)


def _check_chosen(
    dataset: str, commit: Commit, kept: pa.Table, selection: Selection, check: SampleCheck
) -> list[Finding]:
    """What is wrong with the selected samples of a shard, read by range requests."""
    ids = kept["id"].to_pylist()
    places = [place for place, one in enumerate(ids) if selection.takes(one)]
    offsets = kept["offset_bytes"].to_pylist()
    if not places or None in offsets:  # which is a finding of its own
        return []
    rows = rows_of(kept.take(places), SAMPLE_COLUMNS)
    chosen = list(zip(places, rows, strict=True))
    return check_ranges(dataset, commit, offsets, chosen, check.look)


def pack_findings(findings: Iterable[Finding], num_samples: int) -> bytes:
    """The result of one shard on its way to whoever collects them."""
    return orjson.dumps([[[one.where, one.what] for one in findings], num_samples])


def unpack_findings(content: bytes) -> tuple[list[Finding], int]:
    """What `pack_findings` joined."""
    pairs, num_samples = orjson.loads(content)
    return [Finding(where, what) for where, what in pairs], num_samples
