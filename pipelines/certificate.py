"""Show what a dataset was cleaned against, what was found, and how well it was looked."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from ingest import storage
from ingest.audit.copies import NearImage, read_near_images
from ingest.audit.gallery import Pair, Picture, TextTable, curves_html, gallery_html
from ingest.audit.originals import Originals
from ingest.copies.kinds import KINDS
from ingest.errors import SetupError
from ingest.pack.seal import read_seal
from schemas.certificate import Certificate, Recall
from schemas.command_options import CertificateOptions
from schemas.manifest import DatasetRecord, decode
from schemas.outcome import Outcome
from schemas.tombstone import CERTIFICATES, Decontamination

_SHOWN_COPIES = 20
_RECALL_HEADER = ("canaries", "found", "95 % interval")


def show_certificate(options: CertificateOptions) -> None:
    """Print the certificate of a finished dataset; write JSON and HTML where asked to."""
    record = read_seal(options.dataset)
    if record is None:
        raise SetupError(f"expected a finished dataset, got none at {options.dataset}")
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
    for title, header, rows in [*tables(certificate), copies_table(copies)]:
        table = Table(*header, title=title)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    for later in later_searches(options.dataset):
        console.print(_later_line(later), markup=False, highlight=False, soft_wrap=True)
    if options.json_file:
        Path(options.json_file).write_bytes(as_json(certificate, copies))
    if options.html:
        Path(options.html).write_text(as_html(options, record, certificate, copies))


def as_html(
    options: CertificateOptions,
    record: DatasetRecord,
    certificate: Certificate,
    copies: Sequence[NearImage],
) -> str:
    """The certificate as a page, with the removed pairs side by side."""
    known = record.build.eval_index.uri if record.build.eval_index else ""
    originals = Originals(options.eval_index or known, options.eval_set)
    originals.load({one.name for one in copies})
    pairs = (
        Pair(
            id=one.id,
            url=one.url,
            found=Picture(one.preview, one.thumbnail),
            name=one.name,
            original=originals.picture(one.name),
            variant=one.variant,
            view=one.view,
            distance=one.distance,
            correlation=one.correlation,
        )
        for one in copies
    )
    candidates = [
        (one.distance, one.correlation)
        for one in read_near_images(options.dataset)
        if one.correlation is not None and one.outcome is not Outcome.DUPLICATE_EXACT
    ]
    curves = curves_html(candidates, certificate.match_radius, certificate.min_correlation)
    title = f"What was removed from {options.dataset}"
    return gallery_html(title, summary(record, certificate), tables(certificate), pairs, curves)


def summary(record: DatasetRecord, certificate: Certificate) -> list[tuple[str, str]]:
    """The certificate in a few lines: what they are and what they say."""
    removed = sum(one.exact_copies + one.near_copies for one in certificate.sets.values())
    low, high = certificate.residual
    lines = [
        ("decontamination", record.decontamination),
        ("images looked up", f"{certificate.num_candidates:,}"),
        ("copies removed", f"{removed:,}"),
        ("recall on canaries", percent(certificate.recall)),
        ("recall on canaries of flat images", percent(certificate.recall_of_flat)),
        ("near copies that may still be in", f"{low:,.1f} to {high:,.1f}"),
    ]
    if certificate.false_drops is None:
        lines.append(("false drops", "not estimated: the index was made without --background"))
    else:
        few, many = certificate.false_drops
        lines.append(("false drops", f"{few:,.1f} to {many:,.1f} images, by the background"))
    return lines


def tables(certificate: Certificate) -> list[TextTable]:
    """Counts and recall by evaluation set, and recall by kind of copy."""
    by_set = [
        (
            name,
            f"{one.protected.num_images:,}",
            f"{one.protected.num_exact_only:,}",
            f"{one.protected.num_unreadable:,}",
            f"{one.exact_copies:,}",
            f"{one.near_copies:,}",
            *recall_cells(one.recall),
        )
        for name, one in certificate.sets.items()
    ]
    by_group = [
        (group, *recall_cells(recall)) for group, recall in recall_by_group(certificate).items()
    ]
    header = ("set", "images", "exact only", "unreadable", "exact copies", "near copies")
    return [
        ("Evaluation sets", (*header, *_RECALL_HEADER), by_set),
        ("Canaries by how they were made", ("copies", *_RECALL_HEADER), by_group),
    ]


def recall_by_group(certificate: Certificate) -> dict[str, Recall]:
    """The recall of the groups of kinds of copies, in the order of the kinds."""
    counts: dict[str, list[int]] = {}
    for name, kind in KINDS.items():
        recall = certificate.recall_by_kind.get(name)
        if recall is not None:
            found, tried = counts.setdefault(kind.group, [0, 0])
            counts[kind.group] = [found + recall.found, tried + recall.tried]
    return {group: Recall.of(found, tried) for group, (found, tried) in counts.items()}


def recall_cells(recall: Recall) -> tuple[str, str, str]:
    """Canaries, share found, and its interval, as text."""
    if not recall.tried:
        return "0", "", ""
    share = recall.found / recall.tried
    return f"{recall.tried:,}", f"{share:.1%}", f"{recall.low:.1%} - {recall.high:.1%}"


def copies_table(copies: Sequence[NearImage]) -> TextTable:
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
    return title, ("id", "evaluation image", "variant", "view", "bits", "correlation"), rows


def percent(recall: Recall) -> str:
    """A recall with its interval, as text."""
    if not recall.tried:
        return "none tried"
    share = recall.found / recall.tried
    return f"{share:.1%} ({recall.low:.1%} to {recall.high:.1%}; {recall.found} of {recall.tried})"


def as_json(certificate: Certificate, copies: Sequence[NearImage]) -> bytes:
    """The certificate and all removed copies, but for their thumbnails."""
    listed = [
        {name: value for name, value in vars(one).items() if name not in ("thumbnail", "preview")}
        for one in copies
    ]
    content = {"certificate": certificate.model_dump(mode="json"), "copies": listed}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def later_searches(dataset: str) -> Iterator[Decontamination]:
    """The records of later decontaminations of a dataset."""
    folder = storage.join(dataset, CERTIFICATES)
    for path in storage.list_files(folder):
        yield decode(Decontamination, storage.read_bytes(storage.join(folder, path)))


def _later_line(later: Decontamination) -> str:
    sets = ", ".join(sorted(later.eval_index.sets))
    return (
        f"later, against {sets}: {later.num_removed:,} of {later.certificate.num_candidates:,} "
        f"removed, recall on canaries {percent(later.certificate.recall)}"
    )


def _least_sure(one: NearImage) -> tuple[float, str]:
    return (1.0 if one.correlation is None else one.correlation, one.id)
