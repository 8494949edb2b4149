"""The section on what was taken back: requests, and the repacks that took samples out for good."""

from collections.abc import Sequence

from schemas.manifest import DatasetRecord
from schemas.page.charts import Table
from schemas.page.section import Section
from schemas.removal import Removal


def removals_section(record: DatasetRecord, removals: Sequence[Removal]) -> Section:
    """Each request with its reason and authority, and each repack."""
    asked = [
        (
            str(one.removal),
            one.recorded_at,
            one.reason,
            one.authority,
            ", ".join(one.criteria),
            f"{one.num_removed:,}",
        )
        for one in removals
    ]
    header = ("request", "recorded", "reason", "authority", "found by", "images")
    repacks = [
        (
            str(one.repack),
            one.version,
            ", ".join(f"{count:,} {word}" for word, count in one.removed.items()),
            f"{len(one.shards):,}",
            one.merkle_root,
        )
        for one in record.repacks
    ]
    tables = [Table("Requests", header, asked, frozenset({5}))]
    if repacks:
        names = ("repack", "version before", "taken out", "shards written anew", "root before")
        tables.append(Table("Repacks", names, repacks, frozenset({3})))
    intro = (
        "What has a tombstone is left out by every reader at once, and by this page; a repack "
        "takes it out of the shards and leaves a receipt (in receipts/) with salted digests, by "
        "which who has the image or its URL can tell that it was removed."
    )
    return Section("removals", "What was taken back", intro, tables=tables)
