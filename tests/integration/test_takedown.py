"""A takedown from request to receipt, by the commands that a user types."""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingest.miniweb.server import MiniWeb
from ingest.miniweb.site import Site, image_page
from schemas.manifest import digest
from schemas.removal import Receipt, RemovedSample, salted
from tests.building import (
    ALLOW,
    HOST,
    build,
    commits_of,
    ledger_of,
    picture_site,
    pictures,
    record_of,
    shards_of,
    uncurated,
    write_urls,
)
from tests.stores import gcs_store
from train_entry.loader import Loader
from train_entry.reader import StreamDataset

NUM_PICTURES, NUM_UNWANTED, NUM_LATE = 90, 8, 12
UNWANTED = "unwanted.localhost"
# Several builds by the real command: minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)
WHY = ("--reason=withdrawn by the owner", "--authority=Example Ltd, letter of 3 May")


@pytest.fixture(scope="module", params=["tar", "arrow"])
def sealed(request, tmp_path_factory):
    """A dataset of two generations that no test may change."""
    folder = tmp_path_factory.mktemp("sealed")
    site = Site()
    for number, picture in enumerate(pictures(NUM_PICTURES)):
        host = UNWANTED if number < NUM_UNWANTED else HOST
        page = image_page(picture.content, picture.media_type)
        late = number >= NUM_PICTURES - NUM_LATE
        site.add(host, f"/picture-{number}", replace(page, num_failures=1 if late else 0))
    with MiniWeb(site) as web:
        urls = [
            web.url(UNWANTED if number < NUM_UNWANTED else HOST, f"/picture-{number}")
            for number in range(NUM_PICTURES)
        ]
        table = write_urls(folder / "urls.csv", urls)
        options = ("--shard-candidates=6", "--max-attempts=1", f"--format={request.param}")
        build(folder / "d", f"--input={table}", *options)
        done("retry", folder / "d", "--outcomes=http_5xx")
    return folder / "d"


@pytest.fixture
def dataset(sealed, tmp_path):
    """A copy to take from."""
    return Path(shutil.copytree(sealed, tmp_path / "d"))


def done(*arguments, code=0):
    finished = uncurated(*arguments)
    assert finished.returncode == code, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


def kept_of(dataset):
    return [row for row in ledger_of(dataset) if row["outcome"] == "kept"]


def remove_25(dataset, folder):
    """Ids of 25 images that a list of digests, a host and a list of hashes name."""
    rows = kept_of(dataset)
    hosted = [row for row in rows if f"//{UNWANTED}" in row["url"]]
    others = [row for row in rows if row not in hosted and row["texture"] >= 160]
    late = [row for row in rows if row["generation"] == 1 and row not in hosted]
    digests = [*late[:3], *[row for row in others if row not in late][:7]]
    near = [row for row in others if row not in digests][:7]
    (folder / "digests.txt").write_text(
        "# from a partner\n" + "".join(f"{row['sha256'].upper()}, case 12\n" for row in digests)
    )
    flipped = (int(row["phash"], 16) ^ 0b1011 for row in near)
    (folder / "hashes.txt").write_text("".join(f"{one:064x}\n" for one in flipped))
    told = done(
        "remove", dataset, f"--sha256=@{folder / 'digests.txt'}", f"--host={UNWANTED.upper()}",
        f"--phash=@{folder / 'hashes.txt'}", "--phash-radius=3", *WHY,
    )  # fmt: skip
    removed = {row["id"]: row for row in (*hosted, *digests, *near)}
    assert len(removed) == 25
    assert "removal 1: 25 images have a tombstone now" in told
    return removed


def read_epoch(dataset, log=None, root=""):
    """The ids of one epoch of the trainer's reader."""
    stream = StreamDataset(str(dataset), batch=1, root=root, collate=list)
    loader = Loader(stream, read_log=log)
    ids = []
    for batch in loader:
        ids += batch.ids
        if len(ids) >= stream.dataset.num_samples - len(stream.dataset.removed):
            return ids
    raise AssertionError("expected a reader that never ends")


def test_a_takedown_from_request_to_receipt(dataset, tmp_path):
    before, shards_before, rows_before = record_of(dataset), shards_of(dataset), ledger_of(dataset)
    log = tmp_path / "run" / "read-logs" / "rank-00000.jsonl"
    log.parent.mkdir(parents=True)
    assert sorted(read_epoch(dataset, log)) == sorted(row["id"] for row in kept_of(dataset))
    removed = remove_25(dataset, tmp_path)
    assert "25 images have tombstones" in done("audit", dataset)
    ids = read_epoch(dataset)
    assert len(ids) == before.num_kept - 25
    assert not removed.keys() & set(ids)

    told = done("repack", dataset, f"--read-log={tmp_path / 'run'}")
    assert "version 1.1.0 -> 2.0.0: took out 25 removed" in told
    assert "had read 25 of them" in told
    assert "verdict: verified" in done("audit", dataset)
    after = record_of(dataset)
    assert after.outcomes["removed"] == 25
    assert (after.num_kept, after.num_candidates) == (before.num_kept - 25, before.num_candidates)
    touched = {row["shard"] for row in removed.values()}
    for name, content in shards_before.items():
        assert (name in shards_of(dataset)) == (int(name[7:12]) not in touched)
        assert (dataset / name).exists() == (int(name[7:12]) not in touched)
        if int(name[7:12]) not in touched:
            assert (dataset / name).read_bytes() == content
    check_rows(dataset, rows_before, removed)
    assert sorted(read_epoch(dataset)) == sorted(row["id"] for row in kept_of(dataset))
    with pytest.raises(Exception, match=f"expected Merkle root {before.merkle_root}"):
        read_epoch(dataset, root=before.merkle_root)
    check_receipt(dataset, before, after, removed)
    check_traces(dataset, removed)


def check_rows(dataset, before, removed):
    """All rows are as they were, but for offsets, and for what was removed."""
    rows = ledger_of(dataset)
    assert len(rows) == len(before)
    for old, new in zip(before, rows, strict=True):
        if old["id"] in removed:
            assert new["url"] == ""
            assert new["sha256"] is new["phash"] is new["offset_bytes"] is None
            assert new["outcome"] == ("removed" if old["outcome"] == "kept" else old["outcome"])
        else:
            assert {**new, "offset_bytes": None} == {**old, "offset_bytes": None}
    for row in (row for row in rows if row["outcome"] == "kept"):
        commit = commits_of(dataset)[row["shard"]]
        start = row["offset_bytes"]
        content = (dataset / commit.shard_file).read_bytes()[start : start + row["length_bytes"]]
        assert hashlib.sha256(content).hexdigest() == row["sha256"]


def check_receipt(dataset, before, after, removed):
    """A stranger can verify the receipt, and who has an image or URL whether it was removed."""
    receipt = Receipt.model_validate_json((dataset / "receipts/0001.json").read_bytes())
    assert receipt.sealed() == receipt
    assert receipt.merkle_root == (before.merkle_root, after.merkle_root)
    assert receipt.seal_sha256[1] == digest((dataset / "dataset.json").read_bytes())
    for change in receipt.shards:
        row = commits_of(dataset)[change.shard]
        assert change.shard_sha256[1] == digest((dataset / row.shard_file).read_bytes())
    assert receipt.num_other_shards + len(receipt.shards) == after.num_shards
    (run,) = receipt.runs
    assert (run.num_removed_read, run.num_reads) == (25, before.num_kept)
    assert run.num_other_reads == 0
    content = (dataset / receipt.removed_file).read_bytes()
    assert digest(content) == receipt.removed_sha256
    gone = RemovedSample.from_table(pq.read_table(dataset / receipt.removed_file))
    assert {one.image_digest for one in gone} == {
        salted(receipt.salt, bytes.fromhex(row["sha256"])) for row in removed.values()
    }
    assert {one.url_digest for one in gone} == {
        salted(receipt.salt, row["url"].encode()) for row in removed.values()
    }
    assert Counter(one.shard for one in gone) == Counter(row["shard"] for row in removed.values())


def check_traces(dataset, removed):
    """No file of the dataset has bytes, URL or digests of what was removed."""
    urls, digests = ({row[name] for row in removed.values()} for name in ("url", "sha256"))
    for path in dataset.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content = json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
        text = content.decode("utf-8", "replace")
        assert not [url for url in urls if f'{url}"' in text or f"{url} " in text], path
        assert not [one for one in digests if one in text], path


def test_a_dry_run_counts_and_writes_nothing(dataset):
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    told = done("remove", dataset, f"--domain={HOST.partition('.')[2]}", "--dry-run", *WHY)
    assert f"dry run: {NUM_PICTURES} images would get a tombstone" in told
    assert before == {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}


def test_each_criterion_finds_its_image_and_one_already_removed_is_not_removed_again(dataset):
    rows = kept_of(dataset)
    asked = [
        f"--id={rows[0]['id']}",
        f"--url={rows[1]['url'].replace(HOST, HOST.upper())}#top",
        f"--md5={rows[2]['md5']}",
        f"--sha256={rows[3]['sha256']}",
        f"--phash={rows[4]['phash']}",
    ]
    done("remove", dataset, *asked, "--phash-radius=0", *WHY)
    told = done("remove", dataset, *asked[:2], f"--id={rows[5]['id']}", *WHY)
    assert "removal 2: 1 images have a tombstone now; 2 had one already" in told
    assert "6 images have tombstones" in done("audit", dataset)


def test_what_is_not_understood_is_refused_with_both_sides(dataset, tmp_path):
    (tmp_path / "list").write_text("\n# a comment\nzz\n")
    for arguments, text in {
        ("--sha256=abc",): "--sha256: expected 64 hex digits, got 'abc'",
        (f"--md5=@{tmp_path / 'list'}",): "list, line 3: expected 32 hex digits, got 'zz'",
        (f"--id=@{tmp_path / 'nothing'}",): "--id: expected a list in",
        (): "expected at least one value of --sha256, --md5",
    }.items():
        assert text in " ".join(done("remove", dataset, *arguments, *WHY, code=2).split())
    assert "no tombstones" in done("repack", dataset)


def test_a_repack_that_was_cut_off_anywhere_goes_on_and_ends_the_same(
    dataset, tmp_path, monkeypatch
):
    from pipelines.repack import repack
    from schemas.audit_options import RepackOptions

    remove_25(dataset, tmp_path)
    whole = Path(shutil.copytree(dataset, tmp_path / "whole"))
    repack(RepackOptions(dataset=str(whole)), [])
    steps = [
        "ingest.removal.rewrite.storage.write_bytes",
        "pipelines.repack.record_repack",
        "pipelines.repack.publish",
        "ingest.removal.repack.seal_dataset",
        "pipelines.repack.delete_removed",
        "pipelines.repack.make_receipt",
    ]

    def cut_off(*arguments, **options):
        raise InterruptedError

    for step in steps:
        with monkeypatch.context() as patch:
            patch.setattr(step, cut_off)
            with pytest.raises(InterruptedError):
                repack(RepackOptions(dataset=str(dataset)), [])
    repack(RepackOptions(dataset=str(dataset)), [])
    assert files_of(dataset) == files_of(whole)
    assert "verdict: verified" in done("audit", dataset)


def files_of(dataset):
    return {
        str(path.relative_to(dataset)): path.read_bytes()
        for path in dataset.rglob("*")
        if path.is_file()
    }


def test_a_second_takedown_makes_the_next_major_version(dataset, tmp_path):
    remove_25(dataset, tmp_path)
    done("repack", dataset)
    row = kept_of(dataset)[-1]
    done("remove", dataset, f"--id={row['id']}", *WHY)
    assert "version 2.0.0 -> 3.0.0: took out 1 removed" in done("repack", dataset)
    told = done("audit", dataset, "--lineage")
    assert "verdict: verified" in told
    assert "repack 2: took out 1 removed; before it: version 2.0.0" in told
    assert "urls.csv (table): 90 rows" in told
    assert "as recorded" in told


def test_a_takedown_on_an_object_store_by_beam_workers(tmp_path):
    with gcs_store() as store, MiniWeb(picture_site(12)) as web:
        dataset = f"{store.bucket}/d"
        table = write_urls(tmp_path / "urls.csv", [web.url(HOST, f"/{n}") for n in range(12)])
        options = {"environment": store.environment}
        arguments = ("build", f"--input={table}", f"--output={dataset}", "--shard-candidates=4")
        built = uncurated(*arguments, *ALLOW, **options)
        assert built.returncode == 0, built.stderr
        beam = ("--direct_num_workers=1", f"--scratch={tmp_path / 'scratch'}")
        urls = (f"--url={web.url(HOST, '/3')}", f"--url={web.url(HOST, '/7')}")
        removed = uncurated("remove", dataset, *urls, *WHY, *beam, **options)
        assert removed.returncode == 0, removed.stderr
        assert "2 images have a tombstone now" in removed.stdout
        results = ("--direct_num_workers=1", f"--results={tmp_path / 'results'}")
        repacked = uncurated("repack", dataset, *results, **options)
        assert repacked.returncode == 0, repacked.stderr
        assert "took out 2 removed" in repacked.stdout
        audited = uncurated("audit", dataset, "--samples=all", **options)
        assert audited.returncode == 0, audited.stdout
        assert "samples checked (all): 10" in audited.stdout


def test_a_shard_may_lose_all_its_samples(dataset):
    commit = next(row for row in commits_of(dataset) if row.num_kept)
    ids = [row["id"] for row in kept_of(dataset) if row["shard"] == commit.shard]
    done("remove", dataset, *(f"--id={one}" for one in ids), *WHY)
    done("repack", dataset)
    assert commits_of(dataset)[commit.shard].num_kept == 0
    assert "verdict: verified" in done("audit", dataset, "--samples=all")
    assert not set(ids) & set(read_epoch(dataset))
