"""The survey of a finished dataset: one pass over its ledger, then a look at a random sample."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from ingest.audit.last_rows import read_last_rows
from ingest.errors import SetupError
from ingest.inspect.decode import configure_pillow
from ingest.pack.seal import read_finished, read_manifest
from ingest.sources.dataset import read_tombstones
from ingest.survey import count, sample
from ingest.survey.addresses import open_addresses
from ingest.survey.count import LedgerCounts
from ingest.survey.exif_fields import FIELDS, ExifFields, read_exif_fields
from ingest.survey.geography import locate_addresses, locate_domains, locate_positions
from ingest.survey.host_names import host_name, hosts_as_written, last_label
from ingest.survey.sample import BottomSample, SampledImage, read_images
from schemas.audit_options import ReportOptions
from schemas.manifest import DatasetRecord
from schemas.survey import Located, Survey

OnPart = Callable[[str], None]
_COLUMNS = tuple(dict.fromkeys((*count.COLUMNS, *sample.COLUMNS)))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Of the contact sheet; what is above is shown without its picture.
_MAX_CONTENT_BYTES = 256 << 20


def make_survey(
    dataset: str, options: ReportOptions, on_part: OnPart = lambda path: None
) -> tuple[Survey, list[SampledImage]]:
    """The survey of a dataset, and the images of the random sample.

    The first `contact_sheet` of these come with their bytes, the others were only looked at.
    `on_part` is told of each ledger part that was read. Raises SetupError if the dataset is not
    finished, lacks a file, or its ledger is not what the seal says.
    """
    seal = read_finished(dataset)
    # Before anything long: a wrong path should not cost an hour.
    with open_addresses(options.address_countries) as table:
        commits = read_manifest(dataset)
        counts = LedgerCounts(read_tombstones(dataset))
        chosen = BottomSample(options.sample, options.seed)
        parts = read_last_rows(dataset, seal, commits, _COLUMNS)
        for commit, part in zip(commits, parts, strict=True):
            live = counts.add(part)
            chosen.add(live.select([name for name in sample.COLUMNS if name in live.column_names]))
            on_part(commit.ledger_file)
        _check_counts(dataset, seal, counts)
        rows = chosen.rows()
        shard_files = {commit.shard: commit.shard_file for commit in commits}
        images, looks = _look(read_images(dataset, shard_files, rows), options.contact_sheet)
        geography = [locate_positions([one.position for one in looks])] if images else []
        if images:
            geography.append(locate_domains(_labels(rows)))
        if images and table is not None:
            geography.append(locate_addresses(_addresses(rows), table))
    return _survey(seal, options, counts, looks, geography), images


def _survey(
    seal: DatasetRecord,
    options: ReportOptions,
    counts: LedgerCounts,
    looks: list[ExifFields],
    geography: list[Located],
) -> Survey:
    found = Counter(name for one in looks for name in one.names)
    modes = seal.build.options.get("consent", {})
    return Survey(
        dataset=options.title or options.dataset.rstrip("/").rpartition("/")[2] or options.dataset,
        version=seal.version,
        merkle_root=seal.merkle_root,
        seed=options.seed,
        num_candidates=counts.num_rows,
        consent=counts.consent.result(modes),
        geography=tuple(geography),
        num_sampled=len(looks),
        exif_fields={name: found[name] for name in FIELDS},
        **counts.fields(),
    )


def _check_counts(dataset: str, seal: DatasetRecord, counts: LedgerCounts) -> None:
    """Raise SetupError unless the ledger holds what the seal counts."""
    found = dict(counts.words.get("outcomes", {}))
    expected = {word: number for word, number in seal.outcomes.items() if number}
    if found != expected:
        raise SetupError(
            f"{dataset}: expected candidates by last outcome as in the seal, {expected}, got "
            f"{found} in the ledger: audit first"
        )


def _look(
    images: Iterable[tuple[dict[str, Any], bytes]], contact_sheet: int
) -> tuple[list[SampledImage], list[ExifFields]]:
    """The images, the first with their bytes, and what the EXIF of each tells."""
    configure_pillow()
    found: list[SampledImage] = []
    looks: list[ExifFields] = []
    held = 0
    for row, content in images:
        looks.append(read_exif_fields(content))
        shown = len(found) < contact_sheet and held + len(content) <= _MAX_CONTENT_BYTES
        held += len(content) if shown else 0
        found.append(
            SampledImage(
                id=row["id"],
                url=row["url"],
                format=row["format"],
                width_px=row["width_px"],
                height_px=row["height_px"],
                num_bytes=row["length_bytes"],
                fetched_at=_moment(row["fetched_at"]),
                content=content if shown else b"",
            )
        )
    return found, looks


def _moment(time_us: int | None) -> datetime | None:
    return None if time_us is None else _EPOCH + timedelta(microseconds=time_us)


def _labels(rows: pa.Table) -> list[str | None]:
    """The top-level domain of each URL."""
    written = hosts_as_written(rows["url"]).to_pylist()
    hosts = [host_name(one) if one else None for one in written]
    return [None if one is None else last_label(one) for one in hosts]


def _addresses(rows: pa.Table) -> list[str | None]:
    found: list[str | None] = rows["address"].to_pylist()
    return found
