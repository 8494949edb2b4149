"""The report on what is committed of a dataset: outcomes, bytes, rates, traffic; the forecast."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

from ingest import storage
from ingest.audit.traffic import Sweep, count_by_host, flatten_requests
from ingest.errors import SetupError
from ingest.host_counts import HostCounts
from ingest.options_record import option_differences
from ingest.pack.ledger_parts import all_commits, read_parts
from ingest.plan_part import read_plan
from schemas.forecast import FORECAST_FILE, Estimate, Forecast
from schemas.manifest import BUILD_FILE, BuildRecord, Commit, DatasetRecord, PlanRecord, decode
from schemas.outcome import Outcome
from schemas.report import Comparison, Report, Traffic

_LISTED_HOSTS = 100
_PAUSE_S = 60
_US = 1_000_000
_REQUESTS = "requests"
_COLUMNS = ("fetched_at", "fetch_ms", "num_bytes", _REQUESTS)

OnPart = Callable[[str], None]


@dataclass
class LedgerTotals:
    """What one pass over ledger parts adds up."""

    num_rows: int = 0
    received_bytes: int = 0
    num_fetched: int = 0
    fetch_ms: int = 0
    ends_us: tuple[int, int] | None = None
    # Sorted and distinct; a month has 2.6 million.
    active_seconds: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    hosts: HostCounts = field(default_factory=HostCounts)
    # The first request of each part that has one.
    first_requests_us: dict[str, int] = field(default_factory=dict)
    has_requests: bool = True

    def add(self, path: str, table: pa.Table) -> None:
        """Count the rows of one part."""
        self.num_rows += table.num_rows
        self.received_bytes += pc.sum(table["num_bytes"]).as_py() or 0
        self.num_fetched += table.num_rows - table["fetch_ms"].null_count
        self.fetch_ms += pc.sum(table["fetch_ms"]).as_py() or 0
        self._add_times(pc.drop_null(table["fetched_at"].cast(pa.int64())).to_numpy())
        if _REQUESTS not in table.column_names:
            self.has_requests = False
            return
        names, times_us = flatten_requests(table[_REQUESTS])
        if len(names):
            self.hosts.add(count_by_host(names))
            self.first_requests_us[path] = int(times_us.min())

    @property
    def active_s(self) -> float:
        """Seconds from fetch to fetch; pauses longer than a minute are left out."""
        gaps = np.diff(self.active_seconds)
        return float(gaps[gaps <= _PAUSE_S].sum() + min(1, len(self.active_seconds)))

    def _add_times(self, times_us: NDArray[np.int64]) -> None:
        if not len(times_us):
            return
        first, last = self.ends_us or (int(times_us.min()), int(times_us.max()))
        self.ends_us = min(first, int(times_us.min())), max(last, int(times_us.max()))
        self.active_seconds = np.union1d(self.active_seconds, times_us // _US)


def make_report(dataset: str, on_part: OnPart = lambda path: None) -> Report:
    """The report on a dataset, finished or not; its ledger is read twice.

    Raises SetupError if there is no plan, or a ledger part cannot be read.
    """
    plan = read_plan(dataset)
    if plan is None:
        raise SetupError(f"expected a planned dataset, got none at {dataset}")
    seal, commits = all_commits(dataset)
    totals = LedgerTotals()
    for path, table in read_parts(dataset, [one.ledger_file for one in commits], _COLUMNS):
        totals.add(path, table)
        on_part(path)
    counted = _counted(seal, commits)
    first_us, last_us = totals.ends_us or (None, None)
    report = Report(
        dataset=dataset,
        complete=seal is not None and seal.num_shards == len(commits),
        num_planned=plan.num_candidates,
        num_rows=totals.num_rows,
        **counted,
        stored_bytes=sum(one.shard_bytes + one.ledger_bytes for one in commits),
        received_bytes=totals.received_bytes,
        first_fetch_us=first_us,
        last_fetch_us=last_us,
        active_s=totals.active_s,
        mean_fetch_ms=totals.fetch_ms / totals.num_fetched if totals.num_fetched else None,
        traffic=_traffic(dataset, totals, on_part) if totals.has_requests else None,
        comparisons=(),
        notes=(),
    )
    forecast = read_forecast(dataset)
    notes = [
        *_progress_notes(report, seal, commits, plan),
        *_forecast_notes(dataset, plan, forecast),
    ]
    if not totals.has_requests:
        notes.append("the ledger has no column `requests`: traffic by host is not known")
    comparisons = tuple(compare(forecast, report)) if forecast else ()
    return report.model_copy(update={"comparisons": comparisons, "notes": tuple(notes)})


def read_forecast(dataset: str) -> Forecast | None:
    """The forecast that is kept in a dataset; raises SetupError if it is none of this version."""
    try:
        return decode(Forecast, storage.read_bytes(storage.join(dataset, FORECAST_FILE)))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise SetupError(
            f"{dataset}/{FORECAST_FILE}: expected a forecast, got {error.errors()[0]['msg']}"
        ) from error


def compare(forecast: Forecast, report: Report) -> Iterator[Comparison]:
    """Each forecast quantity beside what happened; totals for as much as is committed."""
    committed = max(1, report.num_committed)
    unseen = Estimate.of(0.0, 0.0, forecast.unseen_share)
    words = [*forecast.shares, *(word for word in report.outcomes if word not in forecast.shares)]
    for word in words:
        share = report.outcomes.get(word, 0) / committed
        yield _compared(f"share of {word}", forecast.shares.get(word, unseen), share)
    part = committed / max(1, forecast.num_candidates)
    yield _compared("num_kept", forecast.num_kept.times(part), report.num_kept)
    yield _compared("received_bytes", forecast.received_bytes.times(part), report.received_bytes)
    yield _compared("stored_bytes", forecast.stored_bytes.times(part), report.stored_bytes)


def _compared(quantity: str, expected: Estimate, actual: float) -> Comparison:
    inside = expected.covers(actual)
    return Comparison(quantity=quantity, expected=expected, actual=actual, inside=inside)


def _counted(seal: DatasetRecord | None, commits: Sequence[Commit]) -> dict[str, Any]:
    """Counts by the last outcome: the seal's, which knows what was tried again, or the commits'."""
    if seal is not None:
        names = ("num_kept", "image_bytes", "outcomes")
        counted = {name: getattr(seal, name) for name in names}
        return {**counted, "num_committed": seal.num_candidates}
    outcomes: Counter[str] = Counter()
    for one in commits:
        outcomes.update(one.outcomes)
    return {
        "num_kept": outcomes[Outcome.KEPT],
        "image_bytes": sum(one.image_bytes for one in commits),
        "outcomes": dict(sorted(outcomes.items())),
        "num_committed": outcomes.total(),
    }


def _traffic(dataset: str, totals: LedgerTotals, on_part: OnPart) -> Traffic:
    """The second pass: the fullest windows of the hosts that the first one found."""
    heaviest = totals.hosts.heaviest(_LISTED_HOSTS)
    sweep = Sweep(host for host, _ in heaviest)
    ordered = sorted(totals.first_requests_us.items(), key=lambda item: (item[1], item[0]))
    # One longer than the parts if there are none.
    following = [*(first_us for _, first_us in ordered[1:]), None]
    parts = read_parts(dataset, [path for path, _ in ordered], (_REQUESTS,))
    for (path, table), next_us in zip(parts, following, strict=False):
        sweep.add(*flatten_requests(table[_REQUESTS]), next_us)
        on_part(path)
    second, minute = sweep.busiest()
    return Traffic(
        num_requests=totals.hosts.total,
        num_hosts=totals.hosts.num_hosts,
        missing_requests=totals.hosts.error,
        hosts=tuple(sorted(sweep.hosts(), key=lambda one: (-one.num_requests, one.host))),
        busiest_second=second,
        busiest_minute=minute,
    )


def _progress_notes(
    report: Report, seal: DatasetRecord | None, commits: Sequence[Commit], plan: PlanRecord
) -> Iterator[str]:
    if seal is None:
        yield (
            f"not finished: {len(commits):,} of {plan.num_shards:,} shards are committed, with "
            f"{report.num_committed:,} of {plan.num_candidates:,} candidates; `uncurated build` "
            "continues"
        )
    elif not report.complete:
        later = len(commits) - seal.num_shards
        yield (
            f"not finished: {later:,} shards were committed since the seal; they count as bytes "
            "and traffic, not as outcomes"
        )


def _forecast_notes(dataset: str, plan: PlanRecord, forecast: Forecast | None) -> Iterator[str]:
    """Where the forecast was made for something else than what was built."""
    if forecast is None:
        return
    built: dict[str, Any] = {}
    try:
        content = storage.read_bytes(storage.join(dataset, BUILD_FILE))
        built = decode(BuildRecord, content).options
    except FileNotFoundError:
        pass
    actual = {**plan.options, **built}
    expected = {name: value for name, value in forecast.options.items() if name in actual}
    differences = option_differences(expected, actual)
    if forecast.num_candidates != plan.num_candidates:
        differences.append(
            f"expected {forecast.num_candidates:,} candidates, got {plan.num_candidates:,}"
        )
    for difference in differences:
        yield f"the forecast was made for something else: {difference}"
