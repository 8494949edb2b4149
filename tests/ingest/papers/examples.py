"""Surveys and reports made up around the seal of a dataset, for papers without a crawl."""

from schemas.audit_options import ReportOptions
from schemas.report import HostPeak, Report, Traffic
from schemas.survey import (
    Consent,
    ConsentSignal,
    CountryShare,
    Domain,
    Domains,
    Histogram,
    Located,
    Ranking,
    Survey,
)

HOSTILE = "x|y`<script>alert(1)</script>**b** [l](javascript:0)\n# =cmd\u202e"
_BINS = Histogram(edges=(0.0, 1.0), counts=(0,))
_NAMES = Ranking(top={}, num_names=0, total=0)


def domains(count, num_kept_domains=None):
    """So many registered domains, each with fewer bytes than the one before."""
    top = tuple(
        Domain(
            domain=f"site{number}.example",
            num_candidates=10,
            num_kept=5,
            kept_bytes=1000 * (count - number),
            num_refused=number % 3,
        )
        for number in range(count)
    )
    known = count if num_kept_domains is None else num_kept_domains
    return Domains(top=top, num_domains=known, num_kept_domains=known, suffix_list="2026-10")


def consent(*signals):
    return Consent(
        signals=tuple(
            ConsentSignal(signal=text, mode="record", num_candidates=3, num_kept=2, num_refused=1)
            for text in signals
        ),
        rules=Ranking(top={"robots.txt line 3: Disallow: /x": 2}, num_names=1, total=2),
        num_robots_known=7,
        num_refused=2,
        modes={"robots_txt": "honour", "c2pa": "record"},
    )


def survey_of(record, **changes):
    """A survey that agrees with the seal."""
    kept = record.outcomes.get("kept", 0)
    values = {
        "dataset": "made-up",
        "version": "1.0.0",
        "merkle_root": record.merkle_root,
        "seed": 0,
        "num_candidates": record.num_candidates,
        "outcomes": record.outcomes,
        "num_kept": kept,
        "num_tombstones": 0,
        "kept_bytes": record.image_bytes,
        "formats": {"jpeg": kept},
        "modes": {"RGB": kept},
        "num_animated": 0,
        "num_bytes": _BINS,
        "width_px": _BINS,
        "height_px": _BINS,
        "aspect_ratio": _BINS,
        "exif_years": {"none": kept},
        "exif_orientations": {"none": kept},
        "last_modified_years": {"none": kept},
        "fetched_days": {},
        "http_statuses": {},
        "carriers": {"url": record.num_candidates},
        "hosts": _NAMES,
        "suffixes": Ranking(top={"example": 9}, num_names=1, total=10),
        "domains": domains(4),
        "consent": consent("x-robots-tag: noai"),
        "decoder_warnings": _NAMES,
        "geography": (
            Located(
                evidence="domain",
                num_asked=50,
                num_located=20,
                countries=(CountryShare(country="DE", num_images=10, low=0.3, high=0.7),),
                note="by the country code of the host",
            ),
        ),
        "num_sampled": 50,
        "exif_fields": {"gps": 3, "serial": 1},
    }
    return Survey(**{**values, **changes})


def report_of(record, **changes):
    """A report on a crawl of one day, with one host that was asked 3 times in a second."""
    peak = HostPeak(host="a.example", num_requests=3)
    values = {
        "dataset": "made-up",
        "complete": True,
        "num_planned": record.num_candidates,
        "num_committed": record.num_candidates,
        "num_rows": record.num_candidates,
        "outcomes": record.outcomes,
        "num_kept": record.num_kept,
        "image_bytes": record.image_bytes,
        "stored_bytes": 0,
        "received_bytes": 0,
        "first_fetch_us": 1_760_000_000_000_000,
        "last_fetch_us": 1_760_086_400_000_000,
        "active_s": 1.0,
        "mean_fetch_ms": None,
        "traffic": Traffic(
            num_requests=9,
            num_hosts=1,
            missing_requests=0,
            hosts=(),
            busiest_second=peak,
            busiest_minute=peak,
        ),
        "comparisons": (),
        "notes": (),
    }
    return Report(**{**values, **changes})


def told_options(dataset, **changes):
    """Everything that a publisher can tell."""
    values = {
        "license": "CC0-1.0",
        "creator": "Example Lab",
        "contact": "takedown@example.org",
        "url": "https://example.org/data",
    }
    return ReportOptions(dataset=str(dataset), **{**values, **changes})
