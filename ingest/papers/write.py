"""All papers of a dataset, and where they lie."""

from ingest import storage
from ingest.pack.seal import read_manifest
from ingest.papers.croissant import croissant
from ingest.papers.croissant_files import MOST_LISTED
from ingest.papers.datasheet import datasheet
from ingest.papers.eu_summary import eu_summary
from ingest.papers.facts import Facts
from ingest.papers.opt_outs import opt_outs_csv
from ingest.papers.top_domains import top_domains_csv
from schemas.audit_options import ReportOptions
from schemas.manifest import DATASET_FILE, DatasetRecord, digest
from schemas.removal import CROISSANT_FILE, REPORT
from schemas.report import Report
from schemas.survey import Survey


def make_papers(
    dataset: str, record: DatasetRecord, survey: Survey, report: Report, options: ReportOptions
) -> dict[str, bytes]:
    """Name and bytes of each paper of a sealed dataset; the same inputs give the same bytes.

    Raises SetupError if the survey is of other samples than the seal.
    """
    facts = Facts(dataset, record, survey, report, options)
    facts.check()
    seal_sha256 = digest(storage.read_bytes(storage.join(dataset, DATASET_FILE)))
    commits = read_manifest(dataset) if record.num_shards <= MOST_LISTED else []
    return {
        CROISSANT_FILE: croissant(facts, seal_sha256, commits),
        "DATASHEET.md": datasheet(facts),
        "eu-summary.md": eu_summary(facts),
        "opt-outs.csv": opt_outs_csv(facts),
        "top-domains.csv": top_domains_csv(facts),
    }


def paper_uri(options: ReportOptions, name: str) -> str:
    """Where the page or a paper lies: in the report's folder, but the Croissant record above it.

    Its paths are relative to the root of the dataset. With --output it lies there with the others,
    to be put at the root of a copy.
    """
    if options.output:
        return storage.join(options.output, name)
    if name == CROISSANT_FILE:
        return storage.join(options.dataset, name)
    return storage.join(options.dataset, REPORT, name)
