"""Show what a dataset was cleaned against, what was found, and how well it was looked."""

from collections.abc import Sequence

import orjson
from rich.console import Console
from rich.table import Table as RichTable

from ingest import storage
from ingest.audit.copies import NearImage, read_near_images
from ingest.errors import SetupError
from ingest.pack.seal import read_finished
from ingest.page.evaluation import (
    evaluation_section,
    later_searches,
    percent,
    summary,
    tables,
)
from schemas.certificate import Certificate
from schemas.command_options import CertificateOptions
from schemas.page.charts import Table
from schemas.page.page import Heading, make_page
from schemas.tombstone import Decontamination

_SHOWN_COPIES = 20


def show_certificate(options: CertificateOptions) -> None:
    """Print the certificate of a finished dataset; write JSON and HTML where asked to."""
    record = read_finished(options.dataset)
    certificate = record.certificate
    if certificate is None:
        raise SetupError(
            f"{options.dataset} is {record.decontamination}: build it with --eval-index, or run "
            "`uncurated decontaminate` on it"
        )
    copies = sorted(
        (one for one in read_near_images(options.dataset) if one.is_copy), key=_least_sure
    )
    console = Console()
    for name, value in summary(record, certificate):
        console.print(f"{name}: {value}", markup=False, highlight=False, soft_wrap=True)
    for one in [*tables(certificate), copies_table(copies)]:
        table = RichTable(*one.header, title=one.caption)
        for row in one.rows:
            table.add_row(*row)
        console.print(table)
    for later in later_searches(options.dataset):
        console.print(_later_line(later), markup=False, highlight=False, soft_wrap=True)
    if options.json_file:
        storage.write_bytes(options.json_file, as_json(certificate, copies))
    if options.html:
        section = evaluation_section(options.dataset, record, options.eval_index, options.eval_set)
        title = f"What was removed from {options.dataset}"
        heading = Heading(title, [record.decontamination], "the seal and the ledger")
        storage.write_bytes(options.html, make_page(heading, [section]).encode())


def copies_table(copies: Sequence[NearImage]) -> Table:
    """The removed copies of which the evidence is weakest."""
    rows = [
        (
            one.id,
            one.name,
            one.variant,
            one.view,
            str(one.distance),
            "" if one.correlation is None else f"{one.correlation:.2f}",
        )
        for one in copies[:_SHOWN_COPIES]
    ]
    title = f"Removed copies: {len(copies):,}, the least sure first"
    header = ("id", "evaluation image", "variant", "view", "bits", "correlation")
    return Table(title, header, rows)


def as_json(certificate: Certificate, copies: Sequence[NearImage]) -> bytes:
    """The certificate and all removed copies, but for their thumbnails."""
    listed = [
        {name: value for name, value in vars(one).items() if name not in ("thumbnail", "preview")}
        for one in copies
    ]
    content = {"certificate": certificate.model_dump(mode="json"), "copies": listed}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def _later_line(later: Decontamination) -> str:
    sets = ", ".join(sorted(later.eval_index.sets))
    return (
        f"later, against {sets}: {later.num_removed:,} of {later.certificate.num_candidates:,} "
        f"removed, recall on canaries {percent(later.certificate.recall)}"
    )


def _least_sure(one: NearImage) -> tuple[float, str]:
    return (1.0 if one.correlation is None else one.correlation, one.id)
