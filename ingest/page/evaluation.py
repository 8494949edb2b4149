"""The section on the evaluation wall: what was cleaned against, how well, and each removed pair."""

from collections.abc import Iterator, Sequence

from ingest import storage
from ingest.audit.copies import NearImage, read_near_images
from ingest.copies.kinds import KINDS
from ingest.page.originals import Originals
from ingest.page.pairs import Pair, PairsOfSet, Picture, pairs_html, threshold_curves
from ingest.page.removed import RemovedOfSet, choose_removed
from schemas.certificate import Certificate, Recall
from schemas.manifest import DatasetRecord, decode
from schemas.page.charts import Table
from schemas.page.section import Section, more
from schemas.tombstone import CERTIFICATES, Decontamination

_RECALL_HEADER = ("canaries", "found", "95 % interval")


def evaluation_section(
    dataset: str, record: DatasetRecord, eval_index: str, eval_sets: Sequence[str]
) -> Section:
    """The certificate of a dataset, and the removed copies side by side with what they copy.

    eval_index: where the index is, unless where the build had it. eval_sets: NAME=PATH of the sets
    whose images are to be shown themselves.
    """
    title = "The evaluation wall"
    certificate = record.certificate
    later = list(_later_tables(dataset))
    if certificate is None:
        intro = f"When it was built, this dataset was {record.decontamination}."
        return Section("evaluation", title, intro, tables=later)
    radius = certificate.match_radius
    removed = choose_removed(read_near_images(dataset), radius, certificate.min_correlation)
    known = record.build.eval_index.uri if record.build.eval_index else ""
    originals = Originals(eval_index or known, eval_sets)
    originals.load({one.name for found in removed.sets.values() for one in found.near})
    pairs = [_pairs_of_set(name, found, originals) for name, found in removed.sets.items()]
    return Section(
        "evaluation",
        title,
        "What copies an image of an evaluation set is the one thing that is removed. A build "
        "plants copies of its own, canaries, and counts how many of them it finds.",
        facts=summary(record, certificate),
        charts=threshold_curves(removed.cuts, radius),
        tables=[*tables(certificate), *later],
        html=pairs_html(pairs),
    )


def later_searches(dataset: str) -> Iterator[Decontamination]:
    """The records of later decontaminations of a dataset."""
    folder = storage.join(dataset, CERTIFICATES)
    for path in storage.list_files(folder):
        yield decode(Decontamination, storage.read_bytes(storage.join(folder, path)))


def _later_tables(dataset: str) -> Iterator[Table]:
    rows = [
        (
            ", ".join(sorted(one.eval_index.sets)),
            f"{one.certificate.num_candidates:,}",
            f"{one.num_removed:,}",
            percent(one.certificate.recall),
            one.eval_index.sha256,
        )
        for one in later_searches(dataset)
    ]
    header = ("sets", "images looked up", "removed", "recall on canaries", "index, SHA-256")
    if rows:
        yield Table("Later searches", header, rows, frozenset({1, 2}))


def _pairs_of_set(name: str, found: RemovedOfSet, originals: Originals) -> PairsOfSet:
    rows = [(one.id, one.name, one.variant, one.url) for one in found.exact]
    header = ("id", "evaluation image", "equal", "URL")
    title = f"{found.num_exact:,} exact copies of {name}"
    note = more(len(rows), found.num_exact, "the ledger")
    exact = Table(title, header, rows, frozenset(), note)
    near = [_pair(one, originals) for one in found.near]
    return PairsOfSet(name, near, found.num_near, found.num_exact, exact)


def _pair(one: NearImage, originals: Originals) -> Pair:
    return Pair(
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


def tables(certificate: Certificate) -> list[Table]:
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
    numbers = frozenset(range(1, len(header) + len(_RECALL_HEADER)))
    return [
        Table("Evaluation sets", (*header, *_RECALL_HEADER), by_set, numbers),
        Table("Canaries by how they were made", ("copies", *_RECALL_HEADER), by_group, numbers),
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


def percent(recall: Recall) -> str:
    """A recall with its interval, as text."""
    if not recall.tried:
        return "none tried"
    share = recall.found / recall.tried
    return f"{share:.1%} ({recall.low:.1%} to {recall.high:.1%}; {recall.found} of {recall.tried})"
