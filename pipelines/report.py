"""Report on a dataset: printed while it is built, as a page with papers when it is finished."""

from collections.abc import Callable
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from ingest import storage
from ingest.audit.report import make_report
from pipelines.page import write_report
from pipelines.progress import count_on_terminal
from pipelines.quantity import amount, bytes_text, interval_text, percent
from schemas.audit_options import ReportOptions
from schemas.manifest import encode
from schemas.report import Comparison, Report, Traffic

_SHOWN_HOSTS = 20
_US = 1_000_000
_SHARE_OF = "share of "


def report(options: ReportOptions) -> Report:
    """Print the report on a dataset; write page and papers of a finished one, JSON if asked to."""
    with count_on_terminal("ledger parts read") as on_part:
        found = make_report(options.dataset, on_part)
    if options.json_file:
        storage.write_bytes(options.json_file, encode(found))
    console = Console(soft_wrap=True)
    for table in _tables(found):
        console.print(table)
    for line in (*_lines(found), *found.notes):
        console.print(line, markup=False, highlight=False)
    if not options.only_print:
        for line in write_report(options, found):
            console.print(line, markup=False, highlight=False)
    return found


def _tables(found: Report) -> list[Table]:
    tables = [_outcomes(found), _quantities(found)]
    return [*tables, _hosts(found.traffic)] if found.traffic else tables


def _outcomes(found: Report) -> Table:
    """Outcomes with shares, and the forecast beside them."""
    table = _table(
        f"{found.num_committed:,} candidates of {found.num_planned:,} planned",
        ("outcome", "candidates", "share", "forecast", "95 % interval", ""),
    )
    shares = {
        one.quantity.removeprefix(_SHARE_OF): one
        for one in found.comparisons
        if one.quantity.startswith(_SHARE_OF)
    }
    words = sorted(
        {*found.outcomes, *shares}, key=lambda word: (-found.outcomes.get(word, 0), word)
    )
    for word in words:
        count = found.outcomes.get(word, 0)
        share = f"{count / max(1, found.num_committed):.1%}"
        forecast = _cells(shares.get(word), percent)
        table.add_row(word, f"{count:,}", share, *forecast)
    return table


def _quantities(found: Report) -> Table:
    """Totals and rates, and the forecast of those that were forecast."""
    table = _table("Totals", ("quantity", "actual", "forecast", "95 % interval", ""))
    compared = {one.quantity: one for one in found.comparisons}
    totals: list[tuple[str, str, float, Callable[[float], str]]] = [
        ("images kept", "num_kept", found.num_kept, amount),
        ("bytes received", "received_bytes", found.received_bytes, bytes_text),
        ("bytes stored", "stored_bytes", found.stored_bytes, bytes_text),
    ]
    for title, name, value, as_text in totals:
        table.add_row(title, as_text(value), *_cells(compared.get(name), as_text))
    mean_ms = "" if found.mean_fetch_ms is None else amount(found.mean_fetch_ms)
    for title, text in (
        ("seconds of fetching", amount(found.active_s)),
        ("candidates/s", amount(found.candidates_per_s)),
        ("images/s", amount(found.images_per_s)),
        ("mean ms of a request", mean_ms),
    ):
        table.add_row(title, text, "", "", "")
    return table


def _hosts(traffic: Traffic) -> Table:
    names = ("host", "requests", "share", "highest rate in 1 s", "highest rate in 60 s")
    table = _table("Hosts hit hardest", names)
    for one in traffic.hosts[:_SHOWN_HOSTS]:
        share = f"{one.num_requests / max(1, traffic.num_requests):.1%}"
        rates = (f"{one.most_in_1_s:,}/s", f"{one.most_in_60_s / 60:,.2f}/s")
        table.add_row(one.host, f"{one.num_requests:,}", share, *rates)
    return table


def _lines(found: Report) -> list[str]:
    lines = []
    if found.first_fetch_us is not None and found.last_fetch_us is not None:
        lines.append(
            f"fetched from {_moment(found.first_fetch_us)} to {_moment(found.last_fetch_us)}"
        )
    traffic = found.traffic
    if traffic and traffic.busiest_second and traffic.busiest_minute:
        second, minute = traffic.busiest_second, traffic.busiest_minute
        at_least = "at least " if traffic.missing_requests else ""
        lines.append(f"{traffic.num_requests:,} requests to {at_least}{traffic.num_hosts:,} hosts")
        lines.append(
            f"highest rate that any host saw: {second.num_requests:,} requests in 1 s "
            f"({second.host}); {minute.num_requests / 60:,.2f}/s over 60 s ({minute.host})"
        )
    outside = [one.quantity for one in found.comparisons if not one.inside]
    if found.comparisons:
        told = ", ".join(outside) if outside else "none"
        lines.append(f"outside of the forecast's intervals: {told}")
    return lines


def _cells(compared: Comparison | None, as_text: Callable[[float], str]) -> tuple[str, str, str]:
    """Forecast, interval, and a flag if the actual value is outside."""
    if compared is None:
        return "", "", ""
    expected = compared.expected
    flag = "" if compared.inside else "outside"
    return as_text(expected.value), interval_text(expected, as_text), flag


def _table(title: str, names: tuple[str, ...]) -> Table:
    table = Table(title=title)
    for number, name in enumerate(names):
        table.add_column(name, justify="right" if number else "left")
    return table


def _moment(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / _US, UTC).isoformat(sep=" ", timespec="seconds")
