"""Items of a finished shard -> shard, ledger and commit: written once, the commit last."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ingest import storage
from ingest.pack.arrow import write_arrow
from ingest.pack.ledger import Item, ledger_table, sample_json
from ingest.pack.sample import Sample, WrittenShard
from ingest.pack.tally import count_copies, count_outcomes
from ingest.pack.tar import write_tar
from ingest.spool import Spool
from schemas.arrow import parquet_bytes
from schemas.image_formats import EXTENSIONS
from schemas.manifest import (
    Commit,
    commit_path,
    content_path,
    decode,
    digest,
    encode,
    plan_part_path,
)
from schemas.merkle import merkle_root
from schemas.options import PackOptions
from schemas.outcome import Outcome

_WRITERS = {"tar": write_tar, "arrow": write_arrow}
_READ_AT_ONCE = 1000


@dataclass(frozen=True)
class ShardContent:
    """What a shard is made of, in plan order, and what it was made from."""

    shard: int
    num_planned: int
    plan_sha256: str
    build_sha256: str
    items: list[Item]
    generation: int = 0


def read_commit(dataset: str, shard: int) -> Commit | None:
    """The commit of a finished shard; None if there is none yet."""
    try:
        return decode(Commit, storage.read_bytes(storage.join(dataset, commit_path(shard))))
    except FileNotFoundError:
        return None


def list_commits(dataset: str) -> list[int]:
    """The numbers of all finished shards, in order; by one listing, so not for each work unit."""
    folder = commit_path(0).partition("/")[0]
    names = storage.list_names(storage.join(dataset, folder))
    numbers = (name.removesuffix(".json") for name in names if name.endswith(".json"))
    return sorted(int(number) for number in numbers if number.isdecimal())


def read_commits(dataset: str, shards: Iterable[int]) -> list[Commit]:
    """The commits of finished shards, in the order given; raises FileNotFoundError."""
    paths = [commit_path(shard) for shard in shards]
    pieces = (paths[at : at + _READ_AT_ONCE] for at in range(0, len(paths), _READ_AT_ONCE))
    return [
        decode(Commit, content) for piece in pieces for content in storage.read_many(dataset, piece)
    ]


def pack_shard(content: ShardContent, spool: Spool, dataset: str, options: PackOptions) -> Commit:
    """Write the files of a shard and commit it; the commit that counts, ours or an earlier one."""
    try:
        return _publish(_written(content, spool, dataset, options), dataset)
    except FileNotFoundError:
        # Another build has committed all, and swept away what this one was writing.
        winner = read_commit(dataset, content.shard)
        if winner is None:
            raise
        return winner


def _written(content: ShardContent, spool: Spool, dataset: str, options: PackOptions) -> Commit:
    """The files of a shard, written, and what a commit would say of them."""
    kept = [item for item in content.items if item.outcome is Outcome.KEPT]
    shard_file, written = write_shard(_samples(kept, spool), content.shard, dataset, options)
    for item, offset in zip(kept, written.offsets, strict=True):
        item.offset_bytes = offset
    ledger = _ledger_bytes(content)
    ledger_sha256 = digest(ledger)
    ledger_file = content_path("ledger", content.shard, ledger_sha256, "parquet")
    storage.write_bytes(storage.join(dataset, ledger_file), ledger)
    ends = [
        (item.outcome.value, item.match.name if item.match else None)
        for item in content.items
        if item.outcome is not None
    ]
    commit = Commit(
        shard=content.shard,
        build_sha256=content.build_sha256,
        plan_file=plan_part_path(content.shard),
        plan_sha256=content.plan_sha256,
        shard_file=shard_file,
        shard_bytes=written.num_bytes,
        shard_sha256=written.sha256,
        ledger_file=ledger_file,
        ledger_bytes=len(ledger),
        ledger_sha256=ledger_sha256,
        num_candidates=content.num_planned,
        num_kept=len(kept),
        image_bytes=sum(item.visit.body.length for item in kept if item.visit and item.visit.body),
        outcomes=count_outcomes(word for word, _ in ends),
        exact_copies=count_copies(ends, Outcome.DUPLICATE_EXACT),
        near_copies=count_copies(ends, Outcome.DUPLICATE_NEAR),
        merkle_root=merkle_root(written.leaves).hex(),
    )
    check_conservation(commit)
    return commit


def write_shard(
    samples: Iterable[Sample], shard: int, dataset: str, options: PackOptions
) -> tuple[str, WrittenShard]:
    """Write the file of a shard under the name of its content; its path, and what was written."""
    with storage.staged(storage.join(dataset, "shards"), options.scratch) as local:
        with local.open("wb") as file:
            written = _WRITERS[options.format](samples, file)
        path = content_path("shards", shard, written.sha256, options.format)
        storage.publish(local, storage.join(dataset, path))
    return path, written


def check_conservation(commit: Commit) -> None:
    """Raise AssertionError unless the outcomes of a shard add up to what was planned for it."""
    total = sum(commit.outcomes.values())
    if total != commit.num_candidates or commit.outcomes.get("kept", 0) != commit.num_kept:
        raise AssertionError(
            f"shard {commit.shard}: expected {commit.num_candidates} outcomes with "
            f"{commit.num_kept} kept, got {total}: {commit.outcomes}"
        )


def _publish(commit: Commit, dataset: str) -> Commit:
    """First commit wins: a loser deletes what only it had written."""
    if storage.create_bytes(storage.join(dataset, commit_path(commit.shard)), encode(commit)):
        return commit
    winner = read_commit(dataset, commit.shard)
    assert winner is not None
    for ours, theirs in (
        (commit.shard_file, winner.shard_file),
        (commit.ledger_file, winner.ledger_file),
    ):
        if ours != theirs:
            storage.remove(storage.join(dataset, ours))
    return winner


def _samples(kept: list[Item], spool: Spool) -> Iterator[Sample]:
    for item in kept:
        assert item.visit is not None
        assert item.visit.body is not None
        assert item.inspection is not None
        yield Sample(
            id=item.candidate.id,
            extension=EXTENSIONS[item.inspection.format],
            url=item.candidate.url,
            sha256=item.inspection.sha256,
            width_px=item.inspection.width_px,
            height_px=item.inspection.height_px,
            phash=item.inspection.views[0].code.hex(),
            provenance=sample_json(item),
            image=spool.read(item.visit.body),
        )


def _ledger_bytes(content: ShardContent) -> bytes:
    return parquet_bytes(ledger_table(content.items, content.shard, content.generation))
