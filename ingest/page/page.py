"""The page of a dataset, of all its sections."""

from collections.abc import Sequence

from ingest.page.conduct import (
    conduct_section,
    consent_section,
    geography_section,
    provenance_section,
)
from ingest.page.contents import dates_section, images_section, outcomes_section, sources_section
from ingest.page.flow import flow_chart
from schemas.manifest import DatasetRecord
from schemas.page.page import Heading, make_page
from schemas.page.section import Section
from schemas.report import Report
from schemas.survey import Survey

MADE_FROM = "the seal, the ledger and a random sample of the images"


def report_page(
    title: str,
    record: DatasetRecord,
    survey: Survey,
    report: Report,
    others: Sequence[Section],
) -> str:
    """The page of a dataset; others: the sections on the evaluation wall and the sample."""
    countries = {one.country for located in survey.geography for one in located.countries}
    facts = [
        ("candidates", f"{survey.num_candidates:,}"),
        ("images kept", f"{survey.num_kept:,}"),
        ("bytes kept", _gigabytes(survey.kept_bytes)),
        ("registered domains", f"{survey.domains.num_domains:,}"),
        ("countries seen", f"{len(countries):,}"),
        ("shards", f"{record.num_shards:,}"),
    ]
    lead = [
        f"Version {record.version}.",
        f"Decontamination: {record.decontamination}.",
        f"Merkle root: {record.merkle_root}.",
    ]
    sections = [
        outcomes_section(survey, report),
        sources_section(survey),
        images_section(survey, is_resized="resize" in record.build.options),
        dates_section(survey),
        geography_section(survey),
        consent_section(survey),
        conduct_section(report),
        *others,
        provenance_section(record, report),
    ]
    flow = flow_chart(survey.outcomes, survey.num_tombstones)
    return make_page(Heading(title, lead, MADE_FROM, facts, flow), sections)


def _gigabytes(num_bytes: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= size:
            return f"{num_bytes / size:,.1f} {unit}"
    return f"{num_bytes:,} B"
