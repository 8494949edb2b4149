"""Write the page and the papers of a finished dataset."""

from ingest import storage
from ingest.pack.seal import read_seal
from ingest.page.contact_sheet import contact_sheet
from ingest.page.evaluation import evaluation_section
from ingest.page.page import report_page
from ingest.page.removals import removals_section
from ingest.papers.write import make_papers, paper_uri
from ingest.removal.remove import read_removals
from ingest.survey.make import make_survey
from pipelines.progress import count_on_terminal
from schemas.audit_options import ReportOptions
from schemas.options import InspectOptions
from schemas.report import Report

PAGE = "index.html"


def write_report(options: ReportOptions, report: Report) -> list[str]:
    """Write `index.html` and the papers; lines that tell where, or why there are none yet."""
    dataset = options.dataset
    record = read_seal(dataset)
    if record is None:
        return ["page and papers are written when the dataset is finished"]
    with count_on_terminal("ledger parts surveyed") as on_part:
        survey, sample = make_survey(dataset, options, on_part)
    max_pixels = InspectOptions.model_validate(record.build.options.get("inspect", {})).max_pixels
    others = [
        evaluation_section(dataset, record, options.eval_index, options.eval_set),
        removals_section(record, read_removals(dataset)),
        contact_sheet(survey, sample, max_pixels),
    ]
    page = report_page(survey.dataset, record, survey, report, others)
    papers = make_papers(dataset, record, survey, report, options)
    # A title from the command line may have what is no text.
    contents = {PAGE: page.encode(errors="replace"), **papers}
    files = {paper_uri(options, name): content for name, content in contents.items()}
    for uri, content in files.items():
        storage.write_bytes(uri, content)
    return [f"{uri}: {len(content):,} bytes" for uri, content in files.items()]
