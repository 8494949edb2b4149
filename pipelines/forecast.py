"""Forecast a build: plan and build a small sample of its input, extrapolate, and show it."""

import logging
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from ingest import storage
from ingest.errors import SetupError
from ingest.fetch.host_limits import HostLimits
from ingest.forecast.extrapolate import Scope, extrapolate
from ingest.forecast.hosts import count_hosts
from ingest.forecast.sample import Effort, Sample, read_sample
from ingest.pack.seal import read_manifest
from ingest.plan_part import count_candidates
from ingest.sources import expand_inputs
from pipelines.build import build
from pipelines.plan import plan
from pipelines.progress import count_on_terminal, show_progress
from pipelines.quantity import amount, bytes_text, hours_text, interval_text, percent
from schemas.command_options import ForecastOptions
from schemas.forecast import FORECAST_FILE, Forecast
from schemas.manifest import encode
from schemas.options import BuildOptions, PlanOptions
from schemas.prices import Prices, default_prices, parse_prices

_log = logging.getLogger(__name__)
_SHARD_CANDIDATES = 500


def forecast(
    plan_options: PlanOptions, options: ForecastOptions, beam_arguments: Sequence[str]
) -> Forecast:
    """The forecast of `build` with these options; kept in the dataset if one is named.

    Raises SetupError if the input has no candidates, or if the runner is not on this machine.
    """
    if not any("FnApiRunner" in argument for argument in beam_arguments):
        raise SetupError(
            "expected --runner=FnApiRunner: a forecast measures the sample on this machine"
        )
    prices, uris = _read_prices(options.prices), expand_inputs(plan_options)
    scope = _scope(uris, plan_options, options)
    with tempfile.TemporaryDirectory(prefix="uncurated-", dir=options.pack.scratch or None) as tmp:
        _log.info("measuring what starting a build takes")
        startup = _startup(Path(tmp), options, beam_arguments)
        count = f"{min(options.candidates, scope.num_candidates):,}"
        _log.info("building about %s of %s candidates", count, f"{scope.num_candidates:,}")
        sampled = plan_options.model_copy(
            update={"sample_rate": scope.sample_rate, "shard_candidates": _SHARD_CANDIDATES}
        )
        dataset = str(Path(tmp) / "sample")
        spent = _build(sampled, _build_options(options, dataset), beam_arguments)
        sample = _read_sample(dataset, scope)
    with count_on_terminal("rows counted by host") as on_rows:
        counts = count_hosts(uris, plan_options, on_rows)
    found = extrapolate(scope, sample, counts, (spent, startup), prices)
    if options.output:
        storage.write_bytes(storage.join(options.output, FORECAST_FILE), encode(found))
    if options.json_file:
        storage.write_bytes(options.json_file, encode(found))
    return found


def show_forecast(found: Forecast) -> None:
    """Print a forecast: outcomes, quantities, costs, hosts, and what is assumed."""
    console = Console(soft_wrap=True)
    sample = found.sample
    console.print(
        f"forecast of {found.num_candidates:,} candidates of {found.num_rows:,} rows, from "
        f"{sample.num_candidates:,} of {sample.num_hosts:,} hosts",
        highlight=False,
    )
    for table in (_outcomes(found), _quantities(found), _hosts(found)):
        console.print(table)
    for line in _notes(found):
        console.print(line, markup=False, highlight=False)


def _scope(uris: Sequence[str], plan_options: PlanOptions, options: ForecastOptions) -> Scope:
    """What is forecast, by counting the rows of the input and those that the build will take."""
    limits = HostLimits(options.politeness)
    num_rows = num_taken = 0
    with count_on_terminal("inputs counted") as on_input:
        for uri in uris:
            _, rows, taken = count_candidates(uri, plan_options)
            num_rows, num_taken = num_rows + rows, num_taken + taken
            on_input(uri)
    return Scope(
        options={**plan_options.recorded(), **_build_options(options, "").recorded()},
        num_rows=num_rows,
        num_candidates=num_taken,
        sample_rate=plan_options.sample_rate * min(1.0, options.candidates / max(1, num_taken)),
        rate_of=lambda host: limits.find(host).requests_per_s,
    )


def _read_sample(dataset: str, scope: Scope) -> Sample:
    commits = read_manifest(dataset)
    if not sum(one.num_candidates for one in commits):
        raise SetupError(
            f"expected candidates in the sample, got none of {scope.num_candidates:,} at a rate of "
            f"{scope.sample_rate:.3g}: raise --candidates"
        )
    return read_sample(dataset, commits)


def _startup(folder: Path, options: ForecastOptions, beam_arguments: Sequence[str]) -> Effort:
    """What a build of no candidates takes: processes, evaluation index, canaries, seal.

    The second one tells: in the first, code is compiled that the next builds find compiled.
    """
    nothing = folder / "nothing.txt"
    nothing.touch()
    empty = PlanOptions(input=(str(nothing),))
    for name in ("cold", "warm"):
        effort = _build(empty, _build_options(options, str(folder / name)), beam_arguments)
    return effort


def _build(
    plan_options: PlanOptions, options: BuildOptions, beam_arguments: Sequence[str]
) -> Effort:
    """Plan and build; what building took, planning apart."""
    planned = plan(plan_options, options.output, beam_arguments)
    began_s, cpu_s = time.monotonic(), _cpu_s()
    with show_progress(planned.num_candidates, beam_arguments) as address:
        build(options, planned, beam_arguments, address)
    return Effort(cpu_s=_cpu_s() - cpu_s, wall_s=time.monotonic() - began_s)


def _cpu_s() -> float:
    """CPU time so far of this process and of its children that have ended, seconds."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _build_options(options: ForecastOptions, dataset: str) -> BuildOptions:
    values = {name: getattr(options, name) for name in BuildOptions.model_fields}
    return BuildOptions(**{**values, "output": dataset})


def _read_prices(path: str) -> Prices:
    if not path:
        return default_prices()
    try:
        return parse_prices(Path(path).read_text())
    except FileNotFoundError as error:
        raise SetupError(f"--prices: expected a TOML file, got none at {path}") from error
    except ValidationError as error:
        problems = [f"{one['loc'][0]}: {one['msg']}" for one in error.errors()]
        raise SetupError(f"{path}: " + "; ".join(problems)) from error
    except ValueError as error:
        raise SetupError(f"{path}: expected TOML, got {error}") from error


def _outcomes(found: Forecast) -> Table:
    table = Table(title="Outcomes")
    for name in ("outcome", "share", "95 % interval", "candidates"):
        table.add_column(name, justify="left" if name == "outcome" else "right")
    for word, share in found.shares.items():
        count = share.times(found.num_candidates)
        table.add_row(
            word, percent(share.value), interval_text(share, percent), amount(count.value)
        )
    table.add_row("any other", percent(0.0), f"up to {percent(found.unseen_share)}", "")
    return table


def _quantities(found: Forecast) -> Table:
    table = Table(title="What it takes")
    for name in ("quantity", "expected", "95 % interval"):
        table.add_column(name, justify="left" if name == "quantity" else "right")
    currency = found.prices.currency
    rows = [
        ("images kept", found.num_kept, amount),
        ("bytes received", found.received_bytes, bytes_text),
        ("bytes stored", found.stored_bytes, bytes_text),
        ("vCPU-hours", found.vcpu_hours, amount),
        ("candidates per second and vCPU", found.candidates_per_vcpu_s, amount),
        *((f"{item}, {currency}", cost, amount) for item, cost in found.costs.items()),
    ]
    for name, estimate, as_text in rows:
        table.add_row(name, as_text(estimate.value), interval_text(estimate, as_text))
    return table


def _hosts(found: Forecast) -> Table:
    table = Table(title="Hosts that need longest")
    for name in ("host", "candidates", "requests each", "requests/s", "time"):
        table.add_column(name, justify="left" if name == "host" else "right")
    for one in found.hosts:
        rate = f"{one.requests_per_s:g}" if one.requests_per_s else "unlimited"
        time_text = hours_text(one.hours) + ("" if one.requests_per_s else " if at 1/s")
        requests = f"{one.requests_per_candidate:.2f}"
        table.add_row(one.host, f"{one.num_candidates:,}", requests, rate, time_text)
    return table


def _notes(found: Forecast) -> list[str]:
    sample, prices, slowest = found.sample, found.prices, found.slowest_host
    notes = [
        f"sample: {sample.cpu_s:,.1f} s of CPU in {sample.wall_s:,.1f} s; start-up apart, which "
        f"took {sample.startup_cpu_s:,.1f} s of CPU",
        f"vCPU-hours at {prices.vcpu_utilisation:.0%} utilisation; storage for "
        f"{prices.storage_months:g} months; {prices.note}",
        "intervals allow for hosts whose URLs share a fate; a sample never waits long for a host's "
        "turn, so the whole may have more `deferred` and `http_429`",
    ]
    if found.host_count_error:
        notes.append(f"candidates of a host: up to {found.host_count_error:,} more than told")
    if slowest is None:
        notes.append("rate per host: unlimited (--host-requests-per-s), so no least duration")
    else:
        notes.append(f"least duration: {hours_text(slowest.hours)}, which {slowest.host} needs")
    return notes
