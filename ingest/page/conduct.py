"""What the sections on conduct say: geography, consent, politeness, forecast, provenance."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pycountry

from schemas.manifest import DatasetRecord
from schemas.page.charts import Interval, Table, intervals
from schemas.page.section import Section, first, more
from schemas.report import Report, Traffic
from schemas.survey import Consent, Located, Survey

_DRAWN = 15
_EVIDENCE = {
    "gps": "Countries by EXIF position",
    "domain": "Countries by country-code domain",
    "address": "Countries by hosting address",
}


def geography_section(survey: Survey) -> Section:
    """Countries by each kind of evidence, of the random sample."""
    found = {one.country for located in survey.geography for one in located.countries}
    intro = (
        f"Estimated from {survey.num_sampled:,} images drawn at random (seed {survey.seed}); bars "
        "are shares of the images that could be placed, lines their 95 % intervals (Wilson). "
        f"{len(found):,} countries were seen in all."
    )
    charts, facts, notes = [], [], []
    for located in survey.geography:
        title = _EVIDENCE.get(located.evidence, located.evidence)
        facts.append((title, f"{located.num_located:,} of {located.num_asked:,} could be placed"))
        shares = list(_shares(located))
        rows = [
            (one.name, f"{one.count:,}", f"{one.share:.1%}", f"{one.low:.1%} to {one.high:.1%}")
            for one in shares
        ]
        if shares:
            charts.append(intervals(title, shares[:_DRAWN], rows, located.note))
        else:
            notes.append(f"{title}: {located.note}")
    return Section("geography", "Geography", intro, facts, charts, notes=notes)


def _shares(located: Located) -> Iterator[Interval]:
    for one in located.countries:
        share = one.num_images / max(1, located.num_located)
        yield Interval(country_name(one.country), one.num_images, share, one.low, one.high)


def country_name(code: str) -> str:
    """The English name of a country by its ISO 3166-1 alpha-2 code; the code if there is none."""
    country = pycountry.countries.get(alpha_2=code)
    return str(getattr(country, "common_name", country.name)) if country else code


def consent_section(survey: Survey) -> Section:
    """Each signal, how the build was told to act on it, and what became of it."""
    consent = survey.consent
    facts = [
        ("candidates left out because a publisher said no", f"{consent.num_refused:,}"),
        ("candidates whose robots.txt was had", f"{consent.num_robots_known:,}"),
        *consent.modes.items(),
    ]
    rules = consent.rules
    rows = [(rule, f"{count:,}") for rule, count in first(rules.top, 50).items()]
    note = more(len(rows), rules.num_names, "opt-outs.csv and the ledger")
    tables = [
        _signals(consent),
        Table("Rules that decided", ("rule", "candidates"), rows, frozenset({1}), note),
    ]
    intro = (
        "Honour: a candidate with the signal was left out; record: the signal is in the "
        "ledger, and the image kept; ignore: nobody looked."
    )
    return Section("consent", "What publishers said", intro, facts, tables=tables)


def _signals(consent: Consent) -> Table:
    rows = [
        (
            one.signal,
            one.mode,
            f"{one.num_candidates:,}",
            f"{one.num_kept:,}",
            f"{one.num_refused:,}",
        )
        for one in consent.signals[:100]
    ]
    header = ("signal", "mode", "candidates", "kept", "left out for it")
    note = more(len(rows), len(consent.signals), "opt-outs.csv")
    return Table("Signals", header, rows, frozenset({2, 3, 4}), note)


def conduct_section(report: Report) -> Section:
    """How hard hosts were hit, and the forecast beside what happened."""
    facts = [
        ("bytes received", f"{report.received_bytes:,}"),
        ("bytes stored", f"{report.stored_bytes:,}"),
        ("seconds of fetching", f"{report.active_s:,.0f}"),
        ("candidates a second", f"{report.candidates_per_s:,.1f}"),
    ]
    tables = []
    if report.traffic is not None:
        facts += _traffic_facts(report.traffic)
        tables.append(_hosts(report.traffic))
    compared = [
        (
            one.quantity,
            f"{one.actual:,.4g}",
            f"{one.expected.low:,.4g} to {one.expected.high:,.4g}",
            "yes" if one.inside else "NO",
        )
        for one in report.comparisons
    ]
    if compared:
        header = ("quantity", "actual", "forecast, 95 %", "inside")
        table = Table("Forecast and what happened", header, compared, frozenset({1, 2}))
        tables.append(table)
    intro = "Every request is in the ledger: robots.txt, redirects and retries included."
    return Section("conduct", "Politeness and forecast", intro, facts, tables=tables)


def _traffic_facts(traffic: Traffic) -> list[tuple[str, str]]:
    second, minute = traffic.busiest_second, traffic.busiest_minute
    rate = "none"
    if second is not None and minute is not None:
        rate = (
            f"{second.num_requests:,} requests in one second ({second.host}), "
            f"{minute.num_requests / 60:,.2f} a second over a minute ({minute.host})"
        )
    requests = f"{traffic.num_requests:,} to {traffic.num_hosts:,} hosts"
    return [("requests", requests), ("highest rate that any host saw", rate)]


def _hosts(traffic: Traffic) -> Table:
    rows = [
        (
            one.host,
            f"{one.num_requests:,}",
            f"{one.most_in_1_s:,}",
            f"{one.most_in_60_s / 60:,.2f}",
        )
        for one in traffic.hosts
    ]
    header = ("host", "requests", "most in 1 s", "most over 60 s, a second")
    note = more(len(rows), traffic.num_hosts, "the ledger")
    return Table("Hosts hit hardest", header, rows, frozenset({1, 2, 3}), note)


def provenance_section(record: DatasetRecord, report: Report) -> Section:
    """Digests, versions, options, and how the dataset came to be what it is."""
    facts = [
        ("version", record.version),
        ("Merkle root", record.merkle_root),
        ("seal, SHA-256 of its content", record.record_sha256),
        ("manifest, SHA-256", record.manifest_sha256),
        ("plan, SHA-256", record.plan_sha256),
        ("build, SHA-256", record.build_sha256),
        ("decontamination", record.decontamination),
        ("versions", ", ".join(f"{name} {one}" for name, one in record.build.versions.items())),
    ]
    tables = [_inputs(record)]
    events = list(_events(record))
    if events:
        tables.append(
            Table("What was changed", ("event", "what", "Merkle root before"), events, frozenset())
        )
    options = {"plan": record.plan.options, "build": record.build.options}
    flat = list(_flat(options))
    tables.append(Table("Options", ("option", "value"), flat, frozenset()))
    intro = "The command “uncurated audit” recomputes all of this; --lineage walks back."
    return Section(
        "provenance", "Provenance", intro, facts, tables=tables, notes=list(report.notes)
    )


def _inputs(record: DatasetRecord) -> Table:
    rows = [
        (
            one.uri,
            one.kind,
            f"{one.num_rows:,}",
            one.sha256 or one.merkle_root or "not recorded",
        )
        for one in record.plan.inputs[:200]
    ]
    note = more(len(rows), len(record.plan.inputs), "plan.json")
    header = ("input", "kind", "rows", "SHA-256 or Merkle root")
    return Table("Inputs", header, rows, frozenset({2}), note)


def _events(record: DatasetRecord) -> Iterator[tuple[str, str, str]]:
    for retry in record.retries:
        what = f"{retry.num_candidates:,} candidates asked anew"
        yield f"retry {retry.generation}", what, retry.merkle_root
    for repack in record.repacks:
        removed = ", ".join(f"{count:,} {word}" for word, count in repack.removed.items())
        yield f"repack {repack.repack}", f"{removed} taken out", repack.merkle_root


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", orjson.dumps(value).decode()
