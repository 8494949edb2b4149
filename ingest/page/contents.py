"""What the sections on the data say: outcomes, sources, images, dates."""

from collections.abc import Iterator

from schemas.outcome import Outcome
from schemas.page.charts import Chart, Table, bars, columns, histogram, number_labels, size_labels
from schemas.page.section import Section, first, more, rows_of
from schemas.report import Comparison, Report
from schemas.survey import Histogram, Ranking, Survey

_DRAWN, _LISTED = 15, 100
_DOMAINS = 200
_SHARE_OF = "share of "


def outcomes_section(survey: Survey, report: Report) -> Section:
    """Every outcome with its explanation, and the forecast beside it."""
    shares = {
        one.quantity.removeprefix(_SHARE_OF): one
        for one in report.comparisons
        if one.quantity.startswith(_SHARE_OF)
    }
    total = max(1, survey.num_candidates)
    words = sorted({*survey.outcomes, *shares}, key=lambda one: (-survey.outcomes.get(one, 0), one))
    rows = []
    for word in words:
        count = survey.outcomes.get(word, 0)
        outcome = Outcome(word)
        told = (word, f"{count:,}", f"{count / total:.2%}", *_forecast(shares.get(word)))
        rows.append((*told, outcome.stage, outcome.explanation))
    header = ("outcome", "candidates", "share", "forecast", "decided in", "meaning")
    lost = {word: n for word, n in survey.outcomes.items() if word != Outcome.KEPT.value}
    drawn = dict(sorted(lost.items(), key=lambda item: (-item[1], item[0]))[:_DRAWN])
    charts = (
        [bars("Candidates that were not kept, by reason", drawn, "candidates")] if drawn else []
    )
    intro = (
        f"Each of {survey.num_candidates:,} candidates ended with exactly one outcome; the ledger "
        "has a row for every one of them."
    )
    table = Table("Outcomes", header, rows, frozenset({1, 2, 3}))
    return Section("outcomes", "Outcomes", intro, charts=charts, tables=[table])


def sources_section(survey: Survey) -> Section:
    """Hosts, registered domains and top-level domains."""
    hosts, suffixes, domains = survey.hosts, survey.suffixes, survey.domains
    facts = [
        ("hosts", f"{'at least ' if hosts.error else ''}{hosts.num_names:,}"),
        ("registered domains", f"{'at least ' if domains.error else ''}{domains.num_domains:,}"),
        ("domains that gave an image", f"{domains.num_kept_domains:,}"),
        ("public suffix list", domains.suffix_list),
    ]
    charts = [
        bars("Candidates by top-level domain", first(suffixes.top, _DRAWN), "candidates"),
        bars("Candidates by host", first(hosts.top, _DRAWN), "candidates"),
    ]
    tables = [
        _domains(survey),
        _ranking("Hosts, by candidates", "host", hosts),
        _ranking("Top-level domains, by candidates", "domain", suffixes),
    ]
    return Section("sources", "Where it came from", "", facts, charts, tables)


def _ranking(title: str, name: str, found: Ranking) -> Table:
    rows = rows_of(first(found.top, _LISTED), found.total)
    note = more(len(rows), found.num_names, "the ledger")
    return Table(title, (name, "candidates", "share"), rows, frozenset({1, 2}), note)


def _domains(survey: Survey) -> Table:
    rows = [
        (
            one.domain,
            f"{one.kept_bytes:,}",
            f"{one.num_kept:,}",
            f"{one.num_candidates:,}",
            f"{one.num_refused:,}",
        )
        for one in survey.domains.top[:_DOMAINS]
    ]
    header = ("domain", "bytes kept", "images kept", "candidates", "publisher said no")
    title, note = "Registered domains, by bytes kept", _other_domains(survey, len(rows))
    return Table(title, header, rows, frozenset({1, 2, 3, 4}), note)


def _other_domains(survey: Survey, num_listed: int) -> str:
    domains = survey.domains
    others = more(num_listed, domains.num_kept_domains, "top-domains.csv and the ledger")
    num_empty = domains.num_domains - domains.num_kept_domains
    empty = f"{num_empty:,} domains gave no image." if num_empty > 0 else ""
    return f"{others} {empty}".strip()


def images_section(survey: Survey, is_resized: bool) -> Section:
    """Formats, sizes, shapes, and what was odd."""
    bytes_labels = size_labels(survey.num_bytes.edges)
    charts = [
        bars("Formats", _falling(survey.formats), "images"),
        histogram("Size", *_bins(survey.num_bytes), bytes_labels, "bytes of an image"),
        _histogram("Width", survey.width_px, "pixels"),
        _histogram("Height", survey.height_px, "pixels"),
        _histogram("Shape", survey.aspect_ratio, "width by height"),
        bars("Pixel modes", _falling(survey.modes), "images"),
    ]
    kept = max(1, survey.num_kept)
    facts = [
        ("images", f"{survey.num_kept:,}"),
        ("bytes", f"{survey.kept_bytes:,}"),
        ("mean bytes of an image", f"{survey.kept_bytes / kept:,.0f}"),
        ("images of more than one frame", f"{survey.num_animated:,}"),
    ]
    warnings = survey.decoder_warnings
    table = Table(
        "What the decoder complained about, yet survived",
        ("warning", "images", "share of warnings"),
        rows_of(first(warnings.top, 30), warnings.total),
        frozenset({1, 2}),
        more(min(30, len(warnings.top)), warnings.num_names, "the ledger"),
    )
    tables = [table] if warnings.total else []
    intro = (
        "Smaller copies; the ledger has the digest of each original."
        if is_resized
        else "The images as received: nothing was resized, encoded anew or judged by its content."
    )
    return Section("images", "The images", intro, facts, charts, tables)


def dates_section(survey: Survey) -> Section:
    """When images were taken, changed and fetched; EXIF of the sample."""
    charts = list(_date_charts(survey))
    sampled = max(1, survey.num_sampled)
    exif = [
        (name, f"{count:,}", f"{count / sampled:.1%}") for name, count in survey.exif_fields.items()
    ]
    tables = [
        Table(
            "EXIF fields in the random sample",
            ("field", "images", "share"),
            exif,
            frozenset({1, 2}),
            f"Of {survey.num_sampled:,} images drawn at random (seed {survey.seed}). Whole files "
            "are packed, so whatever publishers left in their EXIF data is in the dataset.",
        )
    ]
    orientations = rows_of(survey.exif_orientations)
    table = Table("EXIF orientation", ("tag", "images", "share"), orientations, frozenset({1, 2}))
    return Section("dates", "Dates and EXIF", charts=charts, tables=[*tables, table])


def _date_charts(survey: Survey) -> Iterator[Chart]:
    told = {
        "Year of the EXIF date": (survey.exif_years, "images"),
        "Year of Last-Modified": (survey.last_modified_years, "images"),
        "Day of the last request": (survey.fetched_days, "candidates"),
    }
    for title, (counts, unit) in told.items():
        dated = {name: counts[name] for name in sorted(counts) if name[:4].isdecimal()}
        others = {name: count for name, count in counts.items() if name not in dated}
        note = "; ".join(f"{name}: {count:,} {unit}" for name, count in others.items())
        if dated:
            yield columns(title, dated, unit, note)


def _histogram(title: str, found: Histogram, unit: str) -> Chart:
    return histogram(title, *_bins(found), number_labels(found.edges), unit)


def _bins(found: Histogram) -> tuple[tuple[float, ...], tuple[int, ...]]:
    return found.edges, found.counts


def _falling(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_DRAWN])


def _forecast(compared: Comparison | None) -> tuple[str]:
    if compared is None:
        return ("",)
    one = compared.expected
    flag = "" if compared.inside else ", outside"
    return (f"{one.low:.2%} to {one.high:.2%}{flag}",)
