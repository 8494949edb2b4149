"""Take samples out of a finished dataset: tombstones, which every reader obeys at once."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from ingest.errors import SetupError
from ingest.pack.seal import check_no_repack, read_finished
from ingest.removal.criteria import Criteria
from ingest.removal.remove import Finder, record_removal, removed_ids
from pipelines.over_shards import map_shards
from pipelines.progress import count_on_terminal
from schemas.audit_options import RemoveOptions
from schemas.removal import Removal

_log = logging.getLogger(__name__)


def remove(options: RemoveOptions, beam_arguments: Sequence[str]) -> Removal:
    """The record of what was taken out, or would be; raises SetupError without a dataset."""
    seal = read_finished(options.dataset)
    check_no_repack(options.dataset, seal)
    for name in ("reason", "authority"):
        if not getattr(options, name).strip():
            raise SetupError(f"--{name}: expected words for the record, got none")
    criteria = Criteria.of(options)
    finder = Finder(options.dataset, criteria, removed_ids(options.dataset))
    shards = range(seal.num_shards)
    results = map_shards(finder, shards, beam_arguments, options.scratch)
    with count_on_terminal("shards searched") as on_shard:
        found: list[tuple[int, bytes]] = []
        for shard, content in zip(shards, results, strict=True):
            found.append((shard, content))
            on_shard(str(shard))
    return record_removal(options, seal, criteria, found, datetime.now(UTC))


def lines_of(record: Removal, dry_run: bool) -> list[str]:
    """What a removal did, as text."""
    lines = [
        f"{kind}: {one.num_values:,} values, {one.num_found:,} images found"
        for kind, one in record.criteria.items()
    ]
    before = f"; {record.num_before:,} had one already" if record.num_before else ""
    if dry_run:
        return [*lines, f"dry run: {record.num_removed:,} images would get a tombstone{before}"]
    if not record.num_removed:
        return [*lines, f"removal {record.removal}: recorded, but nothing is removed by it{before}"]
    return [
        *lines,
        f"removal {record.removal}: {record.num_removed:,} images have a tombstone now{before}: "
        "every reader leaves them out; `uncurated repack` takes them out of the shards, "
        "`uncurated report` makes page and papers anew",
    ]
