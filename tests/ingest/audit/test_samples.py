"""Samples one by one: which are chosen, what is read of them, and what is found."""

import random
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import storage
from ingest.audit.selection import Selection
from ingest.audit.verify import Depth, audit
from ingest.errors import SetupError
from ingest.inspect.decoder import ABORT_MARKER, MARKERS_VARIABLE
from ingest.miniweb.server import MiniWeb
from ingest.sampling import draw, is_taken
from tests.building import HOST, build, commits_of, ledger_of, picture_site, write_urls
from tests.forging import forge_shard, images_of
from tests.train_entry.datasets import add_tombstones

NUM_PICTURES = 30
ids = st.binary(min_size=16, max_size=16).map(bytes.hex)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """The same pictures in tar and in Arrow shards; no test may change them."""
    folder = tmp_path_factory.mktemp("samples")
    with MiniWeb(picture_site(NUM_PICTURES)) as web:
        urls = [web.url(HOST, f"/{number}") for number in range(NUM_PICTURES + 2)]
        table = write_urls(folder / "urls.csv", urls)
        for kind in ("tar", "arrow"):
            arguments = ("--shard-candidates=16", f"--format={kind}")
            build(folder / kind, f"--input={table}", *arguments)
    return folder


@pytest.fixture(params=["tar", "arrow"])
def copied(request, sealed, tmp_path):
    """A copy to spoil."""
    return Path(shutil.copytree(sealed / request.param, tmp_path / "copy"))


def kept_ids(dataset):
    return [row["id"] for row in ledger_of(dataset) if row["outcome"] == "kept"]


def report_of(dataset, samples, quick=True, seed=0):
    return audit(str(dataset), depth=Depth(quick, samples, seed))


def findings_of(dataset, samples, quick=True):
    return [str(one) for one in report_of(dataset, samples, quick).findings]


@given(st.lists(ids, min_size=200, max_size=200, unique=True), st.integers(0, 2**63 - 1))
def test_a_share_is_the_same_each_time_and_no_other_draws(found, seed):
    chosen = Selection.parse("50%", seed)
    taken = [one for one in found if chosen.takes(one)]
    assert taken == [one for one in found if Selection.parse("50 %", seed).takes(one)]
    assert 40 < len(taken) < 160
    # A plan of a sample of its input has drawn by its own seed: the two must not go together.
    planned = [one for one in found if is_taken(draw(one, seed)[0], 0.5)]
    assert {chosen.takes(one) for one in planned} == {True, False}


@pytest.mark.parametrize("text", ["some", "0%", "101%", "1", "ff,ee", "-1%", ",", "f" * 33])
def test_other_choices_are_refused_with_both_sides(text):
    with pytest.raises(SetupError, match=r"--samples: expected `all`, a share .*, got"):
        Selection.parse(text, 0)


@pytest.mark.parametrize("samples", ["all", "100%", "40%"])
def test_chosen_samples_of_a_sound_dataset_are_looked_at_and_no_others(sealed, samples):
    for kind in ("tar", "arrow"):
        report = report_of(sealed / kind, samples, seed=3)
        selection = Selection.parse(samples, 3)
        assert report.findings == []
        assert report.num_samples == sum(map(selection.takes, kept_ids(sealed / kind)))
        assert report.num_samples > 0


def test_of_named_samples_no_other_shard_is_read(copied, monkeypatch):
    wanted = kept_ids(copied)[3]
    commits = [one for one in commits_of(copied) if one.num_kept]
    holds = next(
        one for one in commits if wanted in {row["id"] for row in images_of(copied, one)[0]}
    )
    ranges, read_range = [], storage.read_range

    def recorded(uri, offset, length):
        ranges.append((uri, length))
        return read_range(uri, offset, length)

    monkeypatch.setattr(storage, "read_range", recorded)
    report = report_of(copied, wanted)
    assert (report.findings, report.num_samples) == ([], 1)
    assert {uri for uri, _ in ranges} == {str(copied / holds.shard_file)}
    assert sum(length for _, length in ranges) < holds.shard_bytes


def test_ids_that_are_no_kept_samples_are_refused_by_name(sealed):
    (failed, *_) = [row["id"] for row in ledger_of(sealed / "tar") if row["outcome"] != "kept"]
    strange = "0" * 32
    with pytest.raises(SetupError) as refused:
        report_of(sealed / "tar", f"{failed},{strange},{kept_ids(sealed / 'tar')[0]}")
    assert str(refused.value) == (
        f"--samples: expected ids of kept samples, got {strange} (in no ledger), "
        f"{failed} (http_404)"
    )


def test_a_flip_in_any_byte_of_a_sample_is_found_by_its_range(copied):
    commit = next(one for one in commits_of(copied) if one.num_kept > 2)
    rows, _ = images_of(copied, commit)
    path, generator = copied / commit.shard_file, random.Random(5)
    content = path.read_bytes()
    # In an image; and, in both formats, in the text that stands once in the shard.
    caption = content.index(rows[1]["columns"].encode())
    inside = rows[1]["offset_bytes"] + generator.randrange(rows[1]["length_bytes"])
    for position in (inside, caption + 12):
        spoiled = bytearray(content)
        spoiled[position] ^= 1
        path.write_bytes(spoiled)
        found = findings_of(copied, ",".join(row["id"] for row in rows))
        assert found
        assert all(f"sample {rows[1]['id']}: " in one for one in found), found
    path.write_bytes(content)


def test_damage_anywhere_is_a_finding_or_elsewhere_but_no_crash(copied):
    commit = next(one for one in commits_of(copied) if one.num_kept > 2)
    path, generator = copied / commit.shard_file, random.Random(6)
    content = path.read_bytes()
    for _ in range(4):
        spoiled = bytearray(content)
        for _ in range(40):
            spoiled[generator.randrange(len(content))] ^= generator.randrange(1, 256)
        # Where readers of Arrow begin.
        spoiled[-10 - generator.randrange(300)] ^= 255
        path.write_bytes(spoiled)
        findings_of(copied, "100%")
        assert findings_of(copied, "all", quick=False)


def test_a_ledger_that_leads_elsewhere_is_found(copied):
    commit = next(one for one in commits_of(copied) if one.num_kept > 2)

    def moved(row, image):
        return {**row, "width_px": row["width_px"] + 1}, image

    forge_shard(copied, commit, moved)
    found = findings_of(copied, "100%")
    assert len(found) == 1
    assert "width_px of the decoded image: expected" in found[0]


def test_an_image_that_kills_its_decoder_is_a_finding_and_the_audit_goes_on(copied, monkeypatch):
    monkeypatch.setenv(MARKERS_VARIABLE, "1")
    commit = next(one for one in commits_of(copied) if one.num_kept > 2)
    rows, _ = images_of(copied, commit)

    def bomb(row, image):
        content = image + ABORT_MARKER
        values = {"sha256": sha256(content).hexdigest(), "num_bytes": len(content)}
        return {**row, **values}, content

    forge_shard(copied, commit, bomb)
    report = report_of(copied, "all", quick=False)
    assert [str(one) for one in report.findings] == [
        f"{commits_of(copied)[commit.shard].shard_file}: sample {rows[0]['id']}: expected an image "
        "that can be decoded, got decoder_crash: decoder process ended with code -6"
    ]
    assert report.num_samples == NUM_PICTURES


def test_a_sample_with_a_tombstone_is_checked_and_counted_as_removed(copied):
    commit = next(one for one in commits_of(copied) if one.num_kept > 2)
    gone, *others = [row["id"] for row in images_of(copied, commit)[0]]
    add_tombstones(copied, [gone], {gone: commit.shard})
    report = report_of(copied, f"{gone},{others[0]}")
    assert (report.num_samples, report.num_removed_samples) == (2, 1)
    expected = f"samples checked ({gone},{others[0]}): 2, 1 of them removed after the fact"
    assert expected in list(report.lines())
